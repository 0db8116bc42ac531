# SPDX-License-Identifier: Apache-2.0
"""The self-test of a model: does this backend, on this machine, give what PyTorch gave when the model was exported?"""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mtperception.agreement import Maps, mismatch, typical_difference
from mtperception.bounded_read import check_regular, shortened
from mtperception.errors import InputError, MTPerceptionError
from mtperception.tasks import CLASSES, DIRECTIONS, METRES, SHARES, TASKS, graph_output, graph_outputs
from mtperception.types import GRAPH_SIZES, is_graph_size

CONFIDENT = 128
MIN_CONFIDENT_PIXELS = 1000
MAX_DIFFERENCE = {
    CLASSES: {'fp32': 0.001, 'reduced': 0.03},
    SHARES: {'fp32': 1.0, 'reduced': 15.0},
    METRES: {'fp32': 0.001, 'reduced': 0.02},
    DIRECTIONS: {'fp32': 0.1, 'reduced': 2.0},
}
"""By kind of a map: the largest `agreement.typical_difference`. In bf16 shares of 255 differ by 10 (`street`), 3 and 1
(`nyuv2_indoor`: labels, depth); one value everywhere, the best there is, by 24 to 45."""
MAX_BYTES = 256 * 2**20
"""Largest file, bytes: well above one with `MAX_PIXELS`."""
MAX_HEADER = 16 * 2**10


class SelfTestError(MTPerceptionError, RuntimeError):
    """A backend whose outputs are not those of the model."""


def write_self_test(path: Path, image: np.ndarray, outputs: Maps) -> None:
    """Store an image (uint8 H,W,3) and the graph's fp32 PyTorch outputs for it (without the batch axis)."""
    np.savez_compressed(path, image=image, **outputs)


def run_self_test(path: Path, run: Callable[[np.ndarray], Maps], precision: str = 'fp32') -> None:
    """Run a stored self-test.

    Maps are compared where the stored confidence is at least 128, if that is so on 1000 pixels, else everywhere; shares
    of 255, such as the confidence itself, are compared everywhere.

    Args:
        path: the `selftest.npz` of a model directory.
        run: maps uint8 1,H,W,3 to the graph's outputs.
        precision: what `run` computes in; anything but 'fp32' is allowed the larger differences.

    Raises:
        SelfTestError: if an output is missing, differs in type or shape, is not finite, or differs by more than
            `precision` explains; or the file is no self-test.
    """
    image, expected = read_self_test(path)
    expected = {name: map_[None] for name, map_ in expected.items()}
    found = run(image[None])
    problem = mismatch(expected, expected) or mismatch(found, expected)
    if problem:
        raise SelfTestError(f'self-test ({precision}): {problem}')
    mask = _compared(expected)
    tolerance = 'fp32' if precision == 'fp32' else 'reduced'
    failures = [_failure(name, found[name], expected[name], mask, tolerance) for name in expected]
    if any(failures):
        raise SelfTestError(f'self-test ({precision}): {"; ".join(filter(None, failures))}')


def _compared(expected: Maps) -> np.ndarray:
    """bool 1,H,W: the pixels that the network is sure of, or all if these are few."""
    everywhere = np.ones(next(iter(expected.values())).shape[:3], bool)
    confident = expected.get('confidence', everywhere) >= CONFIDENT
    return confident if confident.sum() >= MIN_CONFIDENT_PIXELS else everywhere


def _failure(name: str, found: np.ndarray, expected: np.ndarray, mask: np.ndarray, tolerance: str) -> str:
    """What is wrong with a map; '' if nothing."""
    kind = graph_output(name).kind
    pixels = np.ones_like(mask) if kind == SHARES else mask
    difference, limit = typical_difference(name, found[pixels], expected[pixels]), MAX_DIFFERENCE[kind][tolerance]
    return '' if difference <= limit else _FAILURES[kind](name, difference, limit)


_FAILURES: dict[str, Callable[[str, float, float], str]] = {
    CLASSES: lambda name, found, limit: f'{name} agree on {1 - found:.2%}, expected {1 - limit:.1%}',
    SHARES: lambda name, found, limit: f'median {name} error {found:.1f} of 255, expected {limit:g}',
    METRES: lambda name, found, limit: f'median relative {name} error {found:.2%}, expected {limit:.1%}',
    DIRECTIONS: lambda name, found, limit: f'median angle of {name} {found:.2f} deg, expected {limit}',
}


def read_self_test(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The image, uint8 H,W,3, and the graph's outputs for it, by name, without the batch axis.

    What the file says of its arrays is checked before any is unpacked. Nothing is unpickled.

    Raises:
        SelfTestError: if it is not a self-test, or one of an image of more than `MAX_PIXELS` or
            `MAX_IMAGE_SIDE`.
    """
    try:
        check_regular(path, MAX_BYTES)
        with zipfile.ZipFile(path) as archive:
            kinds = {name.removesuffix('.npy'): _kind(archive, name) for name in archive.namelist()}
            _check_kinds(kinds)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in kinds}
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise SelfTestError(shortened(f'{path}: not a self-test: {error}: export or import the model again')) from error
    return arrays.pop('image'), arrays


def _kind(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a stored array, by its header alone."""
    with archive.open(name) as member:
        header = io.BytesIO(member.read(MAX_HEADER))
    version = np.lib.format.read_magic(header)
    if version != (1, 0):
        raise InputError(f'{name}: an array of format {version}')
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    return shape, dtype


def _check_kinds(kinds: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    """Raises InputError unless these are an image and outputs of a graph for it."""
    (height, width, *channels), dtype = kinds['image']
    if channels != [3] or dtype != np.uint8 or not is_graph_size(width, height):
        raise InputError(f'image {dtype} {kinds["image"][0]}: expected uint8 (H, W, 3) and {GRAPH_SIZES}')
    outputs = {output.name: output for output in graph_outputs(TASKS)}
    for name in kinds.keys() - {'image'}:
        if name not in outputs:
            raise InputError(f'{name}: expected some of {", ".join(outputs)}')
        output = outputs[name]
        expected = (height, width) if output.channels == 1 else (height, width, output.channels)
        if kinds[name] != (expected, np.dtype(output.dtype)):
            raise InputError(f'{name} {kinds[name][1]} {kinds[name][0]}: expected {output.dtype} {expected}')
    if kinds.keys() == {'image'}:
        raise InputError('found only an image; expected an output too')
