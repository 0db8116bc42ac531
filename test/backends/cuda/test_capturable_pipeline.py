# SPDX-License-Identifier: Apache-2.0
"""What a CUDA graph records, run on the CPU: the same maps, by operations that can be recorded."""

import logging
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mtperception.backends.cuda.pipelines import CapturablePipeline, fastest_pipeline
from mtperception.backends.cuda.runner import StaticFrame, full_precision
from mtperception.networks import load_network
from mtperception.pipeline import Pipeline
from mtperception.synthetic import SyntheticRoom

PHOTOGRAPHS = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'nyuv2' / 'rgb'
NEEDS_THE_HOST = {'nonzero', '_local_scalar_dense', 'lift_fresh', 'masked_select', 'unique2'}
"""Operations that wait for values of the device, or bring new ones from the host: both end a capture with an error."""


class Recorder(TorchDispatchMode):
    """Collects the names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.operations = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.operations.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


def rooms(width, height, count=1):
    room = SyntheticRoom(width, height)
    return np.stack([room.frame(3.0 * i).image for i in range(count)])


def run(pipeline, images):
    with torch.inference_mode():
        return pipeline(torch.tensor(images))


@pytest.mark.parametrize('shape', [(131, 97, 2), (33, 47, 1)])
@pytest.mark.parametrize('classes', [(0, 40), (3, 20)])
def test_maps_of_the_default_model(shape, classes):
    network = load_network('nyuv2_indoor')
    found = run(CapturablePipeline(network, (0.3, 10.0), classes), rooms(*shape))
    expected = run(Pipeline(network, (0.3, 10.0), classes), rooms(*shape))
    assert set(found) == {'labels', 'confidence', 'depth', 'depth_confidence'}
    assert (found['labels'] == expected['labels']).double().mean() >= 0.999
    for name in ('confidence', 'depth_confidence'):
        assert (found[name].int() - expected[name]).abs().max() <= 1
    assert torch.allclose(found['depth'], expected['depth'], atol=1e-4)


def test_maps_of_a_photograph():
    if not PHOTOGRAPHS.is_dir():
        pytest.skip('needs real images')
    image = cv2.imread(str(sorted(PHOTOGRAPHS.glob('*.jpg'))[200]))[..., ::-1].copy()[None]
    network = load_network('nyuv2_indoor')
    found, expected = (run(kind(network, (0.3, 10.0), (0, 40)), image) for kind in (CapturablePipeline, Pipeline))
    assert (found['labels'] == expected['labels']).double().mean() >= 0.9999
    assert (found['confidence'].int() - expected['confidence']).abs().max() <= 1
    assert torch.allclose(found['depth'], expected['depth'], atol=1e-4)


def test_maps_of_three_tasks(every_task_network):
    found = run(CapturablePipeline(every_task_network, (0.5, 80.0)), rooms(61, 43))
    expected = run(Pipeline(every_task_network, (0.5, 80.0)), rooms(61, 43))
    assert {name: (map_.dtype, map_.shape) for name, map_ in found.items()} == {
        name: (map_.dtype, map_.shape) for name, map_ in expected.items()
    }
    assert torch.allclose(found['normals'], expected['normals'], atol=1e-4)


def test_no_step_needs_the_host(every_task_network):
    image = torch.tensor(rooms(61, 43))
    pipelines = {kind: kind(every_task_network, (0.5, 80.0)) for kind in (CapturablePipeline, Pipeline)}
    used = {}
    for kind, pipeline in pipelines.items():
        with torch.inference_mode(), Recorder() as recorder:
            pipeline(image)
        used[kind] = recorder.operations & NEEDS_THE_HOST
    assert used == {CapturablePipeline: set(), Pipeline: {'nonzero', 'lift_fresh'}}


class Echo(nn.Module):
    """A network whose depth is the red channel that it is given."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, image):
        assert image.is_contiguous(memory_format=torch.channels_last)
        return {'depth': image[:, :1]}


def test_a_half_precision_network_gets_what_single_precision_normalised():
    """At its own resolution upsampling changes nothing, so depth is |(red / 255 - mean) / deviation|, rounded once."""
    image = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        depth = CapturablePipeline(Echo().half(), (0.0, 10.0))(image)['depth']
    red = image[..., 0].numpy().astype(np.float64)
    expected = np.abs((red / 255 - 0.485) / 0.229)
    assert depth.dtype == torch.float32
    # Half precision has 11 bits: of numbers up to 4, half of the last one is 2^-10.
    assert np.abs(depth.numpy() - expected).max() <= 2**-10 + 1e-5
    assert torch.equal(depth, depth.half().float())


def test_a_static_frame_computes_what_its_image_holds_now(every_task_network):
    pipeline = CapturablePipeline(every_task_network, (0.5, 80.0))
    with torch.inference_mode():
        frame = StaticFrame(pipeline, (2, 43, 61), torch.device('cpu'))
        for seconds in (1.0, 5.0):
            images = torch.tensor(np.stack([SyntheticRoom(61, 43).frame(seconds + i).image for i in range(2)]))
            frame.image.copy_(images)
            frame.compute()
            expected = pipeline(images)
            found = frame.layout.views(frame.maps.clone())
            assert list(found) == list(expected)
            assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_full_precision_leaves_cudnn_on():
    """PyTorch's own context for these settings turns cuDNN off unless it is told not to."""
    before = (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark)
    with full_precision():
        assert torch.backends.cudnn.enabled
        assert torch.backends.cudnn.benchmark
        assert not torch.backends.cudnn.allow_tf32
    assert (torch.backends.cudnn.enabled, torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason='Triton runs where there is a GPU')
def test_without_a_gpu_the_plain_pipeline_is_taken_and_the_log_says_why(every_task_network, caplog):
    pytest.importorskip('triton')
    with caplog.at_level(logging.WARNING):
        pipeline = fastest_pipeline(every_task_network, (0.5, 80.0), (0, 6))
    assert type(pipeline) is CapturablePipeline
    (record,) = caplog.records
    assert 'running without Triton on cpu' in record.message
    assert 'driver' in record.message


def test_where_triton_may_not_load_what_it_compiled_the_plain_pipeline_is_taken(
    every_task_network, caplog, monkeypatch
):
    """A home folder that is mounted noexec."""
    pytest.importorskip('triton')
    from mtperception.backends.cuda import kernels

    def refuse(*_):
        raise ImportError('failed to map segment from shared object')

    monkeypatch.setattr(kernels, 'labels_and_confidence', refuse)
    assert type(fastest_pipeline(every_task_network, (0.5, 80.0), (0, 6))) is CapturablePipeline
    assert 'ImportError: failed to map segment' in caplog.text


def test_without_triton_the_log_says_what_to_install(every_task_network, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, 'triton', None)
    monkeypatch.setitem(sys.modules, 'triton.errors', None)
    pipeline = fastest_pipeline(every_task_network, (0.5, 80.0), (0, 6))
    assert type(pipeline) is CapturablePipeline
    assert 'Triton is not installed' in caplog.text
    assert 'pip install triton' in caplog.text


@pytest.mark.parametrize(
    'error', [subprocess.CalledProcessError(1, 'gcc'), OSError(), AssertionError(), ValueError(), RuntimeError()]
)
def test_whatever_keeps_triton_from_compiling_costs_its_kernels_only(error, monkeypatch):
    pytest.importorskip('triton')
    from mtperception.backends.cuda import kernels

    def refuse(*_):
        raise error

    monkeypatch.setattr(kernels, 'labels_and_confidence', refuse)
    assert type(fastest_pipeline(nn.Linear(1, 1), (0.5, 80.0), (0, 6))) is CapturablePipeline
