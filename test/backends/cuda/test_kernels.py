# SPDX-License-Identifier: Apache-2.0
"""Triton's kernels give the maps of `Pipeline`, by Triton's interpreter, and compile for GPUs that are not here."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from mtperception.networks import load_network
from mtperception.pipeline import Pipeline, normalize
from mtperception.synthetic import SyntheticRoom

pytest.importorskip('triton')

PHOTOGRAPHS = Path(__file__).resolve().parents[4] / 'shared' / 'data' / 'nyuv2' / 'rgb'
ROUNDING = 1e-5
"""Of the largest logit. float32 has 6e-8, and a sample's position among up to 160 others is known to 160 times that."""

RANDOM = {
    'forty classes, two images': ((2, 40, 3, 5), (11, 19), (0, 40), np.float32),
    'all that a model may slice': ((1, 46, 2, 3), (7, 9), (6, 46), np.float32),
    'half precision': ((1, 40, 2, 3), (7, 9), (0, 40), np.float16),
    'a slice, two images': ((2, 12, 4, 4), (9, 13), (3, 10), np.float16),
    'one class': ((1, 1, 4, 2), (5, 3), (0, 1), np.float32),
    'one pixel': ((1, 3, 1, 1), (1, 1), (0, 3), np.float32),
    'rows of several programs': ((1, 5, 2, 70), (3, 277), (0, 5), np.float32),
    'smaller than the source': ((1, 6, 6, 5), (4, 3), (0, 6), np.float32),
}
WHOLE_NUMBERS = 'whole numbers'


def real_logits(image):
    with torch.inference_mode():
        return load_network('nyuv2_indoor')(normalize(torch.tensor(image[None])))['segmentation'].numpy()


def photograph(width, height):
    """A strip of a photograph of a room."""
    path = sorted(PHOTOGRAPHS.glob('*.jpg'))[100]
    image = cv2.resize(cv2.imread(str(path))[..., ::-1], (width, 4 * height), interpolation=cv2.INTER_AREA)
    return image[height : 2 * height].copy()


NAMES = [*RANDOM, WHOLE_NUMBERS, 'a rendered room', *(['a photograph'] if PHOTOGRAPHS.is_dir() else [])]


@cache
def case(name):
    """Logits, size and classes."""
    if name == 'a rendered room':
        return real_logits(SyntheticRoom(96, 24).frame(1.0).image), (24, 96), (0, 40)
    if name == 'a photograph':
        return real_logits(photograph(96, 20)), (20, 96), (0, 40)
    generator = np.random.default_rng(NAMES.index(name))
    if name == WHOLE_NUMBERS:
        return generator.integers(0, 3, (2, 7, 3, 4)).astype(np.float32), (12, 16), (0, 7)
    shape, size, classes, dtype = RANDOM[name]
    return generator.normal(size=shape).astype(dtype), size, classes


def raw_depth(name):
    """Of both signs, within and beyond 0.5 to 2 m; one is not a number."""
    logits = case(name)[0]
    raw = np.random.default_rng(1).normal(size=(len(logits), 1, *logits.shape[2:])).astype(logits.dtype)
    raw[0, 0, -1, -1] = np.nan
    return raw


@pytest.fixture(scope='module')
def image():
    return SyntheticRoom(53, 19).frame(2.0).image[None]


@pytest.fixture(scope='module')
def found(tmp_path_factory, image):
    """What the kernels make of all cases and, as steps of a pipeline, of an image."""
    folder = tmp_path_factory.mktemp('kernels')
    given = {'image': image}
    for name in NAMES:
        logits, size, classes = case(name)
        given |= {f'{name}.logits': logits, f'{name}.size': size, f'{name}.classes': classes}
        given[f'{name}.raw'] = raw_depth(name)
    np.savez(folder / 'in.npz', **given)
    script = Path(__file__).with_name('interpreted_kernels.py')
    command = [sys.executable, str(script), str(folder / 'in.npz'), str(folder / 'out.npz')]
    paths = os.pathsep.join(sys.path)  # a script sees its own folder, not the one that pytest was started in
    environment = {**os.environ, 'TRITON_INTERPRET': '1', 'PYTHONPATH': paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return np.load(folder / 'out.npz')


def exact(logits, size, classes):
    """The chosen logits upsampled, in double precision, by PyTorch's own interpolation."""
    chosen = torch.tensor(logits[:, slice(*classes)]).double()
    return functional.interpolate(chosen, size=size, mode='bilinear', align_corners=False)


@pytest.mark.parametrize('name', NAMES)
def test_labels(found, name):
    """Those of the largest logit or, where they are not, of one that single precision cannot tell from it."""
    logits, size, classes = case(name)
    upsampled = exact(logits, size, classes)
    labels = torch.tensor(found[f'{name}.labels'])
    assert (labels.dtype, labels.shape) == (torch.uint8, (len(logits), *size))
    index = labels.long() - classes[0]
    assert index.min() >= 0
    chosen = upsampled.gather(1, index[:, None])[:, 0]
    assert (upsampled.amax(dim=1) - chosen).max() <= ROUNDING * np.abs(logits).max()
    assert (index == upsampled.argmax(dim=1)).double().mean() >= (0.999 if name != WHOLE_NUMBERS else 0)


def test_the_first_class_wins_a_tie(found):
    """Logits of 0, 1 and 2, four times as large: all weights are eighths, so that all samples are exact, and tie."""
    logits, size, classes = case(WHOLE_NUMBERS)
    upsampled = exact(logits, size, classes)
    ties = (upsampled == upsampled.amax(dim=1, keepdim=True)).sum(dim=1) > 1
    assert ties.double().mean() > 0.1
    first = (upsampled == upsampled.amax(dim=1, keepdim=True)).int().argmax(dim=1)
    assert np.array_equal(found[f'{WHOLE_NUMBERS}.labels'], first)


@pytest.mark.parametrize(('output', 'temperature'), [('confidence', 1.0), ('softer', 2.5)])
@pytest.mark.parametrize('name', NAMES)
def test_confidence(found, name, output, temperature):
    logits, size, classes = case(name)
    chosen = torch.tensor(logits[:, slice(*classes)]).double() / temperature
    largest = chosen.softmax(dim=1).amax(dim=1, keepdim=True)
    expected = 255 * functional.interpolate(largest, size=size, mode='bilinear', align_corners=False)[:, 0]
    confidence = found[f'{name}.{output}']
    assert confidence.dtype == np.uint8
    # A rounded number is within half a step of what it was.
    assert np.abs(confidence - expected.numpy()).max() <= 0.5 + 1e-3


@pytest.mark.parametrize('name', NAMES)
def test_depth(found, name):
    _, size, _ = case(name)
    raw = torch.tensor(raw_depth(name)).double()
    expected = functional.interpolate(raw, size=size, mode='bilinear', align_corners=False)[:, 0].abs().clamp(0.5, 2.0)
    metres = found[f'{name}.depth']
    assert metres.dtype == np.float32
    np.testing.assert_allclose(metres, expected, atol=1e-4)  # NaN where NaN is expected


def test_a_pipeline(found, image):
    """Of some of the classes, with a temperature."""
    with torch.inference_mode():
        expected = Pipeline(load_network('nyuv2_indoor'), (0.3, 10.0), (6, 40), 1.5)(torch.tensor(image))
    assert found['pipeline.labels'].min() >= 6
    assert (found['pipeline.labels'] == expected['labels'].numpy()).mean() >= 0.999
    assert np.abs(found['pipeline.confidence'].astype(int) - expected['confidence'].numpy()).max() <= 1
    assert found['pipeline.depth'] == pytest.approx(expected['depth'].numpy(), abs=1e-4)


POINTERS = {'largest': '*fp32', 'metres': '*fp32', 'labels': '*u8', 'confidence': '*u8'}
NUMBERS = ('row_scale', 'column_scale', 'nearest', 'farthest', 'sharpness')
CONSTANTS = {'classes': 40, 'padded_classes': 64, 'block': 128}
ONE_LINE = ('source_height', 'row_stride', 'column_stride', 'height')


@pytest.mark.parametrize(
    ('capability', 'precision', 'ones'), [(75, 'fp16', ()), (90, 'bf16', ('class_stride',)), (90, 'fp32', ONE_LINE)]
)
@pytest.mark.parametrize('kernel', ['_largest_probability', '_labels_and_confidence', '_depth'])
def test_kernels_compile(kernel, capability, precision, ones, tmp_path, monkeypatch):
    """To machine code, for GPUs that are not here; Triton compiles a number that is 1 as a constant."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from mtperception.backends.cuda import kernels

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    function = getattr(kernels, kernel)
    constants = {name: CONSTANTS.get(name, 1) for name in function.arg_names if name in CONSTANTS or name in ones}
    types = dict.fromkeys(function.arg_names, 'i32')
    types |= {name: type_ for name, type_ in POINTERS.items() if name in types}
    types |= dict.fromkeys({'logits', 'raw'} & set(types), f'*{precision}')
    types |= {name: 'fp32' for name in NUMBERS if name in types}
    types |= dict.fromkeys(constants, 'constexpr')
    compiled = triton.compile(ASTSource(function, types, constants), target=GPUTarget('cuda', capability, 32))
    assert f'sm_{capability}' in compiled.asm['ptx']
    assert len(compiled.asm['cubin']) > 0
