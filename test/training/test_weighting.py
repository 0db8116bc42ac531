# SPDX-License-Identifier: Apache-2.0
"""Weightings: numbers worked by hand, and what all of them promise."""

import math

import pytest
import torch

from mtperception.training.weighting import (
    WEIGHTINGS,
    DynamicWeightAverage,
    FixedWeighting,
    UncertaintyWeighting,
    VarianceWeighting,
)

TASKS = {'segmentation': 'segmentation', 'depth': 'depth'}


def losses(**values):
    return {task: torch.tensor(float(value)) for task, value in values.items()}


def test_fixed_weights():
    assert FixedWeighting(TASKS)(losses(segmentation=3, depth=1)).item() == 2  # 1/2 each
    weights = {'segmentation': 0.25, 'depth': 2}
    assert FixedWeighting(TASKS, weights)(losses(segmentation=4, depth=3)).item() == 7
    assert FixedWeighting(TASKS, weights)(losses(depth=3)).item() == 6


@pytest.mark.parametrize('weights', [{'depth': 1}, {'segmentation': 1, 'depth': -1}, {'segmentation': 1, 'normals': 1}])
def test_fixed_weights_that_do_not_fit(weights):
    with pytest.raises(ValueError, match='expected one of 0 or more for each of segmentation, depth'):
        FixedWeighting(TASKS, weights)


def test_uncertainty():
    weighting = UncertaintyWeighting(TASKS)
    # s = 0: 1 x 3 + 1/2 x 2.
    assert weighting(losses(segmentation=3, depth=2)).item() == 4
    with torch.no_grad():
        weighting.log_variance['segmentation'].fill_(math.log(2))
        weighting.log_variance['depth'].fill_(math.log(4))
    total = weighting(losses(segmentation=3, depth=2))
    # exp(-s) = 1/2 and 1/4: 3/2 + ln 2 / 2, and 2/8 + ln 4 / 2.
    assert total.item() == pytest.approx(1.5 + 0.25 + 1.5 * math.log(2))
    total.backward()
    # -exp(-s) x loss + 1/2: -3/2 + 1/2, and -2/8 + 1/2.
    assert weighting.log_variance['segmentation'].grad.item() == pytest.approx(-1)
    assert weighting.log_variance['depth'].grad.item() == pytest.approx(0.25)


def test_uncertainty_of_a_task_without_annotation_stays():
    weighting = UncertaintyWeighting(TASKS)
    weighting(losses(depth=2)).backward()
    assert weighting.log_variance['segmentation'].grad is None


def test_dynamic_weight_average():
    weighting = DynamicWeightAverage(TASKS, temperature=2)
    assert weighting(losses(segmentation=3, depth=2)).item() == 5
    weighting.end_epoch({'segmentation': 4.0, 'depth': 1.0})
    assert weighting.output_weights() == pytest.approx({'segmentation': 1, 'depth': 1})
    weighting.end_epoch({'segmentation': 2.0, 'depth': 1.0})
    # Ratios 1/2 and 1, over 2: exp(1/4) and exp(1/2), times 2 over their sum.
    first, second = math.exp(0.25), math.exp(0.5)
    expected = {'segmentation': 2 * first / (first + second), 'depth': 2 * second / (first + second)}
    assert weighting.output_weights() == pytest.approx(expected)
    total = weighting(losses(segmentation=3, depth=2)).item()
    assert total == pytest.approx(3 * expected['segmentation'] + 2 * expected['depth'])


def test_dynamic_weights_of_a_task_without_annotation():
    weighting = DynamicWeightAverage(TASKS)
    weighting.end_epoch({'depth': 2.0})
    weighting.end_epoch({'depth': 2.0})
    # Nothing is known of segmentation: as if it stood still, like depth.
    assert weighting.output_weights() == pytest.approx({'segmentation': 1, 'depth': 1})
    weighting.end_epoch({'segmentation': 3.0})
    # Depth keeps its last mean: 2 / 2.
    assert weighting.output_weights() == pytest.approx({'segmentation': 1, 'depth': 1})
    weighting.end_epoch({'segmentation': 1.5, 'depth': 2.0})
    weights = weighting.output_weights()
    assert weights['segmentation'] < 1 < weights['depth']  # 1/2 against 1


def numbers(weights):
    return {output: float(weight.detach()) for output, weight in weights.items()}


def test_variance_weights_of_mt_unet():
    weighting = VarianceWeighting(TASKS, window=2, epsilon=0.5)
    equal = {'segmentation': 0.5, 'depth': 0.5}
    for segmentation, depth in ((1.0, 2.0), (3.0, 2.0)):
        weighting.end_epoch({'segmentation': segmentation, 'depth': depth})
        assert numbers(weighting.output_weights()) == equal  # there is no variance of the epochs before
    weighting.end_epoch({'segmentation': 3.0, 'depth': 4.0})
    # Segmentation: variance of 3, 3 is 0, of 1, 3 it is 1: (0 + 1/2) / (1 + 1/2) = 1/3. Depth: 1 and 0: 3.
    assert numbers(weighting.output_weights()) == pytest.approx({'segmentation': 0.1, 'depth': 0.9})
    total = weighting(losses(segmentation=4, depth=2))
    assert total.item() == pytest.approx(0.1 * 4 + 0.9 * 2)
    total.backward()
    # Of what W is the exponential of: weight x (loss - total).
    assert weighting.log_weight['segmentation'].grad.item() == pytest.approx(0.1 * (4 - 2.2))
    assert weighting.log_weight['depth'].grad.item() == pytest.approx(0.9 * (2 - 2.2))
    with torch.no_grad():
        weighting.log_weight['segmentation'].fill_(math.log(9))
    # 9/3 against 3.
    assert numbers(weighting.output_weights()) == pytest.approx(equal)


def test_variance_weights_without_annotations():
    weighting = VarianceWeighting(TASKS, window=2)
    for _ in range(4):
        weighting.end_epoch({'depth': 2.0})
    assert numbers(weighting.output_weights()) == {'segmentation': 0.5, 'depth': 0.5}


def test_variance_weights_of_a_batch_without_one_task():
    weighting = VarianceWeighting(TASKS)
    total = weighting(losses(depth=2))
    assert total.item() == pytest.approx(2)
    total.backward()
    assert weighting.log_weight['depth'].grad.item() == pytest.approx(0)  # nothing is gained by another weight
    assert weighting.log_weight['segmentation'].grad.item() == pytest.approx(0)


@pytest.mark.parametrize('options', [{'window': 1}, {'epsilon': 0.0}])
def test_variance_weights_that_cannot_be(options):
    with pytest.raises(ValueError, match='expected 2 or more epochs, and more than 0'):
        VarianceWeighting(TASKS, **options)


def test_a_temperature_of_0():
    with pytest.raises(ValueError, match='temperature 0: expected more than 0'):
        DynamicWeightAverage(TASKS, temperature=0)


@pytest.mark.parametrize('name', WEIGHTINGS)
class TestEveryWeighting:
    """What the trainer relies on, whatever the weighting."""

    def used(self, name):
        """One that has seen three epochs and has learnt."""
        weighting = WEIGHTINGS[name](TASKS)
        for depth in (3.0, 2.0, 1.0):
            weighting.end_epoch({'segmentation': 1.0, 'depth': depth})
        for parameter in weighting.parameters():
            torch.nn.init.constant_(parameter, 0.3)
        return weighting

    def test_the_total_grows_with_every_loss(self, name):
        weighting = self.used(name)
        values = losses(segmentation=1, depth=2)
        for value in values.values():
            value.requires_grad_()
        weighting(values).backward()
        assert all(value.grad > 0 for value in values.values())

    def test_a_task_may_be_missing(self, name):
        assert self.used(name)(losses(depth=2)).isfinite()

    def test_its_state_goes_round(self, name):
        used, fresh = self.used(name), WEIGHTINGS[name](TASKS)
        fresh.load_state_dict(used.state_dict())
        values = losses(segmentation=1, depth=2)
        assert fresh(values).item() == used(values).item()
        used.end_epoch({'segmentation': 0.5, 'depth': 0.9})
        fresh.end_epoch({'segmentation': 0.5, 'depth': 0.9})
        assert fresh(values).item() == used(values).item()
