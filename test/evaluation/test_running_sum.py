# SPDX-License-Identifier: Apache-2.0
"""Sums that do not depend on the order, against exact fractions."""

import json
from fractions import Fraction

import numpy as np
import pytest

from mtperception.evaluation.running_sum import ExactSum


def numbers(count, *shape):
    """Of very different sizes and both signs: added up naively, most of their digits are lost."""
    rng = np.random.default_rng(5)
    return rng.normal(size=(count, *shape)) * 10.0 ** rng.integers(-12, 13, (count, *shape))


def exact(values):
    """The sum of floats, rounded once."""
    return float(sum(map(Fraction, values)))


def test_every_sum_is_rounded_once():
    values = numbers(300, 2, 3)
    total = ExactSum(2, 3)
    for value in values:
        total += value
    assert total.value.shape == (2, 3)
    assert total.value.ravel().tolist() == [exact(column) for column in values.reshape(300, -1).T]
    assert total.value.tolist() != values.sum(axis=0).tolist()  # or else this says nothing


def test_order_and_grouping_change_nothing():
    values = numbers(64).tolist()
    groups = [ExactSum() for _ in range(5)]
    for index, value in enumerate(reversed(values)):
        groups[index * 7 % 5] += value
    total = ExactSum()
    for group in groups:
        read = ExactSum()
        read.restore(json.loads(json.dumps(group.tolist())))
        total += read
    assert float(total.value) == exact(values)


def test_what_is_lost_to_rounding_is_kept():
    total = ExactSum()
    for value in (1e16, 1.0, 1.0, -1e16):
        total += value
    assert float(total.value) == 2.0
    assert len(total.tolist()) <= 3


def test_a_part_is_a_copy():
    total = ExactSum(2)
    total += np.array([1.0, 2.0])
    part = total[(1,)]
    total += np.array([1.0, 1.0])
    assert (float(part.value), total.value.tolist()) == (2.0, [2.0, 3.0])


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    total = ExactSum(2)
    with pytest.raises(ValueError, match='not finite'):
        total += np.array([1.0, value])


def test_sums_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r'shape \(3,\): expected \(2,\)'):
        ExactSum(2).restore(ExactSum(3).tolist())
