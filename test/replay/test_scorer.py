# SPDX-License-Identifier: Apache-2.0
"""What the score of a frame is made of."""

from types import SimpleNamespace

import numpy as np
import pytest

from mtperception.card import open_model
from mtperception.labels import load_label_space
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
    scores = scorer.add(frame, Prediction(labels))
    assert scores.segmentation['pixel_accuracy'] == 1


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
        return list(truth_notes([depth_truth(np.array([truth], np.float32), 10.0) for truth in truths], 10.0))

    def test_without_any_measurement_there_are_no_figures(self):
        (note,) = self.notes([0, 0, np.nan], [0, 0, 0])
        assert note == 'depth: no pixel of the 2 depth images has a measurement: there are no figures of depth'

    def test_much_beyond_the_range_is_told(self):
        (note,) = self.notes([1, 11, 0, 0], [2, 12, 3, 4])
        assert note.startswith('depth: 33% of the measured pixels are beyond 10 m, where the model ends')

    def test_little_is_not(self):
        assert self.notes([11, *[9] * 10]) == []

    def test_no_depth_images_say_nothing(self):
        assert self.notes() == []
