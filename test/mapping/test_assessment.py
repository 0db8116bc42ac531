# SPDX-License-Identifier: Apache-2.0
"""A perfect model's maps have perfect scores, and known errors have the scores that follow from them."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)

from mtperception.evaluation.metrics import SegmentationMetrics
from mtperception.labels import load_label_space
from mtperception.mapping.assessment import AS_IT_IS, HEIGHT, MEDIAN, Assessment
from mtperception.mapping.mapper import MapOptions
from mtperception.mapping.quality import true_labels
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Frame, Intrinsics, Prediction

ROOM = SyntheticRoom(160, 120)
SPACE = load_label_space('nyuv2_40')
TIMES = (3.0, 3.3, 3.6, 3.9)
SCALE = 0.8
WRONG = 0.3
"""Share of the labels that are."""


def frame(seconds):
    sample = ROOM.frame(seconds)
    return Frame(
        sample.image, 0, ROOM.intrinsics, str(seconds), sample.depth, sample.labels, T_world_camera=pose(seconds)
    )


@pytest.fixture(scope='module')
def frames():
    return [frame(seconds) for seconds in TIMES]


def predicted(frames, wrong=0.0):
    """By a model whose depth is too small by one factor, and which gives some pixels any class."""
    generator, predictions = np.random.default_rng(0), []
    for each in frames:
        is_wrong = generator.random(each.labels.shape) < wrong
        labels = np.where(is_wrong, generator.integers(0, 40, each.labels.shape), each.labels).astype(np.uint8)
        sure = np.full(labels.shape, 255 * (1 - wrong), np.uint8)
        predictions.append(Prediction(labels, sure, each.depth * np.float32(SCALE)))
    return predictions


def assessed(frames, wrong=0.0):
    return Assessment(frames, predicted(frames, wrong), SPACE, MapOptions(max_depth=6.0))


def test_right_labels(frames):
    assessment = assessed(frames)
    views = assessment.of_views()
    assert (views['accuracy'], views['miou'], views['ece']) == (1, 1, 0)
    assert views['flicker'] < 0.05  # borders between classes
    row = assessment.of_labels(0.05, 'average', 4)
    assert row['accuracy_3d'] > 0.95
    assert row['miou_3d'] > 0.85
    assert row['ece_3d'] < 0.05
    # What fewer than two views saw, and steps of depth, have no surface, which counts as wrong.
    assert 0.5 < row['covered'] < 0.8
    assert 0.95 * row['covered'] < row['accuracy'] < row['covered']
    assert row['mb_per_m2'] == pytest.approx(row['mb'] / row['m2'])
    assert 5 < row['m2'] < 100


def test_scores_of_classes_are_those_of_evaluation(frames):
    """Classes that only the model sees count, with an IoU of 0, as they do in `mtperception evaluate`."""
    assessment = assessed(frames, WRONG)
    metrics = SegmentationMetrics(len(SPACE))
    for each, prediction in zip(frames, predicted(frames, WRONG), strict=True):
        metrics.update(prediction.labels, np.where(each.depth < 6, each.labels, np.uint8(255)))
    expected, found = metrics.compute(), assessment.of_views()
    assert (found['accuracy'], found['miou']) == (expected['pixel_accuracy'], expected['miou'])
    assert np.isnan(metrics.iou).sum() == 0  # all 40 classes are predicted somewhere, though few are in the room


def test_wrong_labels_are_averaged_out(frames):
    assessment = assessed(frames, WRONG)
    right = 1 - WRONG * 39 / 40
    assert assessment.of_views()['accuracy'] == pytest.approx(right, abs=0.01)
    assert assessment.of_views()['ece'] == pytest.approx(abs(right - int(255 * (1 - WRONG)) / 255), abs=0.01)
    row = assessment.of_labels(0.05, 'average', 0)
    assert row['accuracy_3d'] > 0.9
    assert row['flicker'] < assessment.of_views()['flicker'] / 2
    assert 0 < row['ece_3d'] < 1


def test_depth_of_a_wrong_scale(frames):
    """Nothing is near a room that is larger by a quarter; aligned, all is."""
    assessment = assessed(frames)
    as_it_is, aligned = assessment.of_depth(AS_IT_IS, 0.05), assessment.of_depth(MEDIAN, 0.05)
    assert as_it_is['f_score'] < 0.1
    assert as_it_is['near_pixels'] < 0.1  # depth is more than 25 cm nearly everywhere
    assert aligned['f_score'] > 0.99
    assert aligned['near_pixels'] == 1
    by_height = assessment.of_depth(HEIGHT, 0.05, float(pose(TIMES[0])[2, 3]))
    assert by_height['factor'] == pytest.approx(1 / SCALE, rel=0.05)
    assert by_height['f_score'] > 0.9


def test_without_labels_of_the_source(frames):
    bare = Assessment(
        [replace(each, labels=None) for each in frames], predicted(frames), SPACE, MapOptions(max_depth=6.0)
    )
    assert set(bare.of_views()) == {'flicker'}
    assert 'miou_3d' not in bare.of_labels(0.1, 'bayes', 4)


def test_a_single_view_is_too_few(frames):
    with pytest.raises(ValueError, match='expected at least 2'):
        Assessment(frames[:1], [], SPACE, MapOptions())


def test_true_labels_are_those_of_most_views_that_see_a_vertex():
    camera = Intrinsics(2.0, 2.0, 0.5, 0.5, 2, 2)

    def look(label, depth):
        labels = np.array([[label, 255], [9, 9]], np.uint8)
        return Frame(None, 0, camera, '', np.full((2, 2), depth, np.float32), labels, T_world_camera=np.eye(4))

    ray = np.array([-0.25, -0.25, 1], np.float32)  # through the first pixel; the others: the one right of it, behind
    vertices = np.stack([2 * ray, 2 * ray * [-1, 1, 1], -2 * ray]).astype(np.float32)
    looks = [look(3, 2.0), look(3, 2.02), look(5, 2.0), look(7, 2.5), look(7, 2.5), look(7, 1.0)]
    assert true_labels(vertices, looks, 0.05).tolist() == [3, 255, 255]


def test_a_map_that_does_not_fit_is_said(frames):
    assessment = assessed(frames)
    row = assessment.of_labels(0.05, 'average', 4)
    assert assessment.notes == []
    # Less than that is needed, but each view by itself still fits.
    small = Assessment(frames, predicted(frames), SPACE, MapOptions(max_depth=6.0, memory_mb=0.9 * row['mb']))
    small.of_labels(0.05, 'average', 4)
    (note,) = small.notes
    assert note.startswith('average, voxels of 0.05 m: ')
    assert 'of the map was dropped' in note
