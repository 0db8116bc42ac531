# SPDX-License-Identifier: Apache-2.0
"""Second opinions on a model's labels: Bayes' rule by hand, and real networks."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from rooms import Samples, rooms, write_rooms
from tiny_tflite import write_argmax

from mtperception.teachers import TeacherError, TeacherOptions, open_teacher
from mtperception.teachers.second_opinion import CorrectedTeacher, confusion_matrices, corrected, posterior_over_prior
from mtperception.types import Prediction, Sample

CPU = {'backend': 'onnxruntime', 'device': 'cpu'}


class Says:
    """A network without a label space that says what it was made to say."""

    tasks = ('segmentation',)
    gives_confidence = False
    name, sha256 = 'says', '0' * 64

    def __init__(self, labels):
        self._labels = np.array(labels, np.uint8)

    def __call__(self, image, intrinsics):
        return Prediction(labels=self._labels)


def test_what_is_counted_is_what_was_said_where_the_truth_is_known():
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    samples = Samples([Sample(np.zeros((1, 4, 3), np.uint8), labels=truth)] * 2)
    counts = confusion_matrices([Says([[7, 9, 9, 7]]), Says([[0, 0, 255, 0]])], samples, 2)
    assert counts.shape == (2, 256, 2)
    # Two images, a quarter of each per pixel.
    assert counts[0, 7].tolist() == [0.5, 0]
    assert counts[0, 9].tolist() == [0.5, 0.5]
    assert counts[1, 0].tolist() == [1, 0]
    assert counts[1, 255].tolist() == [0, 0.5]
    assert counts.sum() == 3


def test_ratios_by_hand():
    counts = np.array([[0.6, 0.1, 0], [0.1, 0.2, 0], [0, 0, 0]])
    # The truth is 0 for 0.7, 1 for 0.3 of an image; half an image is added to each row in these shares. A class that is
    # as rare as can be would have its share of that half image alone.
    expected = [
        [0.95 / 1.2 / 0.7, 0.25 / 1.2 / 0.3, 0.5 / 1.2],
        [0.45 / 0.8 / 0.7, 0.35 / 0.8 / 0.3, 0.5 / 0.8],
        [1, 1, 1],
    ]
    np.testing.assert_allclose(posterior_over_prior(counts), expected, rtol=1e-9)


def one(probabilities, said, ratios):
    """Corrected label and confidence of one pixel of three classes; `ratios` by network: what its statement says."""
    tables = np.ones((len(ratios), 256, 3))
    for table, statement, ratio in zip(tables, said, ratios, strict=True):
        table[statement] = ratio
    labels, confidence = corrected(
        np.reshape(probabilities, (3, 1, 1)), np.array(said, np.uint8).reshape(-1, 1, 1), tables
    )
    return labels.item(), confidence.item()


def test_a_doubtful_model_is_corrected_and_a_sure_one_is_not():
    # 0.6 x 0.2, 0.2 x 4 and 0.2.
    assert one([0.6, 0.2, 0.2], [7], [[0.2, 4, 1]]) == (1, round(255 * 0.8 / 1.12))
    # 0.98 x 0.2, 0.01 x 4 and 0.01.
    assert one([0.98, 0.01, 0.01], [7], [[0.2, 4, 1]]) == (0, round(255 * 0.196 / 0.246))
    assert one([0.2, 0.6, 0.2], [7], [[0.2, 4, 1]]) == (1, round(255 * 2.4 / 2.64))
    # Even what is certain can be wrong: 0.0001 is less than 0.0001 x 4, since nothing is less probable than that.
    assert one([0.9998, 0.00001, 0.00001], [7], [[0.0001, 4, 1]])[0] == 1
    # But a class that the model does not have is not found.
    assert one([0.9, 0.1, 0], [7], [[0.0001, 0.0001, 4]])[0] == 0


def test_the_second_most_probable_class_comes_before_the_others():
    """What the model's label and its confidence do not tell."""
    assert one([0.5, 0.1, 0.4], [7], [[0.1, 1, 1]])[0] == 2
    assert one([0.5, 0.4, 0.1], [7], [[0.1, 1, 1]])[0] == 1


def test_without_evidence_the_most_probable_class_stays():
    assert one([0.2, 0.2, 0.6], [8], [[1, 1, 1]]) == (2, round(255 * 0.6))
    assert one([0, 0, 1], [8], [[1, 1, 1]])[0] == 2


def test_each_of_several_networks_counts_in_full():
    # One network leaves 0.95 x 0.3 above 0.025 x 4; two do not: 0.0855 and 0.4.
    assert one([0.95, 0.025, 0.025], [7], [[0.3, 4, 1]])[0] == 0
    assert one([0.95, 0.025, 0.025], [7, 5], [[0.3, 4, 1], [0.3, 4, 1]])[0] == 1
    # Opposite opinions cancel: 4 x 1/4 is 1.
    alone = one([0.6, 0.2, 0.2], [8], [[1, 1, 1]])
    assert one([0.6, 0.2, 0.2], [7, 5], [[1, 4, 1], [1, 1 / 4, 1]]) == alone


def test_probabilities_of_a_low_resolution_lie_where_they_are_seen():
    left, right = [[0.9, 0.1]], [[0.1, 0.9]]
    said = np.zeros((1, 2, 4), np.uint8)
    assert corrected(np.array([left, right]), said, np.ones((1, 256, 2)))[0].tolist() == [[0, 0, 1, 1]] * 2
    # Where the network speaks, its opinion has the resolution of the image.
    said[0, 1, 0] = 3
    tables = np.ones((1, 256, 2))
    tables[0, 3] = [0.01, 10]
    assert corrected(np.array([left, right]), said, tables)[0].tolist() == [[0, 0, 1, 1], [1, 0, 1, 1]]


@pytest.fixture
def opinion(tmp_path):
    """A network that says which channel is brightest."""
    pytest.importorskip('ai_edge_litert', reason='pip install "mtperception[teachers]"')
    return write_argmax(tmp_path / 'brightest.tflite', side=64)


def judged(folder, samples, **changes):
    write_rooms(folder, samples, **changes)
    (folder / 'test.txt').rename(folder / 'train.txt')
    return str(folder)


def test_a_real_model_gets_better(tmp_path, opinion):
    """The colours of the rendered room say something about its classes, and the model is unsure there."""
    walk = rooms(12)
    folder = judged(tmp_path / 'judged', walk[::2])
    options = TeacherOptions(**CPU, second_opinions=(str(opinion),), judged_on=folder)
    with (
        closing(open_teacher('nyuv2_indoor', TeacherOptions(**CPU))) as alone,
        closing(open_teacher('nyuv2_indoor', options)) as both,
    ):
        assert both.name == 'nyuv2_indoor with brightest'
        assert both.tasks == alone.tasks
        assert both.sha256 != alone.sha256
        right = {alone: 0, both: 0}
        for sample in walk[1::2]:
            for teacher in right:
                right[teacher] += np.count_nonzero(teacher(sample.image, None).labels == sample.labels)
        large = rooms(1, 640, 480)[0].image
        before, after = (teacher(large, None) for teacher in (alone, both))
    assert right[both] > right[alone]
    np.testing.assert_array_equal(before.depth, after.depth)
    assert after.confidence.dtype == np.uint8


def test_what_does_not_go_together_is_said(tmp_path, opinion):
    second = {'second_opinions': (str(opinion),)}
    with pytest.raises(TeacherError, match='second opinions need a labelled data set'):
        open_teacher('nyuv2_indoor', TeacherOptions(**CPU, **second))
    with pytest.raises(TeacherError, match='second opinions need a labelled data set'):
        open_teacher('nyuv2_indoor', TeacherOptions(**CPU, judged_on=str(tmp_path)))
    without = judged(tmp_path / 'without', rooms(1), labels=None)
    with pytest.raises(TeacherError, match='judged on no labels: expected nyuv2_40, as nyuv2_indoor has'):
        open_teacher('nyuv2_indoor', TeacherOptions(**CPU, **second, judged_on=without))
    labelled = judged(tmp_path / 'labelled', rooms(1))
    with pytest.raises(TeacherError, match='brightest does not say how probable each class is: it can only'):
        open_teacher(str(opinion), TeacherOptions('kitti_6', **second, judged_on=labelled))
    with pytest.raises(TeacherError, match=r'missing\.tflite: no such file'):
        open_teacher('nyuv2_indoor', TeacherOptions(**CPU, second_opinions=('missing.tflite',), judged_on=labelled))

    with pytest.raises(TeacherError, match='depth follows the labels of one network'):
        open_teacher('street', TeacherOptions(**CPU, camera_height=1.5, horizon=3, **second, judged_on=labelled))


def test_the_labelled_data_set_must_say_something(tmp_path, opinion):
    unknown = [replace(sample, labels=np.full_like(sample.labels, 255)) for sample in rooms(1)]
    options = TeacherOptions(**CPU, second_opinions=(str(opinion),), judged_on=judged(tmp_path / 'unknown', unknown))
    with pytest.raises(TeacherError, match='images without any labelled pixel'):
        open_teacher('nyuv2_indoor', options)
    other = judged(tmp_path / 'other', rooms(1), label_space='nyuv2_13', ignore_index=255)
    with pytest.raises(TeacherError, match='judged on nyuv2_13 labels: expected nyuv2_40'):
        open_teacher('nyuv2_indoor', replace(options, judged_on=other))


def test_what_decides_is_known_before_the_first_image(tmp_path):
    """Another model of this package, of other classes, on an image larger than it takes; its answers are not hashed."""
    folder = judged(tmp_path / 'judged', rooms(2))
    options = TeacherOptions(**CPU, second_opinions=('street',), judged_on=folder)
    with closing(open_teacher('nyuv2_indoor', options)) as one, closing(open_teacher('nyuv2_indoor', options)) as again:
        assert one.sha256 == again.sha256
        labels = one(rooms(1, 640, 480)[0].image, None).labels
        assert labels.shape == (480, 640)
        assert one.sha256 == again.sha256
    changed = rooms(2)
    changed[0].labels[0, 0] = 3
    judged(tmp_path / 'changed', changed)
    with closing(open_teacher('nyuv2_indoor', replace(options, judged_on=str(tmp_path / 'changed')))) as different:
        assert different.sha256 != one.sha256


def test_a_network_without_labels_has_no_opinion():
    class Depth(Says):
        tasks = ('depth',)

    with pytest.raises(TeacherError, match='says has depth: expected labels, too'):
        CorrectedTeacher(Depth([]), [Says([[0]])], Samples([]))
