# SPDX-License-Identifier: Apache-2.0
"""The self-test's arithmetic; with real models and real damage it is tested in backends/test_selection.py."""

import numpy as np
import pytest

from mtperception.selftest import SelfTestError, run_self_test, write_self_test

SHAPE = (40, 50)


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    return {
        'labels': rng.integers(0, 40, SHAPE).astype(np.uint8),
        'confidence': np.full(SHAPE, 200, np.uint8),
        'depth': rng.uniform(1, 5, SHAPE).astype(np.float32),
    }


@pytest.fixture
def path(tmp_path, outputs):
    write_self_test(tmp_path / 'selftest.npz', np.zeros((*SHAPE, 3), np.uint8), outputs)
    return tmp_path / 'selftest.npz'


def batch(outputs):
    return {name: map_[None].copy() for name, map_ in outputs.items()}


def test_equal_outputs_pass(path, outputs):
    run_self_test(path, lambda image: batch(outputs))


def wrong_labels(outputs, pixels):
    found = batch(outputs)
    found['labels'].reshape(-1)[:pixels] += 1
    return found


@pytest.mark.parametrize(('precision', 'allowed'), [('fp32', 2), ('bf16', 60)])
def test_labels_may_differ_by_what_the_precision_explains(path, outputs, precision, allowed):
    """Of 2000 pixels: 0.1 % at fp32, 3 % below."""
    run_self_test(path, lambda image: wrong_labels(outputs, allowed), precision)
    with pytest.raises(SelfTestError, match='labels agree on'):
        run_self_test(path, lambda image: wrong_labels(outputs, allowed + 1), precision)


@pytest.mark.parametrize(('precision', 'factor'), [('fp32', 1.0011), ('fp16', 1.021)])
def test_depth_may_differ_by_what_the_precision_explains(path, outputs, precision, factor):
    within = batch(outputs)
    within['depth'] *= 1 + (factor - 1) * 0.9
    run_self_test(path, lambda image: within, precision)
    drifted = batch(outputs)
    drifted['depth'] *= factor
    with pytest.raises(SelfTestError, match='median relative depth error'):
        run_self_test(path, lambda image: drifted, precision)


def tilted(degrees, shape=SHAPE):
    return np.broadcast_to(
        np.float32([0, np.sin(np.radians(degrees)), -np.cos(np.radians(degrees))]), (*shape, 3)
    ).copy()


SOFT = np.random.default_rng(1).integers(20, 230, SHAPE).astype(np.uint8)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
@pytest.mark.parametrize('name', ['confidence', 'depth_confidence'])
@pytest.mark.parametrize(
    'wrong',
    [
        lambda right: np.zeros_like(right),
        lambda right: np.full_like(right, 255),
        lambda right: np.full_like(right, right.mean()),  # on average right
        lambda right: right // 2,
        lambda right: 255 - right,
        lambda right: right[:, ::-1],
    ],
)
def test_a_backend_with_another_confidence_is_refused(tmp_path, outputs, precision, name, wrong):
    """Whatever labels and depth are. Nothing hides behind the pixels that are sure."""
    outputs[name] = SOFT
    path = tmp_path / 'selftest.npz'
    write_self_test(path, np.zeros((*SHAPE, 3), np.uint8), outputs)
    run_self_test(path, lambda image: batch(outputs), precision)
    found = batch(outputs)
    found[name] = wrong(found[name])
    with pytest.raises(SelfTestError, match=f'^self-test .*: median {name} error .* of 255, expected'):
        run_self_test(path, lambda image: found, precision)


@pytest.mark.parametrize(('precision', 'allowed'), [('fp32', 1), ('fp16', 15)])
def test_confidence_may_differ_by_what_the_precision_explains(path, outputs, precision, allowed):
    found = batch(outputs)
    found['confidence'] -= np.uint8(allowed)
    run_self_test(path, lambda image: found, precision)
    found['confidence'] -= np.uint8(1)
    with pytest.raises(SelfTestError, match=f'median confidence error {allowed + 1}.0 of 255, expected {allowed}'):
        run_self_test(path, lambda image: found, precision)


@pytest.mark.parametrize(('precision', 'degrees'), [('fp32', 0.1), ('bf16', 2.0)])
def test_normals_may_differ_by_what_the_precision_explains(tmp_path, outputs, precision, degrees):
    path = tmp_path / 'selftest.npz'
    write_self_test(path, np.zeros((*SHAPE, 3), np.uint8), {**outputs, 'normals': tilted(0)})
    run_self_test(path, lambda image: batch({**outputs, 'normals': tilted(0.9 * degrees)}), precision)
    with pytest.raises(SelfTestError, match='median angle of normals'):
        run_self_test(path, lambda image: batch({**outputs, 'normals': tilted(1.1 * degrees)}), precision)


def test_not_a_number_is_drift(path, outputs):
    found = batch(outputs)
    found['depth'][:] = np.nan
    with pytest.raises(SelfTestError, match='depth'):
        run_self_test(path, lambda image: found)


@pytest.mark.parametrize(('confident', 'passes'), [(1000, True), (999, False)])
def test_only_confident_pixels_count_if_there_are_enough(tmp_path, outputs, confident, passes):
    outputs['confidence'].reshape(-1)[confident:] = 127
    path = tmp_path / 'selftest.npz'
    write_self_test(path, np.zeros((*SHAPE, 3), np.uint8), outputs)
    found = batch(outputs)
    found['labels'].reshape(-1)[confident:] += 1
    if passes:
        run_self_test(path, lambda image: found)
    else:
        with pytest.raises(SelfTestError):
            run_self_test(path, lambda image: found)


@pytest.mark.parametrize(
    'damage',
    [
        lambda found: found.pop('depth'),
        lambda found: found.update(depth=found['depth'].astype(np.float64)),
        lambda found: found.update(labels=found['labels'][:, 1:]),
    ],
)
def test_missing_or_other_outputs_are_named(path, outputs, damage):
    found = batch(outputs)
    damage(found)
    with pytest.raises(SelfTestError, match='expected'):
        run_self_test(path, lambda image: found)
