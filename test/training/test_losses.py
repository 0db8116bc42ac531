# SPDX-License-Identifier: Apache-2.0
"""Losses: numbers worked by hand, and what all of them promise."""

import math

import pytest
import torch
from loss_batches import batch, loss_of

from mtperception.errors import InputError
from mtperception.training.log_depth_losses import GradientMatching, ScaleInvariant, ScaleInvariantGradient, SiLog
from mtperception.training.losses import L1, L2, LOSSES, BerHu, CrossEntropy, DotProduct, Laplace, NormalizedL2, Sum
from mtperception.training.lovasz import LovaszSoftmax

LN2 = math.log(2)


def column(*values):
    """N,C,h,w = 1,C,1,n of n pixels with C values each."""
    return torch.tensor(values, dtype=torch.float32).T[None, :, None]


def row(*values, dtype=torch.float32):
    """N,h,w = 1,1,n."""
    return torch.tensor(values, dtype=dtype)[None, None]


def meters(*values):
    """Depth as a head gives it: 1,1,1,n."""
    return row(*values)[None]


def test_cross_entropy_leaves_255_out():
    # Logits (0, ln 3) are probabilities 1/4 and 3/4: -ln 3/4 for the first, -ln 1/4 for the second; the third is out.
    logits = column(*[(0, math.log(3))] * 3)
    loss = CrossEntropy()(logits, row(1, 0, 255, dtype=torch.uint8))
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2)


def test_lovasz_softmax_of_certain_answers_is_1_minus_the_mean_iou():
    # Said 0 0 1 1, true 0 1 1 1, the fifth pixel is out: IoU 1/2 and 2/3. No pixel is of class 2, though it could be.
    logits = column((99, 0, 0), (99, 0, 0), (0, 99, 0), (0, 99, 0), (0, 0, 99))
    loss = LovaszSoftmax()(logits, row(0, 1, 1, 1, 255, dtype=torch.uint8))
    assert loss.item() == pytest.approx(1 - (1 / 2 + 2 / 3) / 2)


def test_lovasz_softmax_between_answers():
    # Class 0: errors 0.75 (a pixel of class 1) and 0.5 (one of class 0). 1 - IoU is 0, 1/2 and 1 as they become wrong
    # in this order: 0.75 / 2 + 0.5 / 2. Class 1: 0.75 is the error of its own pixel, after which 1 - IoU is 1 whatever
    # follows: 0.75.
    logits = column((0, 0), (math.log(3), 0))
    loss = LovaszSoftmax()(logits, row(0, 1, dtype=torch.uint8))
    assert loss.item() == pytest.approx((0.625 + 0.75) / 2)


def test_lovasz_softmax_at_every_second_pixel():
    logits, labels = torch.randn(1, 3, 4, 6), torch.randint(0, 3, (1, 4, 6), dtype=torch.uint8)
    seen = LovaszSoftmax()(logits[..., 1::2, 1::2], labels[:, 1::2, 1::2])
    assert LovaszSoftmax(stride=2)(logits, labels).item() == pytest.approx(seen.item())


def test_lovasz_softmax_needs_a_stride():
    with pytest.raises(InputError, match=r'stride: found 0, expected 1 or more'):
        LovaszSoftmax(stride=0)


@pytest.mark.parametrize(('max_weight', 'weights'), [(8.0, [2 / 3, 2, 0]), (1.5, [2 / 3, 1.5, 0])])
def test_balanced_classes(max_weight, weights):
    # 3 : 1 : 0 pixels. frequency^-1 = 4/3, 4 and, as it never occurs, 0; their mean over pixels is 4/3 * 3/4 + 4 * 1/4
    # = 2; divided by it 2/3, 2, 0; then cut.
    balanced = CrossEntropy(balance=1, max_weight=max_weight)
    balanced.prepare(lambda: torch.tensor([3.0, 1.0, 0.0]))
    assert balanced.weights.tolist() == pytest.approx(weights)
    # Logits (0, ln 2, 0) are probabilities 1/4, 1/2, 1/4: 2 ln 2, ln 2, 2 ln 2.
    logits = column(*[(0, LN2, 0)] * 4)
    expected = (weights[0] * 2 * LN2 + weights[1] * LN2) / (weights[0] + weights[1])
    assert balanced(logits, row(0, 1, 2, 255, dtype=torch.uint8)).item() == pytest.approx(expected)
    assert balanced(logits[..., 2:], row(2, 255, dtype=torch.uint8)).item() == 0  # nothing that counts


def test_unbalanced_classes_are_not_counted():
    CrossEntropy().prepare(lambda: pytest.fail('reads the whole training set for nothing'))


def test_laplace_is_least_where_the_expected_error_is_the_one_made():
    # Errors 0.5 (of a negative output, which stands for its absolute value) and 2; expected are 0.5 and 1; no truth for
    # the third: (0.5 / 0.5 + ln 0.5 + 2 / 1 + ln 1) / 2.
    output = torch.cat([meters(0.5, 1.0, 7.0).log(), meters(-3.5, 5.0, 900.0)], dim=1).requires_grad_()
    loss = Laplace()(output, row(3.0, 3.0, 0.0))
    assert loss.item() == pytest.approx((1 + math.log(0.5) + 2) / 2)
    loss.backward()
    # d/ds (e exp(-s) + s) = 1 - e exp(-s): 0 for the first, -1 for the second. The depth is left as it is.
    assert output.grad[0, 0, 0].tolist() == pytest.approx([0, -0.5, 0])
    assert output.grad[0, 1].abs().sum() == 0


def test_berhu_has_two_branches():
    # Errors 0.1, 1, 5: c = 0.2 * 5 = 1; 0.1 and 1 stay; 5 becomes (25 + 1) / 2 = 13. The fourth has no truth.
    predicted = meters(2.1, 1.0, 7.0, 900.0).requires_grad_()
    loss = BerHu()(predicted, row(2.0, 2.0, 2.0, 0.0))
    assert loss.item() == pytest.approx((0.1 + 1 + 13) / 3)
    loss.backward()
    # Slopes: sign of the error, beyond c error / c; over 3 pixels.
    assert predicted.grad.flatten().tolist() == pytest.approx([1 / 3, -1 / 3, 5 / 3, 0])


def test_berhu_of_a_perfect_prediction_is_0():
    predicted = meters(2.0, 3.0).requires_grad_()
    loss = BerHu()(predicted, row(2.0, 3.0))
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad.isfinite().all()


def test_l1():
    assert L1()(meters(2.1, 1.0, 7.0, 900.0), row(2.0, 2.0, 2.0, 0.0)).item() == pytest.approx(6.1 / 3)
    assert L1()(meters(-2.0), row(2.0)).item() == 4  # the output is signed: it must learn to be positive


@pytest.mark.parametrize(('invariance', 'expected'), [(0.0, 2.0), (0.5, 1.5), (1.0, 1.0)])
def test_scale_invariant(invariance, expected):
    # Logarithms differ by 0 and 2: mean of squares 2, square of the mean 1. The output's sign does not matter.
    predicted = meters(1.5, -2 * math.exp(2), 900.0)
    assert ScaleInvariant(invariance)(predicted, row(1.5, 2.0, 0.0)).item() == pytest.approx(expected)


def test_full_invariance_forgives_a_common_factor():
    assert ScaleInvariant(1.0)(meters(3.0, 12.0), row(1.0, 4.0)).item() == pytest.approx(0, abs=1e-6)


INVALID = None


def log_differences(*images):
    """Prediction and truth, 2 m everywhere, whose logarithms differ by what is given: rows of images."""
    truth = torch.tensor([[[0.0 if d is INVALID else 2.0 for d in row] for row in image] for image in images])
    factors = [[[999.0 if d is INVALID else math.exp(d) for d in row] for row in image] for image in images]
    return 2 * torch.tensor(factors)[:, None], truth


@pytest.mark.parametrize(
    ('images', 'expected'),
    [
        # n = 3: 5/3 - 9/18, and one pair of valid neighbours: 4/3.
        ([[[0, 2, INVALID, 1]]], 2.5),
        # 10/3 - 16/18, across 1, down 9: 10/3.
        ([[[0, 1], [3, INVALID]]], 52 / 9),
        # A common factor of e costs half of what it is.
        ([[[1, 1], [1, 1]]], 0.5),
        # Images count the same: 52/9, and 4 - 4/2 of the only pixel; the third has none.
        ([[[0, 1], [3, INVALID]], [[2, INVALID], [INVALID, INVALID]], [[INVALID] * 2] * 2], 35 / 9),
    ],
)
def test_scale_invariant_gradient_of_multitasknet(images, expected):
    assert ScaleInvariantGradient()(*log_differences(*images)).item() == pytest.approx(expected, rel=1e-5)


def test_weights_of_its_terms():
    # 5/3 - 1 x 1 + 1/2 x 4/3.
    loss = ScaleInvariantGradient(invariance=1.0, gradient=0.5)
    assert loss(*log_differences([[0, 2, INVALID, 1]])).item() == pytest.approx(4 / 3, rel=1e-5)


def test_gradient_matching_at_two_scales():
    # 1, 2, 4 between neighbours, then 3 between every second; with a hole 1 and 4, and at the second scale nothing.
    assert GradientMatching(2)(*log_differences([[0, 1, 3, 7]])).item() == pytest.approx(7 / 3 + 3, rel=1e-5)
    assert GradientMatching(2)(*log_differences([[0, 1, INVALID, 3, 7]])).item() == pytest.approx(5 / 2, rel=1e-5)
    with pytest.raises(ValueError, match='scales 0: expected 1 or more'):
        GradientMatching(0)


def test_silog():
    # Logarithms differ by 0 and 2: mean of squares 2, square of the mean 1.
    assert SiLog()(*log_differences([[0, 2]])).item() == pytest.approx(10 * math.sqrt(2 - 0.85), rel=1e-5)
    predicted, truth = log_differences([[0, 0]])
    loss = SiLog()(predicted.requires_grad_(), truth)
    loss.backward()
    assert loss.item() == 0
    assert predicted.grad.isfinite().all()


def test_l2_of_hybridnet():
    assert L2()(meters(2.1, 1.0, 7.0, 900.0), row(2.0, 2.0, 2.0, 0.0)).item() == pytest.approx((0.01 + 1 + 25) / 3)


def test_normalized_l2_of_hybridnet():
    """By image: 1, 3 and 2, 6 are both -1, 1; against 6, 2 each is off by 2."""
    predicted = torch.tensor([[[[1.0, 3.0, 900.0]]], [[[1.0, 3.0, 900.0]]]])
    same, turned = [[2.0, 6.0, 0.0]], [[6.0, 2.0, 0.0]]
    assert NormalizedL2()(predicted, torch.tensor([same, same])).item() == pytest.approx(0, abs=1e-6)
    assert NormalizedL2()(predicted, torch.tensor([turned, turned])).item() == pytest.approx(4, rel=1e-4)
    assert NormalizedL2()(predicted, torch.tensor([same, turned])).item() == pytest.approx(2, rel=1e-4)


def test_normalized_l2_of_a_single_pixel_and_of_a_flat_wall():
    predicted = meters(1.0, 3.0).requires_grad_()
    loss = NormalizedL2()(predicted, row(5.0, 0.0)) + NormalizedL2()(predicted * 0 + 2, row(5.0, 5.0))
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert predicted.grad.isfinite().all()


def test_a_sum_of_losses():
    terms = [{'name': 'l1'}, {'name': 'l2', 'weight': 0.5}, {'name': 'scale_invariant', 'options': {'invariance': 1.0}}]
    # Errors 2 and 0 with logarithms off by ln 2 and 0: mean of squares - square of the mean is (ln 2)^2 / 4.
    loss = Sum(terms)(meters(4.0, 3.0), row(2.0, 3.0))
    assert loss.item() == pytest.approx(1 + 0.5 * 2 + LN2**2 / 4)


def test_a_sum_prepares_its_terms():
    loss = Sum([{'name': 'cross_entropy', 'options': {'balance': 1.0}}])
    loss.prepare(lambda: torch.tensor([3.0, 1.0]))
    assert loss.terms[0][1].weights is not None


@pytest.mark.parametrize(
    'terms',
    [
        [],
        [{}],
        ['l1'],
        [{'name': 'l1', 'factor': 2}],
        [{'name': 'l1', 'weight': 'half'}],
        [{'name': 'berhu', 'options': [0.2]}],
        [{'name': 'nonesuch'}],
    ],
)
def test_a_sum_of_what_does_not_exist(terms):
    with pytest.raises(ValueError, match='expected'):
        Sum(terms)


def test_dot_product_is_one_minus_the_cosine():
    # The same direction 0, at a right angle 1, opposite 2, at 60 degrees 1 - 1/2; the last has no truth. Outputs need
    # not be of unit length.
    output = column((0, 0, -7), (3, 0, 0), (0, 0, 2), (0, math.sqrt(3), -1), (5, 5, 5))
    truth = column(*[(0, 0, -1)] * 4, (0, 0, 0))
    assert DotProduct()(output, truth).item() == pytest.approx((0 + 1 + 2 + 0.5) / 4)


@pytest.mark.parametrize('name', LOSSES)
class TestEveryLoss:
    """What the trainer relies on, whatever the loss."""

    def test_it_is_exactly_0_without_a_valid_pixel(self, name):
        output, _, invalid = batch(name)
        output.requires_grad_()
        loss = loss_of(name)(output, invalid)
        loss.backward()
        assert loss.item() == 0
        assert torch.equal(output.grad, torch.zeros_like(output))

    def test_invalid_pixels_do_not_matter(self, name):
        output, truth, _ = batch(name)
        absurd = output.clone()
        absurd[..., :4] = 1e6 * output[..., :4]
        absurd.requires_grad_()
        loss = loss_of(name)(absurd, truth)
        loss.backward()
        assert loss.item() == loss_of(name)(output, truth).item() > 0
        assert not absurd.grad[..., :4].any()
        assert absurd.grad[..., 4:].any()

    def test_it_is_a_mean(self, name):
        output, truth, _ = batch(name)
        twice = loss_of(name)(torch.cat([output, output]), torch.cat([truth, truth]))
        assert twice.item() == pytest.approx(loss_of(name)(output, truth).item(), rel=1e-5)

    def test_half_precision_is_taken_up_to_single(self, name):
        output, truth, _ = batch(name)
        loss = loss_of(name)(output.half(), truth)
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(loss_of(name)(output, truth).item(), rel=1e-2)

    def test_following_its_gradient_makes_it_smaller(self, name):
        output, truth, _ = batch(name)
        output.requires_grad_()
        loss = loss_of(name)(output, truth)
        loss.backward()
        assert loss_of(name)(output - 0.05 * output.grad, truth) < loss
