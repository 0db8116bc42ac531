# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's buffers are the caller's arrays, and engines are kept by all that they depend on."""

import os
import shutil
import string
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import onnxruntime
import pytest

from mtperception.backends.backend import PreparationError
from mtperception.backends.engine_cache import engine_cache, engine_folder, has_engine, has_engines
from mtperception.backends.onnxruntime_backend import OPTIONS, PROVIDERS, OnnxRuntimeBackend, providers_for
from mtperception.card import GRAPH, ModelDirectory, open_model
from mtperception.synthetic import SyntheticRoom


@pytest.fixture(scope='module')
def model():
    return open_model('nyuv2_indoor')


def images(count, seconds=0.0):
    room = SyntheticRoom(96, 64)
    return np.stack([room.frame(seconds + 2.0 * i).image for i in range(count)])


@pytest.mark.parametrize('count', [1, 2])
def test_bound_buffers_hold_what_a_plain_run_returns(model, count):
    session = onnxruntime.InferenceSession(model.graph, providers=['CPUExecutionProvider'])
    names = [output.name for output in session.get_outputs()]
    expected = dict(zip(names, session.run(names, {'image': images(count)}), strict=True))
    found = OnnxRuntimeBackend(model, 'cpu', 'fp32').run(images(count))
    assert set(found) == set(expected)
    for name, map_ in expected.items():
        assert (found[name].dtype, found[name].shape) == (map_.dtype, map_.shape)
    assert np.array_equal(found['labels'], expected['labels'])
    assert found['depth'] == pytest.approx(expected['depth'], abs=1e-5)


def test_runs_share_no_memory(model):
    """A node may still be publishing the maps of one frame while the next one is computed."""
    backend = OnnxRuntimeBackend(model, 'cpu', 'fp32')
    first = backend.run(images(1))
    kept = {name: map_.copy() for name, map_ in first.items()}
    second = backend.run(images(1, 9.0))
    for name in kept:
        assert not np.shares_memory(first[name], second[name])
        assert np.array_equal(first[name], kept[name])
        assert first[name].flags.owndata


def test_what_the_library_raises_becomes_an_error_of_the_package(model, tmp_path):
    """ONNX Runtime's own errors are plain Exceptions: who prepares could not tell them from those of a program."""
    copy = open_model(shutil.copytree(model.path, tmp_path / 'copy'))
    backend = OnnxRuntimeBackend(copy, 'cpu', 'fp32')
    backend.prepare(1, 48, 64)
    copy.graph.unlink()
    with pytest.raises(PreparationError, match=r'onnxruntime on cpu cannot be prepared for 2 x 64x48.*NoSuchFile'):
        backend.prepare(2, 48, 64)
    assert backend.is_prepared(1, 48, 64)
    assert not backend.is_prepared(2, 48, 64)


def test_an_engine_is_kept_by_all_that_it_depends_on(model, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    cache = engine_cache(model, 'tensorrt', '1.20.0')
    assert cache == tmp_path / 'mtperception' / 'tensorrt' / '1.20.0' / model.card.sha256[GRAPH][:16]
    folder = engine_folder(cache, 'fp16', (2, 480, 640))
    assert folder == cache / 'fp16-2x480x640'
    other = ModelDirectory(model.path, replace(model.card, sha256={GRAPH: 'f' * 64}))
    folders = {
        folder,
        engine_folder(cache, 'fp32', (2, 480, 640)),
        engine_folder(cache, 'fp16', (1, 480, 640)),
        engine_folder(engine_cache(model, 'tensorrt', '1.21.0'), 'fp16', (2, 480, 640)),
        engine_folder(engine_cache(model, 'cuda', '1.20.0'), 'fp16', (2, 480, 640)),
        engine_folder(engine_cache(other, 'tensorrt', '1.20.0'), 'fp16', (2, 480, 640)),
    }
    assert len(folders) == 6


def test_a_built_engine_is_found(model, monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    cache = engine_cache(model, 'tensorrt')
    assert cache.parent.name == onnxruntime.__version__  # of the one installed
    assert not has_engines(cache, 'fp16')
    folder = engine_folder(cache, 'fp16', (1, 480, 640))
    folder.mkdir(parents=True)
    assert not has_engines(cache, 'fp16')
    (folder / 'TensorrtExecutionProvider_TRTKernel_graph_1_fp16.engine').touch()
    assert has_engines(cache, 'fp16')
    assert not has_engines(cache, 'fp32')
    assert has_engine(folder)
    assert not has_engine(engine_folder(cache, 'fp16', (1, 240, 320)))


@pytest.mark.parametrize('device', ['cpu', 'cuda:0'])
def test_cuda_libraries_of_pip_are_found_without_pytorch(model, device):
    """Their folders are unknown to the system's loader; PyTorch would have loaded them, had it been imported."""
    if not hasattr(onnxruntime, 'preload_dlls') or find_spec('nvidia') is None:
        pytest.skip("needs ONNX Runtime 1.21 and pip's CUDA libraries")
    if find_spec('nvidia.cu13' if onnxruntime.cuda_version.startswith('13.') else 'nvidia.cublas') is None:
        pytest.skip(f'needs the libraries of CUDA {onnxruntime.cuda_version}, for which ONNX Runtime was built')
    code = (
        'import sys\n'
        'from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend\n'
        'from mtperception.card import open_model\n'
        f'OnnxRuntimeBackend(open_model({str(model.path)!r}), {device!r}, "fp32")\n'
        'loaded = "libcublas" in open("/proc/self/maps").read()\n'
        'print("torch" in sys.modules, loaded)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f'False {device != "cpu"}\n'


def test_a_session_that_fails_stays_where_it_is(model, tmp_path):
    """By default ONNX Runtime opens it again on the CPU, and prints so; here no GPU is there for TensorRT."""
    code = (
        'from mtperception.backends.backend import BackendUnavailableError\n'
        'from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend\n'
        'from mtperception.card import open_model\n'
        f'backend = OnnxRuntimeBackend(open_model({str(model.path)!r}), "tensorrt:0", "fp32")\n'
        'try:\n'
        '    backend.prepare(1, 48, 64)\n'
        'except BackendUnavailableError:\n'
        '    print("unavailable")\n'
    )
    environment = {**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'XDG_CACHE_HOME': str(tmp_path)}
    done = subprocess.run(
        [sys.executable, '-c', code], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == 'unavailable\n'


def test_options_are_data():
    assert set(OPTIONS) == {provider for providers in PROVIDERS.values() for provider in providers}
    places = {
        name
        for options in OPTIONS.values()
        for option in options.values()
        for _, name, _, _ in string.Formatter().parse(option)
        if name is not None
    }
    assert places == {'device', 'engines', 'timings', 'fp16'}


def test_providers_are_of_the_device_and_the_precision(tmp_path):
    folders = (tmp_path / 'cache', tmp_path / 'cache' / 'engines')
    on_cpu = ('CPUExecutionProvider', {})
    assert providers_for('cpu', 'fp32', *folders) == [on_cpu]
    for device, number in (('cuda:1', '1'), ('cuda', '0')):
        on_cuda = ('CUDAExecutionProvider', {'device_id': number, 'use_tf32': '0'})
        assert providers_for(device, 'fp32', *folders) == [on_cuda, on_cpu]
    for precision, switched in (('fp16', 'True'), ('fp32', 'False')):
        (name, options), (_, of_cuda), last = providers_for('tensorrt:2', precision, *folders)
        assert (name, of_cuda['device_id'], last) == ('TensorrtExecutionProvider', '2', on_cpu)
        assert (options['device_id'], options['trt_fp16_enable']) == ('2', switched)
        assert (options['trt_timing_cache_path'], options['trt_engine_cache_path']) == tuple(map(str, folders))


MANY_SHAPES = """
import os
os.sched_setaffinity(0, {0})
import numpy as np
from mtperception.backends.memory import resident_bytes
from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend
from mtperception.card import open_model
backend = OnnxRuntimeBackend(open_model('nyuv2_indoor'), 'cpu', 'fp32')
threads = len(os.listdir('/proc/self/task'))
mebibytes = []
for width in (160, 152, 144, 136):
    backend.run(np.zeros((1, 480, width, 3), np.uint8))
    mebibytes.append(resident_bytes() / 2**20)
print(len(os.listdir('/proc/self/task')) - threads, *np.diff(mebibytes))
"""


def test_more_shapes_share_memory_and_bring_no_threads_that_have_no_core():
    """Of 120 MiB that each would take, they share all but the weights; threads are those that the process may use."""
    done = subprocess.run([sys.executable, '-c', MANY_SHAPES], capture_output=True, text=True, check=True, timeout=120)
    threads, *grown = map(float, done.stdout.split())
    assert threads == 0
    assert max(grown) < 50
