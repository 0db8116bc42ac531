# SPDX-License-Identifier: Apache-2.0
"""Edge metrics of depth on steps whose places and errors are known."""

import itertools
import json
import math

import numpy as np
import pytest

from mtperception.evaluation.depth_edges import DepthEdgeMetrics, canny_edges, true_edges

NEAR, FAR = 1.0, 3.0


def step(column, height=40, width=60, near=NEAR, far=FAR):
    """Near on the left, far from this column on."""
    depth = np.full((height, width), near, np.float32)
    depth[:, column:] = far
    return depth


def scores(*images):
    metrics = DepthEdgeMetrics()
    for depth, truth in images:
        metrics.update(depth, truth)
    return metrics.compute()


def test_a_step_has_an_edge_of_one_pixel_in_each_row():
    edges = canny_edges(step(30))
    columns = np.nonzero(edges)[1]
    assert set(columns) <= {29, 30}
    assert (edges[2:-2].sum(axis=1) == 1).all()


def test_a_slope_and_a_plane_have_none():
    assert not canny_edges(np.tile(np.linspace(1, 3, 60, dtype=np.float32), (40, 1))).any()
    assert not canny_edges(np.full((40, 60), 2.0, np.float32)).any()


def test_a_perfect_prediction_has_no_error():
    assert scores((step(30), step(30))) == {'rmse_edges': 0, 'dbe_acc': 0, 'dbe_comp': 0}


@pytest.mark.parametrize('shift', [-7, 3, 9])
def test_an_edge_that_is_off_is_off_by_so_many_pixels(shift):
    found = scores((step(30 + shift), step(30)))
    assert found['dbe_acc'] == pytest.approx(abs(shift), abs=1e-6)
    assert found['dbe_comp'] == pytest.approx(abs(shift), abs=1e-6)


def test_an_edge_that_is_too_far_off_is_another_one():
    """12 pixels: nothing predicted is near a true edge, and each true edge is missed by the most that counts."""
    found = scores((step(42), step(30)))
    assert (found['dbe_acc'], found['dbe_comp']) == (10, 10)


def test_a_prediction_without_edges_misses_all():
    found = scores((np.full((40, 60), 2.0, np.float32), step(30)))
    assert (found['dbe_acc'], found['dbe_comp']) == (10, 10)
    assert found['rmse_edges'] == pytest.approx(1)


def test_an_edge_too_many_lowers_neither():
    """Right where the truth has an edge; another one far from it has no match, and no true edge is missed."""
    more = step(30, width=90)
    more[:, 60:] += 2
    assert scores((more, step(30, width=90)))['dbe_acc'] == 0


def test_errors_count_within_five_pixels_of_true_edges_alone():
    truth = step(30)
    column = int(np.nonzero(true_edges(truth)[20])[0][0])
    depth = truth.copy()
    depth[:, : column - 5] += 7
    depth[:, column + 6 :] += 7
    assert scores((depth, truth))['rmse_edges'] == 0
    depth[:, column + 5] += 0.5  # one of the eleven columns that count
    assert scores((depth, truth))['rmse_edges'] == pytest.approx(0.5 / math.sqrt(11))


def test_the_scale_of_a_prediction_does_not_move_its_edges():
    found = scores((4 * step(30), step(30)))
    assert (found['dbe_acc'], found['dbe_comp']) == (0, 0)
    assert found['rmse_edges'] > 3


def test_images_count_alike():
    """Boundary errors are means of images, whatever their size; the root is over all pixels."""
    found = scores((step(33), step(30)), (step(30, 80), step(30, 80)))
    assert found['dbe_acc'] == pytest.approx(1.5, abs=1e-6)
    by_image = [scores((step(33), step(30)))['rmse_edges'], 0]
    assert found['rmse_edges'] == pytest.approx(math.sqrt(by_image[0] ** 2 / 3))


def test_images_without_a_true_edge_change_nothing():
    flat = np.full((40, 60), 2.0, np.float32)
    assert scores((step(33), step(30)), (step(30), flat)) == scores((step(33), step(30)))
    assert all(math.isnan(value) for value in scores((step(30), flat)).values())


@pytest.mark.parametrize('hole', [0.0, math.nan])
def test_the_border_of_a_hole_is_no_edge(hole):
    truth = np.full((40, 60), 2.0, np.float32)
    truth[10:20, 20:40] = hole
    assert not true_edges(truth).any()


def test_an_edge_in_a_hole_does_not_count():
    """As the shadow of a depth camera: where in it the edge is, nobody knows."""
    truth = step(30)
    truth[:, 26:34] = 0
    assert not true_edges(truth).any()
    truth = step(30)
    truth[:20, 26:34] = 0
    assert not true_edges(truth)[:18].any()
    assert true_edges(truth)[24:-2].any(axis=1).all()


def test_a_sparse_truth_has_no_edges():
    rng = np.random.default_rng(0)
    truth = step(30)
    truth[rng.random(truth.shape) > 0.1] = 0
    assert all(math.isnan(value) for value in scores((step(33), truth)).values())


def test_parts_merge_to_the_whole_bit_by_bit():
    rng = np.random.default_rng(3)
    images = [
        (step(30 + shift) + rng.normal(0, 0.01, (40, 60)), step(30).astype(float) * rng.uniform(0.5, 2))
        for shift in range(4)
    ]
    whole = scores(*images)
    for order in itertools.permutations(images):
        total = DepthEdgeMetrics()
        for part in (order[:1], order[1:3], order[3:]):
            metrics, read = DepthEdgeMetrics(), DepthEdgeMetrics()
            for image in part:
                metrics.update(*image)
            read.restore(json.loads(json.dumps(metrics.state())))
            total.merge(read)
        assert total.compute() == whole


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match='expected the same'):
        scores((step(30, width=50), step(30)))
    with pytest.raises(ValueError, match='not finite'):
        scores((step(30) * np.nan, step(30)))
