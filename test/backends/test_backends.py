# SPDX-License-Identifier: Apache-2.0
"""The contract that every backend of BACKENDS keeps, on the model that comes with the package."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hooked_backend import HookedBackend

from mtperception.backends import BACKENDS, Backend, PreparationError
from mtperception.backends import backend as backend_module
from mtperception.card import open_model
from mtperception.selftest import run_self_test
from mtperception.synthetic import SyntheticRoom


@pytest.fixture(scope='module')
def model():
    return open_model('nyuv2_indoor')


@pytest.fixture(params=BACKENDS)
def backend(request, model):
    opened = BACKENDS[request.param](model, 'cpu', 'fp32')
    yield opened
    opened.close()


@pytest.fixture(scope='module')
def reference(model):
    """PyTorch's outputs."""
    opened = BACKENDS['torch'](model, 'cpu', 'fp32')
    return opened.run


def room(width, height, count=1):
    scene = SyntheticRoom(width, height, 0.8 * width)
    return np.stack([scene.frame(2.0 * i).image for i in range(count)])


def test_self_test(backend, model):
    run_self_test(model.self_test, backend.run)


@pytest.mark.parametrize(('width', 'height', 'count'), [(160, 120, 1), (131, 97, 2), (33, 47, 1)])
def test_equals_pytorch(backend, reference, width, height, count):
    images = room(width, height, count)
    found, expected = backend.run(images), reference(images)
    assert {name: (map_.dtype, map_.shape) for name, map_ in found.items()} == {
        'labels': (np.uint8, (count, height, width)),
        'confidence': (np.uint8, (count, height, width)),
        'depth': (np.float32, (count, height, width)),
        'depth_confidence': (np.uint8, (count, height, width)),
    }
    assert (found['labels'] == expected['labels']).mean() >= 0.999
    assert np.abs(found['depth'] - expected['depth']).max() <= 1e-3
    for name in ('confidence', 'depth_confidence'):
        assert np.abs(found[name].astype(int) - expected[name]).max() <= 1


def test_read_only_and_strided_images(backend):
    """Views of messages are read-only, crops are strided."""
    wide = room(160, 64)
    crop = wide[:, :, 16:112]
    expected = backend.run(crop.copy())
    crop.flags.writeable = False
    found = backend.run(crop)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def test_outputs_belong_to_the_caller(backend):
    """A later run must not write into the maps of an earlier one."""
    first = backend.run(room(64, 48))
    kept = {name: map_.copy() for name, map_ in first.items()}
    backend.run(np.zeros((1, 48, 64, 3), np.uint8))
    assert all(np.array_equal(first[name], kept[name]) for name in kept)
    assert all(map_.flags.writeable for map_ in first.values())


def test_four_shapes_are_kept(backend):
    shapes = [(1, 32, 32 + 8 * i) for i in range(backend_module.MAX_PREPARED_SHAPES)]
    for shape in shapes:
        backend.prepare(*shape)
    backend.run(np.zeros((*shapes[0], 3), np.uint8))  # now the second is the least recently used
    backend.prepare(1, 48, 48)
    assert [backend.is_prepared(*shape) for shape in shapes] == [True, False, True, True]
    assert backend.is_prepared(1, 48, 48)
    backend.close()
    assert not backend.is_prepared(1, 48, 48)


@pytest.mark.parametrize(
    'images',
    [
        np.zeros((1, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 4), np.uint8),
        np.zeros((1, 0, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(backend, images):
    with pytest.raises(ValueError, match='expected'):
        backend.run(images)


def test_threads_take_turns_at_a_shape(backend):
    images = [image[None] for image in room(64, 48, 2)]
    expected = [backend.run(image) for image in images]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(backend.run, images * 10))
    for index, maps in enumerate(found):
        assert all(np.array_equal(map_, expected[index % 2][name]) for name, map_ in maps.items())


def test_too_large_images_are_refused_before_anything_is_prepared(backend):
    with pytest.raises(ValueError, match='4096x3072'):
        backend.prepare(1, 3073, 4096)


def test_latency_names_the_inference(backend):
    maps, latency_ms = backend.run_timed(room(64, 48))
    assert set(maps) == {'labels', 'confidence', 'depth', 'depth_confidence'}
    assert latency_ms['inference'] > 0
    assert set(latency_ms) <= {'upload', 'inference', 'download'}


@pytest.fixture
def hooked(model):
    opened = HookedBackend(model)
    yield opened
    opened.close()


def test_a_prepared_shape_runs_while_another_is_compiled(hooked):
    hooked.run(room(64, 48))
    compiling, go_on = threading.Event(), threading.Event()

    def wait(batch, height, width):
        compiling.set()
        assert go_on.wait(60)

    hooked.before = wait
    preparation = threading.Thread(target=hooked.prepare, args=(1, 32, 40))
    preparation.start()
    assert compiling.wait(60)
    try:
        assert hooked.run(room(64, 48))['labels'].shape == (1, 48, 64)
        assert not hooked.is_prepared(1, 32, 40)
    finally:
        go_on.set()
        preparation.join()
    assert hooked.is_prepared(1, 32, 40)


def test_a_shape_is_dropped_only_when_its_replacement_is_ready(hooked):
    hooked.max_prepared = 1
    hooked.prepare(1, 48, 64)
    kept = []

    def fail_at_16(batch, height, width):
        kept.append(hooked.is_prepared(1, 48, 64))
        if width == 16:
            raise MemoryError('too much')

    hooked.before = fail_at_16
    with pytest.raises(PreparationError, match='too much'):
        hooked.prepare(1, 16, 16)
    assert hooked.is_prepared(1, 48, 64)
    hooked.prepare(1, 32, 40)
    assert kept == [True, True]
    assert not hooked.is_prepared(1, 48, 64)


def test_what_is_prepared_after_the_end_is_not_kept(hooked):
    hooked.before = lambda *shape: hooked.close()
    hooked.prepare(1, 32, 40)
    assert not hooked.is_prepared(1, 32, 40)
    assert hooked.prepared_memory == 0


class Measured(Backend):
    """A backend whose shapes take a byte for each pixel, in a memory of its own; it computes nothing."""

    name = 'measured'

    def __init__(self):
        self.in_use = 0
        super().__init__('cpu', 'fp32')

    def _compile(self, batch, height, width):
        self.in_use += batch * height * width
        return lambda images: ({}, {})

    def _memory_in_use(self):
        return self.in_use

    def _memory_available(self):
        return 4000


def test_shapes_are_kept_within_the_budget_of_memory():
    backend = Measured()
    assert backend.memory_budget == 1000, 'a quarter of what is available'
    backend.max_prepared = 9
    for width in (30, 40, 20):
        backend.prepare(1, 10, width)
    assert backend.prepared_memory == 900
    backend.prepare(1, 10, 30)  # in use again: now 40 is the one that was not for the longest time
    backend.prepare(1, 10, 15)
    assert [backend.is_prepared(1, 10, width) for width in (30, 40, 20, 15)] == [True, False, True, True]
    backend.prepare(1, 100, 100)
    assert backend.is_prepared(1, 100, 100), 'more than the budget, but without it nothing would run'
    assert backend.prepared_memory == 10000


TAKES_A_SHAPE = """
import sys
from mtperception.backends import BACKENDS
from mtperception.card import open_model
backend = BACKENDS[sys.argv[1]](open_model('nyuv2_indoor'), 'cpu', 'fp32')
backend.prepare(1, 480, 640)
print(backend.prepared_memory)
"""


@pytest.mark.parametrize('name', sorted(set(BACKENDS) - {'torch'}))  # PyTorch prepares nothing that stays
def test_a_shape_takes_memory_that_is_counted(name):
    """At least that of the network's weights, in a process of its own: one of many tests has memory left over."""
    command = [sys.executable, '-c', TAKES_A_SHAPE, name]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert 2**20 < int(done.stdout) < 2**30


def test_listing_imports_nothing():
    script = (
        'import sys; from mtperception.backends import BACKENDS; '
        'print(len(BACKENDS), [m for m in ("torch", "onnxruntime", "openvino") if m in sys.modules])'
    )
    listed = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == f'{len(BACKENDS)} []'
