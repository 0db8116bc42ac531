# SPDX-License-Identifier: Apache-2.0
"""What the score of a frame is made of."""

import json
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mtperception.card import open_model
from mtperception.geometry import normals_from_depth
from mtperception.labels import load_label_space
from mtperception.synthetic import SyntheticRoom
from mtperception.tasks import TASKS
from mtperception.types import Prediction

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from mtperception.recording.recording import RecordedFrame
from mtperception.replay.depth_truth import depth_truth, truth_notes
from mtperception.replay.result import FrameResult
from mtperception.replay.scorer import Scorer, worst_frames


def test_labels_are_compared_in_the_space_of_the_truth():
    model = open_model('nyuv2_indoor')
    scorer = Scorer(SimpleNamespace(card=model.card, label_space=model.label_space), load_label_space('nyuv2_13'))
    labels = np.arange(40, dtype=np.uint8).reshape(4, 10)
    truth = model.label_space.grouping('nyuv2_13')[labels]
    image = np.zeros((4, 10, 3), np.uint8)
    frame = RecordedFrame(image, 0, None, '0', labels=truth, index=0, received_ns=0, header=None)
    scores = scorer.add(frame, Prediction(labels, confidence=np.full_like(labels, 255)))
    assert scores.tasks['pixel_accuracy'] == 1
    assert np.isnan(scores.tasks['ece'])  # the confidence is that of a class, not of its group


def turned(normals, degrees):
    """About the camera's x axis: by the angle where that is across to the normal, by less elsewhere."""
    rotation = cv2.Rodrigues(np.radians(np.float64([degrees, 0, 0])))[0].astype(np.float32)
    return normals @ rotation.T


def test_every_task_is_scored_that_a_recording_has_the_truth_of(tmp_path):
    """Of normals, depth and a camera are enough; parts merge to the whole."""
    model = open_model('nyuv2_indoor')
    card = replace(model.card, tasks=tuple(TASKS))
    sample = SyntheticRoom(96, 72).frame(0.0)
    normals = normals_from_depth(sample.depth, sample.intrinsics, 9)
    prediction = Prediction(
        sample.labels,
        np.full((72, 96), 255, np.uint8),
        depth=sample.depth + 0.5,
        normals=turned(normals, 5),
        depth_confidence=np.full((72, 96), 9, np.uint8),
    )
    frame = RecordedFrame(
        sample.image, 0, sample.intrinsics, '0', sample.depth, sample.labels, index=0, received_ns=0, header=None
    )
    blind = replace(frame, intrinsics=None, labels=None, index=1)

    def scorer_of(*frames):
        scorer = Scorer(SimpleNamespace(card=card, label_space=model.label_space), model.label_space)
        for one in frames:
            scorer.add(one, prediction)
        return scorer

    first, second = scorer_of(frame), scorer_of(blind)
    values, without_camera = first.frames[0].values(), second.frames[0].values()
    cosines = (normals * prediction.normals).sum(axis=2)[normals.any(axis=2)].astype(np.float64)
    assert values['angle_mean'] == pytest.approx(np.degrees(np.arccos(cosines)).mean(), abs=0.01)
    assert 1 < values['angle_mean'] < 5
    assert values['rmse_surest_70'] == pytest.approx(0.5, rel=1e-5)
    assert (values['miou'], values['ece']) == (1, 0)
    assert not {'angle_mean', 'miou'} & set(without_camera)
    assert without_camera['rmse_surest_70'] == values['rmse_surest_70']
    whole = scorer_of(frame, blind)
    restored = scorer_of()
    restored.restore(json.loads(json.dumps(first.state())))
    restored.merge(second)
    assert restored.task_metrics() == whole.task_metrics()
    assert list(whole.task_metrics()) == ['segmentation', 'normals', 'depth_confidence']
    result = whole.result({'reading': 1.0}, {}, [], 'a processor')
    assert result.summary()['angle_mean'] == values['angle_mean']
    assert list(result.worst) == ['rmse', 'miou', 'angle_mean']
    assert whole.truths == {'normals': 'planes fitted to the true depth over 9 pixels'}


def test_the_worst_of_many_are_named():
    """Of equal ones the earlier; a frame without the metric is none of them, but comes before the next."""
    values = [5, 9, None, 8, 7, 6, 9, 11, 1]
    known = [{} if x is None else {'rmse': x, 'miou': x} for x in values]
    frames = [FrameResult(10 + i, 0, None, metrics, None, None) for i, metrics in enumerate(known)]
    worst = worst_frames(frames, 'rmse')
    assert [frame.value for frame in worst] == [11, 9, 9, 8, 7, 6]
    assert [frame.index for frame in worst] == [17, 11, 16, 13, 14, 15]
    assert (worst[1].previous, worst[3].previous) == (10, 12)
    assert [frame.value for frame in worst_frames(frames, 'miou')] == [1, 5, 6, 7, 8, 9]
    assert worst_frames(frames[:1], 'rmse')[0].previous is None


class TestDepthTruth:
    def notes(self, *truths):
        return list(truth_notes([depth_truth(np.array([truth], np.float32), 10.0) for truth in truths]))

    def test_without_any_measurement_there_are_no_figures(self):
        (note,) = self.notes([0, 0, np.nan], [0, 0, 0])
        assert note == 'depth: no pixel of the 2 depth images has a measurement: there are no figures of depth'

    def test_much_beyond_the_range_is_told(self):
        (note,) = self.notes([1, 11, 0, 0], [2, 12, 3, 4])
        assert note.startswith('depth: 33% of the measured pixels are farther than the model can tell with this camera')

    def test_little_is_not(self):
        assert self.notes([11, *[9] * 10]) == []

    def test_no_depth_images_say_nothing(self):
        assert self.notes() == []
