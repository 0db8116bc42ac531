# SPDX-License-Identifier: Apache-2.0
"""Each fusion rule gives what its formula says, worked out by hand."""

import numpy as np
import pytest

from mtperception.mapping.fusion import LEAST_PROBABILITY, RULES, ClassEvidence, spread

TWO_VIEWS = np.array([[0.7, 0.2, 0.1], [0.3, 0.6, 0.1]], np.float32)
"""What two views say of one voxel."""


def fused(rule, kept=0, views=TWO_VIEWS, weights=(1, 1)):
    evidence = ClassEvidence(4, views.shape[1], rule, kept)
    voxel = np.array([2])
    for view, weight in zip(views, weights, strict=True):
        evidence.add(voxel, view[None], np.array([weight], np.float32))
    return evidence.probabilities(voxel)[0]


@pytest.mark.parametrize(
    ('rule', 'expected'),
    [
        # 0.7 x 0.3, 0.2 x 0.6, 0.1 x 0.1, each over their sum 0.34
        ('bayes', [0.21 / 0.34, 0.12 / 0.34, 0.01 / 0.34]),
        ('average', [0.5, 0.4, 0.1]),
        ('histogram', [0.5, 0.5, 0.0]),
        # The winners' own probabilities: 0.7 and 0.6 over 1.3
        ('confidence', [0.7 / 1.3, 0.6 / 1.3, 0.0]),
    ],
)
def test_rules_by_hand(rule, expected):
    np.testing.assert_allclose(fused(rule), expected, rtol=1e-5)


def test_weight_is_a_repetition():
    twice = np.array([TWO_VIEWS[0], TWO_VIEWS[0], TWO_VIEWS[1]])
    for rule in RULES:
        np.testing.assert_allclose(fused(rule, weights=(2, 1)), fused(rule, 0, twice, (1, 1, 1)), rtol=1e-5)


def test_the_order_of_views_does_not_matter():
    for rule in RULES:
        np.testing.assert_allclose(fused(rule), fused(rule, views=TWO_VIEWS[::-1]), rtol=1e-5)


def test_an_impossible_class_comes_back():
    """One view that is quite sure does not decide for ever."""
    views = np.array([[1.0, 0.0], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9], [0.1, 0.9]], np.float32)
    odds = LEAST_PROBABILITY * 9**4  # of the second class against the first
    np.testing.assert_allclose(fused('bayes', 0, views, (1,) * 5), [1 / (1 + odds), odds / (1 + odds)], rtol=1e-3)


@pytest.mark.parametrize('rule', RULES)
def test_nothing_is_lost_while_the_classes_seen_fit(rule):
    """Three classes ever seen: the four that are kept are all."""
    generator = np.random.default_rng(0)
    views = np.zeros((6, 40), np.float32)
    views[:, [3, 17, 39]] = generator.dirichlet([1, 1, 1], 6)
    everything, four = fused(rule, 0, views, (1,) * 6), fused(rule, 4, views, (1,) * 6)
    np.testing.assert_allclose(four[[3, 17, 39]], everything[[3, 17, 39]], rtol=1e-3, atol=1e-4)


def test_the_strongest_classes_are_kept():
    views = np.array([[0.5, 0.3, 0.15, 0.05]], np.float32)
    np.testing.assert_allclose(fused('average', 2, views, (1,)), [0.625, 0.375, 0, 0], rtol=1e-5)


@pytest.mark.parametrize('rule', RULES)
def test_a_known_share_of_wrong_labels(rule):
    """Of 25 views 40 % say one wrong class, all with the same confidence: the right one wins in every rule."""
    labels = np.array([1] * 15 + [2] * 10, np.uint8)
    views = spread(labels, np.full(25, 0.8, np.float32), 4)
    probabilities = fused(rule, 0, views, (1,) * 25)
    expected = {
        # Five more views for class 1, each worth the odds of 0.8 against a third of 0.2
        'bayes': 12.0**5 / (12.0**5 + 1),
        'average': (15 * 0.8 + 10 * 0.2 / 3) / 25,
        'histogram': 0.6,
        'confidence': 0.6,
    }
    assert probabilities[1] == pytest.approx(expected[rule], rel=1e-4)
    assert probabilities.argmax() == 1


def test_voxels_do_not_mix_and_forget():
    evidence = ClassEvidence(3, 2, 'average')
    evidence.add(np.array([0, 2]), np.array([[1, 0], [0, 1]], np.float32), np.ones(2, np.float32))
    np.testing.assert_allclose(evidence.probabilities(np.arange(3)), [[1, 0], [0.5, 0.5], [0, 1]])
    assert evidence.is_seen(np.arange(3)).tolist() == [True, False, True]
    evidence.forget(np.array([2]))
    assert evidence.is_seen(np.arange(3)).tolist() == [True, False, False]


def test_spread():
    rows = spread(np.array([1, 0], np.uint8), np.array([0.7, 0.1], np.float32), 4)
    np.testing.assert_allclose(rows, [[0.1, 0.7, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]], rtol=1e-6)


def test_unknown_rules_list_the_known():
    with pytest.raises(ValueError, match='expected one of bayes, average'):
        ClassEvidence(1, 2, 'median')
