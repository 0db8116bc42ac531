# SPDX-License-Identifier: Apache-2.0
"""Which backend is taken, and what is said of those that are unavailable."""

import logging
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from altered_backend import altered
from onnx import numpy_helper

from mtperception import resources
from mtperception.backends import BACKENDS, PRECISIONS, BackendUnavailableError, open_backend, selection
from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend
from mtperception.card import CARD, GRAPH, ModelCard, ModelError, open_model, sha256
from mtperception.selftest import SelfTestError


@pytest.fixture(scope='module')
def model():
    return open_model('nyuv2_indoor')


needs_no_gpu = pytest.mark.skipif(selection.cuda_device_count() > 0, reason='for machines without a GPU')


@needs_no_gpu
def test_auto_takes_openvino_and_says_why(model, caplog):
    with caplog.at_level(logging.INFO):
        backend = open_backend(model)
    assert (backend.name, backend.device, backend.precision) == ('openvino', 'cpu', 'fp32')
    (record,) = caplog.records
    assert 'openvino on cpu, fp32, passed the self-test of nyuv2_indoor' in record.message
    assert 'skipped: CUDA backends: no NVIDIA GPU found' in record.message


@needs_no_gpu
def test_auto_goes_on_to_the_next_where_a_library_is_missing(model, monkeypatch, caplog):
    def missing(*_):
        raise BackendUnavailableError('openvino: not installed: pip install "mtperception[openvino]"')

    monkeypatch.setitem(BACKENDS, 'openvino', missing)
    with caplog.at_level(logging.INFO):
        backend = open_backend(model)
    assert backend.name == 'onnxruntime'
    assert 'openvino: not installed' in caplog.text
    with pytest.raises(BackendUnavailableError, match='pip install'):
        open_backend(model, 'openvino', 'cpu')


@pytest.mark.parametrize('name', BACKENDS)
def test_a_backend_by_name(model, name):
    assert open_backend(model, name, 'cpu').name == name


def test_bf16_only_where_asked_for(model):
    backend = open_backend(model, 'torch', 'cpu', 'bf16')
    assert backend.precision == 'bf16'


@needs_no_gpu
@pytest.mark.parametrize('name', ['torch', 'onnxruntime'])
def test_a_gpu_that_is_not_there_is_an_error(model, name):
    with pytest.raises(BackendUnavailableError, match=f'{name} on cuda:0: no NVIDIA GPU found'):
        open_backend(model, name, 'cuda:0')


@needs_no_gpu
def test_onnxruntime_does_not_fall_back_in_silence(model):
    """ONNX Runtime itself would go on, on the CPU."""
    with pytest.raises(BackendUnavailableError, match='CUDAExecutionProvider did not load'):
        OnnxRuntimeBackend(model, 'cuda:0', 'fp32').prepare(1, 32, 32)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (('tflite',), "unknown backend 'tflite': expected auto, torch"),
        (('auto', 'gpu'), "unknown device 'gpu': expected auto, cpu"),
        (('auto', 'cuda:x'), "unknown device 'cuda:x'"),
        (('auto', 'auto', 'int8'), "unknown precision 'int8': expected auto, fp32"),
    ],
)
def test_unknown_words_list_the_known(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        open_backend(model, *arguments)


def test_a_precision_that_cannot_be_had(model):
    with pytest.raises(BackendUnavailableError, match='has no bf16: choose one of fp32'):
        open_backend(model, 'onnxruntime', 'cpu', 'bf16')


def swapped_channels(name):
    """The loader of a backend that takes red for blue."""
    return altered(name, lambda run, images: run(images[..., ::-1].copy()))


def test_swapped_channels_are_caught(model, monkeypatch):
    """A backend that feeds BGR: everything runs, and every map is a little wrong."""
    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, swapped_channels(name))
        with pytest.raises(SelfTestError, match=f'{name} on cpu'):
            open_backend(model, name, 'cpu')


@pytest.mark.parametrize('name', resources.available('model'))
@pytest.mark.parametrize('precision', PRECISIONS)
def test_no_shipped_model_is_refused_for_its_confidence(name, precision):
    """Whatever this machine can run; bf16 changes too many labels of `street`, and that alone is said."""
    refused = []
    for backend in BACKENDS:
        try:
            open_backend(open_model(name), backend, 'cpu', precision).close()
        except BackendUnavailableError:
            continue
        except SelfTestError as error:
            refused.append(str(error))
    assert not any('confidence' in why for why in refused)
    assert not refused or (name, precision) == ('street', 'bf16')


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_a_wrong_confidence_alone_is_caught(model, monkeypatch, precision):
    """A backend whose labels and depth are right, and which is as sure of all as the model is on average."""

    def with_one_confidence(run, images):
        maps = run(images)
        return {**maps, 'confidence': np.full_like(maps['confidence'], maps['confidence'].mean())}

    monkeypatch.setitem(BACKENDS, 'torch', altered('torch', with_one_confidence))
    with pytest.raises(SelfTestError, match=r'self-test \(\w+\): median confidence error \d\d\.0 of 255, expected'):
        open_backend(model, 'torch', 'cpu', precision)


def damaged(model, folder, change):
    """A copy of a model whose graph was changed, and whose card was made to agree."""
    copy = folder / 'damaged'
    shutil.copytree(model.path, copy)
    graph = onnx.load(copy / GRAPH)
    change(graph)
    onnx.save(graph, copy / GRAPH)
    card = ModelCard.read(copy / CARD)
    replace(card, sha256={**card.sha256, GRAPH: sha256(copy / GRAPH)}).write(copy / CARD)
    return open_model(copy)


def zero_one_filter(graph):
    """Of the first convolution: one of its 32 filters."""
    (weights,) = [tensor for tensor in graph.graph.initializer if list(tensor.dims) == [32, 3, 3, 3]]
    values = numpy_helper.to_array(weights).copy()
    strongest = np.abs(values).sum(axis=(1, 2, 3)).argmax()
    values[strongest] = 0
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_a_damaged_weight_is_caught(model, tmp_path, name):
    with pytest.raises(SelfTestError, match=r'labels agree|depth error'):
        open_backend(damaged(model, tmp_path, zero_one_filter), name, 'cpu')


def test_an_undamaged_copy_passes(model, tmp_path):
    assert open_backend(damaged(model, tmp_path, lambda graph: None), 'onnxruntime', 'cpu').name == 'onnxruntime'


def test_a_damaged_file_is_caught_by_its_sum(model, tmp_path):
    copy = tmp_path / 'copy'
    shutil.copytree(model.path, copy)
    content = bytearray((copy / GRAPH).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / GRAPH).write_bytes(content)
    with pytest.raises(ModelError, match=r'model\.onnx: not the file that the card names'):
        open_model(copy)


def broken(*_):
    raise RuntimeError('no plugin for the CPU')


@pytest.mark.parametrize(
    ('loader', 'reason'),
    [(swapped_channels('openvino'), 'openvino on cpu: self-test'), (broken, 'RuntimeError: no plugin for the CPU')],
    ids=['wrong', 'broken'],
)
def test_auto_passes_over_a_backend_that_is(loader, reason, monkeypatch, caplog):
    monkeypatch.setitem(BACKENDS, 'openvino', loader)
    with caplog.at_level(logging.INFO):
        assert open_backend(open_model('nyuv2_indoor')).name == 'onnxruntime'
    assert reason in caplog.text


def test_a_backend_that_fails_its_self_test_is_closed(monkeypatch):
    closed = []
    wrong = swapped_channels('onnxruntime')

    def load(*arguments):
        backend = wrong(*arguments)
        backend.close = lambda: closed.append(backend)
        return backend

    monkeypatch.setitem(BACKENDS, 'onnxruntime', load)
    with pytest.raises(SelfTestError):
        open_backend(open_model('nyuv2_indoor'), 'onnxruntime', 'cpu')
    assert len(closed) == 1


def test_the_self_test_is_as_strict_as_the_precision(monkeypatch):
    """Depth that is wrong by one percent: rounding in bf16 explains it, in fp32 nothing does."""

    def with_inexact_depth(run, images):
        maps = run(images)
        return maps | {'depth': maps['depth'] * np.float32(1.01)}

    monkeypatch.setitem(BACKENDS, 'torch', altered('torch', with_inexact_depth))
    model = open_model('nyuv2_indoor')
    for precision in ('auto', 'fp32'):
        with pytest.raises(SelfTestError, match=r'depth error 1\.\d+%, expected 0\.1%'):
            open_backend(model, 'torch', 'cpu', precision)
    assert open_backend(model, 'torch', 'cpu', 'bf16').precision == 'bf16'


@pytest.fixture
def asked(monkeypatch):
    """What backends are asked for, in order, on a machine with a GPU where none is installed."""
    asked = []

    def refusing(name):
        def load(model, device, precision):
            asked.append((name, device))
            raise BackendUnavailableError(name)

        return load

    monkeypatch.setattr(selection, 'cuda_device_count', lambda: 1)
    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, refusing(name))
    return asked


def test_what_auto_asks_for_on_a_machine_with_a_gpu(model, asked, monkeypatch, tmp_path):
    """TensorRT, which builds for minutes, only if it has an engine or is asked for."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    with pytest.raises(BackendUnavailableError, match='no engine built yet'):
        open_backend(model)
    on_cpu = [('openvino', 'cpu'), ('onnxruntime', 'cpu'), ('torch', 'cpu')]
    assert asked == [('torch', 'cuda:0'), ('onnxruntime', 'cuda:0'), *on_cpu]
    asked.clear()
    with pytest.raises(BackendUnavailableError):
        open_backend(model, device='tensorrt')
    assert asked == [('onnxruntime', 'tensorrt:0')]


@needs_no_gpu
def test_what_was_tried_is_said_where_nothing_can_run(model, monkeypatch):
    def missing(*_):
        raise BackendUnavailableError('not installed')

    for name in BACKENDS:
        monkeypatch.setitem(BACKENDS, name, missing)
    with pytest.raises(
        BackendUnavailableError, match=r'^no backend can run on cpu in bf16\. Tried: not installed; not'
    ):
        open_backend(model, device='cpu', precision='bf16')
    with pytest.raises(
        BackendUnavailableError, match=r'^torch cannot run on any device in fp32\. Tried: CUDA backends'
    ):
        open_backend(model, 'torch')


def test_backends_and_what_they_are_do_not_import_each_other():
    folder = Path(selection.__file__).parent
    for path in folder.glob('*_backend.py'):
        assert not re.search(r'backends(\.registry|\.selection| import)', path.read_text(encoding='utf-8')), path.name
    assert '_backend' not in (folder / 'backend.py').read_text(encoding='utf-8')


@pytest.mark.parametrize(
    ('backend', 'device', 'expected'),
    [
        ('torch', 'cuda:1', [('torch', 'cuda:1')]),
        ('torch', 'cuda', [('torch', 'cuda:0')]),
        ('auto', 'cuda:1', [('torch', 'cuda:1'), ('onnxruntime', 'cuda:1')]),
        ('auto', 'tensorrt:3', [('onnxruntime', 'tensorrt:3')]),
    ],
)
def test_the_number_of_a_device_is_kept(model, asked, backend, device, expected):
    with pytest.raises(BackendUnavailableError):
        open_backend(model, backend, device)
    assert asked == expected
