# SPDX-License-Identifier: Apache-2.0
"""The metrics, worked by hand on a few pixels and against torchmetrics on many."""

import itertools
import json
import math

import numpy as np
import pytest

from mtperception.evaluation.metrics import DepthMetrics, NormalMetrics, SegmentationMetrics, depth_terms


def labels(*values):
    return np.array([values], np.uint8)


def metres(*values):
    return np.array([values], np.float32)


def directions(*degrees):
    """Unit vectors in the x-z plane, so far from the z axis: float32 1,N,3."""
    angle = np.radians(np.array([degrees]))
    return np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=-1).astype(np.float32)


def computed(metrics, *updates):
    for update in updates:
        metrics.update(*update)
    return metrics.compute()


def test_segmentation_by_hand():
    """Truth 0 0 0 1 1 2, predicted 0 0 1 1 0 2, of four classes.

    Confusion: class 0 right twice and taken for 1 once; class 1 right once and taken for 0 once; class 2 right once.
    IoU: 2 / (3 + 3 - 2), 1 / (2 + 2 - 1), 1 / 1; class 3 does not occur. Accuracies by class 2/3, 1/2, 1.
    """
    metrics = SegmentationMetrics(4)
    result = computed(metrics, (labels(0, 0, 1), labels(0, 0, 0)), (labels(1, 0, 2), labels(1, 1, 2)))
    np.testing.assert_array_equal(metrics.confusion, [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]])
    assert metrics.confusion.dtype == np.int64
    np.testing.assert_allclose(metrics.iou, [2 / 4, 1 / 3, 1, np.nan])
    assert result == pytest.approx(
        {'miou': (1 / 2 + 1 / 3 + 1) / 3, 'pixel_accuracy': 4 / 6, 'mean_accuracy': (2 / 3 + 1 / 2 + 1) / 3}
    )


def test_unlabelled_pixels_do_not_count():
    known = computed(SegmentationMetrics(3), (labels(0, 1), labels(0, 2)))
    assert computed(SegmentationMetrics(3), (labels(0, 1, 2, 255), labels(0, 2, 255, 255))) == known


def test_a_class_that_is_only_predicted_counts_as_missed():
    """IoU 1/2 for class 0 and 0/1 for class 1; the truth knows class 0 only, which is half right."""
    result = computed(SegmentationMetrics(3), (labels(0, 1), labels(0, 0)))
    assert result == {'miou': 0.25, 'pixel_accuracy': 0.5, 'mean_accuracy': 0.5}


def test_a_prediction_of_no_class_is_wrong_and_no_other_class_pays_for_it():
    """Truth 0 0 1: of class 0 one of two found, 1/2; class 1 is whole, 1/1. 255 is beyond every class."""
    metrics = SegmentationMetrics(254)
    result = computed(metrics, (labels(0, 255, 1), labels(0, 0, 1)))
    assert result == {'miou': 0.75, 'pixel_accuracy': pytest.approx(2 / 3), 'mean_accuracy': 0.75}
    assert metrics.confusion.sum() == 2


def test_counts_are_summed_over_the_set_first():
    """By image class 0 has IoU 1 and 0; together 1 of 4 pixels: miou (1/4 + 0) / 2, not the mean over images."""
    result = computed(SegmentationMetrics(2), (labels(0), labels(0)), (labels(1, 1, 1), labels(0, 0, 0)))
    assert result['miou'] == 0.125


@pytest.mark.parametrize(
    ('predicted', 'truth', 'message'),
    [
        (labels(0, 1), labels(0), 'expected the same'),
        (labels(0), labels(3), 'class 3 in the truth: expected 0 to 2'),
        (labels(0).astype(np.int64), labels(0), 'expected uint8'),
    ],
)
def test_labels_that_cannot_be_scored_are_refused(predicted, truth, message):
    with pytest.raises(ValueError, match=message):
        SegmentationMetrics(3).update(predicted, truth)


@pytest.mark.parametrize('num_classes', [0, 255])
def test_a_number_of_classes_that_uint8_cannot_hold_is_refused(num_classes):
    with pytest.raises(ValueError, match='expected 1 to 254'):
        SegmentationMetrics(num_classes)


def test_depth_by_hand():
    """Two images. In the first 2 m is seen as 3 m and 4 m as 4 m; in the second 1 m as 2 m, and 8 m as 4 m twice.

    errors        1   0 |  1  4  4     squares 1 0 1 16 16, sum 34
    relative    1/2   0 |  1  1/2 1/2  sum 5/2
    sq. rel.    1/2   0 |  1  2  2     sum 11/2
    factors     1.5   1 |  2  2  2     1.25^2 = 1.5625, 1.25^3 = 1.953
    logs        a     0 |  b -b -b     a = ln 1.5, b = ln 2
    """
    a, b = math.log(1.5), math.log(2)
    first, second = (metres(3, 4), metres(2, 4)), (metres(2, 4, 4), metres(1, 8, 8))
    expected = {
        'rmse': math.sqrt(34 / 5),
        'rmse_per_image': (math.sqrt(1 / 2) + math.sqrt(33 / 3)) / 2,
        'rmse_log': math.sqrt((a**2 + 3 * b**2) / 5),
        'abs_err': 10 / 5,
        'abs_rel': 1 / 2,
        'sq_rel': 11 / 10,
        'delta1': 1 / 5,
        'delta2': 2 / 5,
        'delta3': 2 / 5,
        # Deviations: a/2 for (a, 0); for (b, -b, -b) the mean is -b/3 and the variance b^2 - b^2/9.
        'silog': 100 * (a / 2 + math.sqrt(8) / 3 * b) / 2,
    }
    assert computed(DepthMetrics(), first, second) == pytest.approx(expected)


def test_a_scale_of_an_image_does_not_change_silog():
    truth = np.random.default_rng(0).uniform(1, 9, (6, 8)).astype(np.float32)
    assert computed(DepthMetrics(), (3 * truth, truth), (truth / 2, truth))['silog'] == pytest.approx(0, abs=1e-4)


def test_a_factor_of_exactly_the_bound_is_not_within_it():
    """2.5 / 2 = 1.25 and 3.125 / 2 = 1.25^2, without rounding; 2 / 2.5 is the same factor the other way round."""
    result = computed(DepthMetrics(), (metres(2.5, 3.125, 2), metres(2, 2, 2.5)))
    assert [result[f'delta{power}'] for power in (1, 2, 3)] == pytest.approx([0, 2 / 3, 1])


@pytest.mark.parametrize('invalid', [0.0, -1.0, math.nan, math.inf])
def test_pixels_without_depth_do_not_count(invalid):
    known = computed(DepthMetrics(), (metres(3), metres(2)))
    assert computed(DepthMetrics(), (metres(3, 5), metres(2, invalid))) == known


def test_a_prediction_that_is_not_positive_has_finite_metrics():
    """The ratio is then taken of 1 mm: ln(1000) off; the difference in metres is what it is."""
    result = computed(DepthMetrics(), (metres(-1), metres(1)))
    assert (result['rmse'], result['delta3']) == (2, 0)
    assert result['rmse_log'] == pytest.approx(math.log(1000))


@pytest.mark.parametrize('predicted', [math.nan, math.inf])
def test_a_prediction_that_is_no_number_is_refused(predicted):
    with pytest.raises(ValueError, match='not finite'):
        DepthMetrics().update(metres(predicted), metres(1))
    with pytest.raises(ValueError, match='not finite'):
        NormalMetrics().update(np.full((1, 1, 3), predicted), directions(0))


def test_sums_are_in_double_precision():
    """In single precision the sum would stop growing at 2^24, since each step adds 1."""
    metrics = DepthMetrics()
    metrics.add(np.full(9, 2.0**24), 2**24)
    metrics.update(metres(2, 2), metres(1, 1))
    assert metrics.compute()['rmse'] == pytest.approx(1, rel=1e-9)


def test_normals_by_hand():
    """Off by 5, 20 | 25 and 80 degrees: mean 130/4, median between 20 and 25, one below 11.25, two 22.5, three 30."""
    result = computed(NormalMetrics(), (directions(5, -20), directions(0, 0)), (directions(30, 90), directions(55, 10)))
    assert result.pop('angle_median') == pytest.approx(22.5, abs=2.51)
    assert result == pytest.approx(
        {'angle_mean': 130 / 4, 'within_11_25': 1 / 4, 'within_22_5': 2 / 4, 'within_30': 3 / 4}, abs=1e-5
    )


def test_the_median_angle_is_the_middle_one_to_a_hundredth_of_a_degree():
    result = computed(NormalMetrics(), (directions(3, 17.123, 60), directions(0, 0, 0)))
    assert result['angle_median'] == pytest.approx(17.123, abs=0.01)


def test_tiny_and_opposite_angles_keep_their_digits():
    """The arc cosine of a single precision product would give 0 or 0.02 degrees for the first one."""
    assert computed(NormalMetrics(), (directions(0.01), directions(0)))['angle_mean'] == pytest.approx(0.01, rel=1e-3)
    assert computed(NormalMetrics(), (directions(180), directions(0)))['angle_median'] == pytest.approx(180, abs=0.01)


def test_normals_agree_with_the_arc_cosine():
    """Which is exact enough away from 0 and 180 degrees."""
    rng = np.random.default_rng(3)
    predicted, truth = (
        vectors / np.linalg.norm(vectors, axis=2, keepdims=True) for vectors in rng.normal(size=(2, 30, 40, 3))
    )
    angles = np.degrees(np.arccos((predicted * truth).sum(axis=2)))
    result = computed(NormalMetrics(), (predicted, truth))
    assert result['angle_mean'] == pytest.approx(angles.mean(), rel=1e-9)
    assert result['angle_median'] == pytest.approx(np.median(angles), abs=0.1)  # of 1200 angles, 0.15 degrees apart
    assert result['within_30'] == pytest.approx((angles < 30).mean())


def test_pixels_without_normal_do_not_count():
    known = computed(NormalMetrics(), (directions(9), directions(0)))
    truth = directions(0, 0)
    truth[0, 1] = 0
    assert computed(NormalMetrics(), (directions(9, 50), truth)) == known


EMPTY = [
    pytest.param(lambda: SegmentationMetrics(3), (labels(0, 1), labels(255, 255)), id='segmentation'),
    pytest.param(DepthMetrics, (metres(1, 2), metres(0, 0)), id='depth'),
    pytest.param(NormalMetrics, (directions(0), 0 * directions(0)), id='normals'),
]


@pytest.mark.parametrize(('make', 'nothing'), EMPTY)
def test_metrics_over_nothing_are_nan(make, nothing):
    assert all(math.isnan(value) for value in make().compute().values())
    assert all(math.isnan(value) for value in computed(make(), nothing).values())


RANDOM = np.random.default_rng(7)
SOME = [
    pytest.param(
        lambda: SegmentationMetrics(4),
        [(RANDOM.integers(0, 4, (5, 6), np.uint8), RANDOM.integers(0, 4, (5, 6), np.uint8)) for _ in range(3)],
        (labels(0, 1), labels(255, 255)),
        id='segmentation',
    ),
    pytest.param(
        DepthMetrics,
        [(RANDOM.uniform(1, 9, (5, 6)), RANDOM.uniform(1, 9, (5, 6))) for _ in range(3)],
        (metres(1), metres(0)),
        id='depth',
    ),
    pytest.param(
        NormalMetrics,
        [(directions(*RANDOM.uniform(0, 90, 9)), directions(*RANDOM.uniform(0, 90, 9))) for _ in range(3)],
        (directions(0), 0 * directions(0)),
        id='normals',
    ),
]


@pytest.mark.parametrize(('make', 'images', 'nothing'), SOME)
def test_an_image_without_truth_changes_nothing(make, images, nothing):
    assert computed(make(), *images, nothing) == computed(make(), *images)


@pytest.mark.parametrize(('make', 'images', 'nothing'), SOME)
def test_parts_merge_to_the_whole_bit_by_bit(make, images, nothing):
    """In whatever parts and order: as when every process has seen its share, and stored it as JSON."""
    whole = computed(make(), *images, nothing)
    for order in itertools.permutations([*images, nothing]):
        total = make()
        for part in (order[:1], order[1:3], order[3:]):
            metrics, read = make(), make()
            computed(metrics, *part)
            read.restore(json.loads(json.dumps(metrics.state())))
            total.merge(read)
        assert total.compute() == whole


def test_groups_are_sets_of_their_own():
    first, second = (metres(3, 4), metres(2, 4)), (metres(2, 4, 4), metres(1, 8, 8))
    groups = DepthMetrics(2)
    for predicted, truth in (first, second):
        terms = depth_terms(predicted.ravel(), truth.ravel())
        groups.add(np.stack([terms[:, :1].sum(axis=1), terms[:, 1:].sum(axis=1)]), np.array([1, truth.size - 1]))
    rest = [(predicted[:, 1:], truth[:, 1:]) for predicted, truth in (first, second)]
    assert groups.group(0).compute() == computed(DepthMetrics(), *((p[:, :1], t[:, :1]) for p, t in (first, second)))
    assert groups.group(1).compute() == computed(DepthMetrics(), *rest)


def test_a_state_of_something_else_is_refused():
    with pytest.raises(ValueError, match=r'shape \(3, 4\): expected \(4, 5\)'):
        SegmentationMetrics(4).restore(SegmentationMetrics(3).state())
    with pytest.raises(ValueError, match='sums of counts: expected image_terms, images, pixels, terms'):
        DepthMetrics().restore(SegmentationMetrics(3).state())


def test_segmentation_agrees_with_torchmetrics():
    torch = pytest.importorskip('torch')
    oracle = pytest.importorskip('torchmetrics.classification')
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 13, (3, 40, 50), np.uint8)
    predicted = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 13, truth.shape, np.uint8))
    truth[rng.random(truth.shape) < 0.1] = 255
    metrics = SegmentationMetrics(13)
    result = computed(metrics, *zip(predicted, truth, strict=True))

    def score(metric, **options):
        with_ignored = metric(num_classes=13, ignore_index=255, **options)
        return with_ignored(torch.from_numpy(predicted).long(), torch.from_numpy(truth).long()).numpy()

    np.testing.assert_array_equal(metrics.confusion, score(oracle.MulticlassConfusionMatrix))
    np.testing.assert_allclose(metrics.iou, score(oracle.MulticlassJaccardIndex, average='none'), rtol=1e-6)
    assert result['miou'] == pytest.approx(score(oracle.MulticlassJaccardIndex), rel=1e-6)
    assert result['pixel_accuracy'] == pytest.approx(score(oracle.MulticlassAccuracy, average='micro'), rel=1e-6)
    assert result['mean_accuracy'] == pytest.approx(score(oracle.MulticlassAccuracy, average='macro'), rel=1e-6)


def test_depth_agrees_with_torchmetrics():
    """abs_rel is its mean absolute percentage error, rmse_log its logarithmic error of values less 1."""
    torch = pytest.importorskip('torch')
    oracle = pytest.importorskip('torchmetrics')
    rng = np.random.default_rng(2)
    truth = rng.uniform(0.5, 10, (3, 40, 50)).astype(np.float32)
    predicted = truth * rng.normal(1, 0.2, truth.shape).clip(0.3).astype(np.float32)
    result = computed(DepthMetrics(), *zip(predicted, truth, strict=True))
    p, t = torch.from_numpy(predicted), torch.from_numpy(truth)
    assert result['rmse'] == pytest.approx(float(oracle.MeanSquaredError(squared=False)(p, t)), rel=1e-5)
    assert result['abs_rel'] == pytest.approx(float(oracle.MeanAbsolutePercentageError()(p, t)), rel=1e-5)
    logarithmic = oracle.MeanSquaredLogError()(p.double() - 1, t.double() - 1)
    assert result['rmse_log'] == pytest.approx(math.sqrt(float(logarithmic)), rel=1e-5)
    by_image = [float(oracle.MeanSquaredError(squared=False)(p[i], t[i])) for i in range(3)]
    assert result['rmse_per_image'] == pytest.approx(np.mean(by_image), rel=1e-5)
