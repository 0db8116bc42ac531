"""The self-test of a model: does this backend, on this machine, give what PyTorch gave when the model was exported?"""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mtperception.errors import MTPerceptionError

CONFIDENT = 128
MIN_CONFIDENT_PIXELS = 1000
MIN_LABEL_AGREEMENT = {'fp32': 0.999, 'reduced': 0.97}
MAX_DEPTH_ERROR = {'fp32': 0.001, 'reduced': 0.02}
MAX_NORMAL_ERROR = {'fp32': 0.1, 'reduced': 2.0}

Maps = Mapping[str, np.ndarray]


class SelfTestError(MTPerceptionError, RuntimeError):
    """A backend whose outputs are not those of the model."""


def write_self_test(path: Path, image: np.ndarray, outputs: Maps) -> None:
    """Store an image (uint8 H,W,3) and the graph's fp32 PyTorch outputs for it (without the batch axis)."""
    np.savez_compressed(path, image=image, **outputs)


def run_self_test(path: Path, run: Callable[[np.ndarray], Maps], precision: str = 'fp32') -> None:
    """Run a stored self-test.

    Labels and depth are compared where the stored confidence is at least 128, if that is so on 1000 pixels, else
    everywhere.

    Args:
        path: the `selftest.npz` of a model directory.
        run: maps uint8 1,H,W,3 to the graph's outputs.
        precision: what `run` computes in; anything but 'fp32' is allowed the larger differences.

    Raises:
        SelfTestError: if an output is missing, differs in type or shape, or differs by more than `precision` explains.
    """
    with np.load(path, allow_pickle=False) as stored:
        expected = {key: stored[key] for key in stored.files}
    image = expected.pop('image')
    outputs = run(image[None])
    tolerance = 'fp32' if precision == 'fp32' else 'reduced'
    for name, reference in expected.items():
        found = outputs.get(name)
        if found is None or found.dtype != reference.dtype or found[0].shape != reference.shape:
            kind = 'nothing' if found is None else f'{found.dtype} {found.shape}'
            raise SelfTestError(f'self-test: {name}: found {kind}, expected {reference.dtype} {(1, *reference.shape)}')

    mask = np.ones(image.shape[:2], bool)
    confident = expected.get('confidence', mask) >= CONFIDENT
    if confident.sum() >= MIN_CONFIDENT_PIXELS:
        mask = confident
    failures = []
    if 'labels' in expected:
        agreement = float((outputs['labels'][0] == expected['labels'])[mask].mean())
        if not agreement >= MIN_LABEL_AGREEMENT[tolerance]:
            failures.append(f'labels agree on {agreement:.2%}, expected {MIN_LABEL_AGREEMENT[tolerance]:.1%}')
    if 'depth' in expected:
        error = float(np.median(np.abs(outputs['depth'][0] / expected['depth'] - 1)[mask]))
        if not error <= MAX_DEPTH_ERROR[tolerance]:
            failures.append(f'median relative depth error {error:.2%}, expected {MAX_DEPTH_ERROR[tolerance]:.1%}')
    if 'normals' in expected:
        cosine = np.sum(outputs['normals'][0] * expected['normals'], axis=-1)
        error = float(np.degrees(np.median(np.arccos(np.clip(cosine[mask], -1, 1)))))
        if not error <= MAX_NORMAL_ERROR[tolerance]:
            failures.append(f'median angle of normals {error:.2f} deg, expected {MAX_NORMAL_ERROR[tolerance]}')
    if failures:
        raise SelfTestError(f'self-test ({precision}): {"; ".join(failures)}')
