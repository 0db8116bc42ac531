"""The contract that every backend of BACKENDS keeps, on the model that comes with the package."""

import subprocess
import sys

import numpy as np
import pytest

from mtperception.backends import BACKENDS
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
    }
    assert (found['labels'] == expected['labels']).mean() >= 0.999
    assert np.abs(found['depth'] - expected['depth']).max() <= 1e-3
    assert np.abs(found['confidence'].astype(int) - expected['confidence']).max() <= 1


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


def test_too_large_images_are_refused_before_anything_is_prepared(backend):
    with pytest.raises(ValueError, match='4096x3072'):
        backend.prepare(1, 3073, 4096)


def test_latency_names_the_inference(backend):
    backend.run(room(64, 48))
    assert backend.latency_ms['inference'] > 0
    assert set(backend.latency_ms) <= {'upload', 'inference', 'download'}


def test_listing_imports_nothing():
    script = (
        'import sys; from mtperception.backends import BACKENDS; '
        'print(len(BACKENDS), [m for m in ("torch", "onnxruntime", "openvino") if m in sys.modules])'
    )
    listed = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == f'{len(BACKENDS)} []'
