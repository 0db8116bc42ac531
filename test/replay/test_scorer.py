"""What the score of a frame is made of."""

from types import SimpleNamespace

import numpy as np
import pytest

from mtperception.card import open_model
from mtperception.labels import load_label_space
from mtperception.types import Prediction

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from mtperception.recording.recording import RecordedFrame
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
