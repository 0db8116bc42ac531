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
from mtperception.replay.result import Shown
from mtperception.replay.scorer import Scorer, _Worst


def test_labels_are_compared_in_the_space_of_the_truth():
    model = open_model('nyuv2_indoor')
    scorer = Scorer(SimpleNamespace(card=model.card, label_space=model.label_space), load_label_space('nyuv2_13'))
    labels = np.arange(40, dtype=np.uint8).reshape(4, 10)
    truth = model.label_space.grouping('nyuv2_13')[labels]
    image = np.zeros((4, 10, 3), np.uint8)
    frame = RecordedFrame(image, 0, None, '0', labels=truth, index=0, received_ns=0, header=None)
    scores = scorer.add(frame, Prediction(labels))
    assert scores.segmentation['pixel_accuracy'] == 1


def test_the_worst_of_many_are_kept():
    worst = _Worst(1)
    for position, value in enumerate([5, 9, 8, 7, 6, 10, 11, 1]):
        worst.add(Shown(value, None, None, None), position)
    assert [shown.value for shown in worst.sorted()] == [11, 10, 9, 8, 7, 6]


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
