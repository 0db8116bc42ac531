# SPDX-License-Identifier: Apache-2.0
"""The torch backend on a GPU against itself on the CPU. Skipped without a CUDA device."""

import gc
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mtperception import cli
from mtperception.backends import BACKENDS
from mtperception.backends.cuda.pipelines import CapturablePipeline, FusedPipeline, fastest_pipeline
from mtperception.backends.cuda.runner import CudaQueue, CudaRunner, StaticFrame, release_memory
from mtperception.backends.torch_backend import NetworkBackend, for_device
from mtperception.benchmark.memory import peak_memory
from mtperception.card import open_model
from mtperception.networks import load_network
from mtperception.pipeline import Pipeline
from mtperception.selftest import run_self_test
from mtperception.synthetic import SyntheticRoom

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')

PHOTOGRAPHS = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'nyuv2' / 'rgb'
DEVICE = 'cuda:0'
DEPTH_RANGE = (0.3, 10.0)


@pytest.fixture(scope='module')
def model():
    return open_model('nyuv2_indoor')


@pytest.fixture(scope='module')
def on_the_cpu(model):
    return BACKENDS['torch'](model, 'cpu', 'fp32').run


@pytest.fixture(params=['fp32', 'fp16', 'bf16'])
def backend(request, model):
    opened = BACKENDS['torch'](model, DEVICE, request.param)
    yield opened
    opened.close()


@pytest.fixture
def queue():
    return CudaQueue(torch.device(DEVICE))


def rooms(width, height, count=1, seconds=0.0):
    room = SyntheticRoom(width, height)
    return np.stack([room.frame(seconds + 2.0 * i).image for i in range(count)])


def photographs():
    return [cv2.imread(str(path))[..., ::-1].copy()[None] for path in sorted(PHOTOGRAPHS.glob('*.jpg'))[::150]]


def copies(maps):
    return {name: map_.copy() for name, map_ in maps.items()}


def assert_same(found, expected):
    assert set(found) == set(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def assert_agree(found, expected):
    """Labels on 99 % of the pixels, depth to 1 % in the median."""
    assert {name: (map_.dtype, map_.shape) for name, map_ in found.items()} == {
        name: (map_.dtype, map_.shape) for name, map_ in expected.items()
    }
    assert (found['labels'] == expected['labels']).mean() >= 0.99
    assert np.median(np.abs(found['depth'] - expected['depth']) / expected['depth']) <= 0.01


def test_self_test(backend, model):
    run_self_test(model.self_test, backend.run, backend.precision)


@pytest.mark.parametrize(('width', 'height', 'count'), [(640, 480, 1), (131, 97, 2), (33, 47, 1), (3, 2, 1)])
def test_single_precision_is_that_of_the_cpu(model, on_the_cpu, width, height, count):
    backend = BACKENDS['torch'](model, DEVICE, 'fp32')
    images = rooms(width, height, count)
    found, expected = backend.run(images), on_the_cpu(images)
    assert (found['labels'] == expected['labels']).mean() >= 0.999
    assert np.abs(found['confidence'].astype(int) - expected['confidence']).max() <= 1
    assert found['depth'] == pytest.approx(expected['depth'], abs=1e-3)


def test_half_precision_on_rendered_images(model, on_the_cpu):
    backend = BACKENDS['torch'](model, DEVICE, 'fp16')
    for seconds in range(0, 20, 4):
        images = rooms(480, 360, seconds=seconds)
        assert_agree(backend.run(images), on_the_cpu(images))


def test_half_precision_on_photographs(model, on_the_cpu):
    if not PHOTOGRAPHS.is_dir():
        pytest.skip('needs real images')
    backend = BACKENDS['torch'](model, DEVICE, 'fp16')
    for image in photographs():
        assert_agree(backend.run(image), on_the_cpu(image))


def test_three_tasks(every_task_network, every_task_model):
    card = open_model(every_task_model).card
    images = rooms(61, 43, 2)
    found, expected = (NetworkBackend(every_task_network, card, device).run(images) for device in (DEVICE, 'cpu'))
    assert set(found) == set(expected) > {'labels', 'confidence', 'depth', 'normals'}
    assert found['normals'] == pytest.approx(expected['normals'], abs=1e-3)
    assert found['depth'] == pytest.approx(expected['depth'], abs=1e-3)


def test_outputs_belong_to_the_caller(backend):
    """Also while the memory of other, forgotten outputs is used again."""
    first = backend.run(rooms(96, 64))
    kept = copies(first)
    for seconds in range(1, 6):
        backend.run(rooms(96, 64, seconds=seconds))
    assert_same(first, kept)
    assert all(map_.flags.writeable for map_ in first.values())


def test_two_shapes_alternate(backend):
    """Each has a graph and buffers of its own; what one run does to them, the next does not see."""
    small, large = rooms(96, 64), rooms(160, 120, 2)
    expected = copies(backend.run(small)), copies(backend.run(large))
    for _ in range(3):
        assert_same(backend.run(small), expected[0])
        assert_same(backend.run(large), expected[1])


def test_read_only_and_strided_images(backend):
    crop = rooms(160, 64)[:, :, 16:112]
    expected = backend.run(crop.copy())
    crop.flags.writeable = False
    assert_same(backend.run(crop), expected)
    mirrored = backend.run(crop[:, :, ::-1])
    assert_same(mirrored, backend.run(crop[:, :, ::-1].copy()))


def test_one_thread_prepares_while_another_runs(model):
    backend = BACKENDS['torch'](model, DEVICE, 'fp16')
    images = rooms(96, 64)
    expected = copies(backend.run(images))
    failures = []

    def prepare():
        try:
            for width in (64, 72, 80):
                backend.prepare(1, 48, width)
        except RuntimeError as error:
            failures.append(error)

    worker = threading.Thread(target=prepare)
    worker.start()
    while worker.is_alive():
        assert_same(backend.run(images), expected)
    worker.join()
    assert failures == []
    assert backend.is_prepared(1, 48, 80)


def test_two_threads_run_one_shape(model):
    """Each gets maps and times of a run of its own, however the two meet."""
    backend = BACKENDS['torch'](model, DEVICE, 'fp16')
    images = rooms(96, 64)
    expected = copies(backend.run(images))
    with ThreadPoolExecutor(2) as threads:
        for maps in threads.map(lambda _: copies(backend.run(images)), range(200)):
            assert_same(maps, expected)


def test_arrays_are_dropped_during_a_capture(queue, caplog):
    """As by a thread that still showed them while another size is prepared: neither capture nor later runs notice."""
    network = for_device(load_network('nyuv2_indoor'), torch.device(DEVICE), 'fp16')
    pipeline = CapturablePipeline(network, DEPTH_RANGE, (0, 40)).eval()
    runner = CudaRunner(pipeline, (1, 64, 96), queue)
    shown = [runner(rooms(96, 64))[0]]
    expected = copies(shown[0])
    with queue.exclusive():
        frame = StaticFrame(pipeline, (1, 48, 64), queue.device)

    def step():
        frame.compute()
        if torch.cuda.is_current_stream_capturing():
            shown.clear()

    queue.capture(step)
    assert shown == []
    assert caplog.records == []
    for _ in range(3):
        assert_same(runner(rooms(96, 64))[0], expected)


def test_latency_by_stage(backend):
    _, latency_ms = backend.run_timed(rooms(96, 64))
    assert set(latency_ms) == {'upload', 'inference', 'download'}
    assert min(latency_ms.values()) > 0


@pytest.mark.parametrize('kind', [CapturablePipeline, FusedPipeline])
def test_both_ways_to_make_maps_are_captured(kind, queue, on_the_cpu, caplog):
    network = for_device(load_network('nyuv2_indoor'), torch.device(DEVICE), 'fp32')
    images = rooms(131, 97, 2)
    with caplog.at_level(logging.WARNING):
        maps, _ = CudaRunner(kind(network, DEPTH_RANGE, (0, 40)).eval(), (2, 97, 131), queue)(images)
    assert caplog.records == []
    assert (maps['labels'] == on_the_cpu(images)['labels']).mean() >= 0.999


def test_triton_is_used_where_it_is_installed():
    pytest.importorskip('triton')
    if torch.cuda.get_device_capability(DEVICE) < (7, 0):
        pytest.skip('needs a GPU of compute capability 7.0')
    network = load_network('nyuv2_indoor').to(DEVICE)
    assert type(fastest_pipeline(network, DEPTH_RANGE, (0, 40))) is FusedPipeline


def memory_in_use():
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(DEVICE)


def test_memory_comes_back(model):
    """Of shapes that were dropped, and on close. The first round is for what libraries keep for good."""
    used = []
    for _ in range(2):
        backend = BACKENDS['torch'](model, DEVICE, 'fp16')
        for width in (640, 648, 656, 664, 672, 680):
            backend.prepare(1, 480, width)
        prepared = memory_in_use()
        backend.close()
        used.append((prepared, memory_in_use()))
    (_, first), (prepared, second) = used
    assert second <= first < prepared


def test_what_pytorch_keeps_of_earlier_work_is_not_counted():
    """256 MiB, although half a GiB that was kept goes meanwhile, as it does before a capture."""
    earlier = torch.empty(512 * 2**20, dtype=torch.uint8, device=DEVICE)
    del earlier
    with peak_memory(DEVICE) as peak:
        torch.cuda.empty_cache()
        block = torch.empty(256 * 2**20, dtype=torch.uint8, device=DEVICE)
    assert block.is_cuda
    assert peak.mebibytes == pytest.approx(256, abs=8)


def test_the_benchmark(tmp_path):
    out = tmp_path / 'cuda.json'
    arguments = ['--backend', 'torch', '--device', DEVICE, '--size', '160x120', '--iterations', '3', '--json', str(out)]
    assert cli.main(['benchmark', *arguments]) == 0
    results = json.loads(out.read_text(encoding='utf-8'))['results']
    assert {result['precision'] for result in results} == {'fp32', 'fp16', 'bf16'}
    for result in results:
        assert min(result['median_ms'], result['forward_ms'], result['baseline_ms']) > 0


def test_what_cannot_be_captured_runs_all_the_same(queue, on_the_cpu, caplog):
    """The pipeline of the CPU asks the device for values in the middle, which ends a capture.

    The last test of this file: older versions of PyTorch do not recover.
    """
    network = for_device(load_network('nyuv2_indoor'), torch.device(DEVICE), 'fp32')
    images = rooms(131, 97)
    with caplog.at_level(logging.WARNING):
        runner = CudaRunner(Pipeline(network, DEPTH_RANGE, (0, 40)).eval(), (1, 97, 131), queue)
    (record,) = caplog.records
    assert 'without a CUDA graph on cuda:0' in record.message
    for _ in range(2):
        assert (runner(images)[0]['labels'] == on_the_cpu(images)['labels']).mean() >= 0.999
    release_memory()
    if torch.__version__ >= (2, 13):  # before that, PyTorch takes the capture to be still under way
        CudaRunner(CapturablePipeline(network, DEPTH_RANGE, (0, 40)).eval(), (1, 97, 131), queue)
        assert caplog.records == [record]
