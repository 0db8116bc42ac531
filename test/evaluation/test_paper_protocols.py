# SPDX-License-Identifier: Apache-2.0
"""Figures as papers have them, worked out by hand; and what cannot be measured as a paper does."""

import math
from dataclasses import replace

import numpy as np
import pytest
from perfect_network import Room, coordinates, perfect_predictor, pinhole
from rooms import Samples, rooms

from mtperception.backends.backend import Backend
from mtperception.card import ModelCard
from mtperception.data import DatasetError
from mtperception.evaluation.evaluate import evaluate
from mtperception.evaluation.paper_protocols import PROTOCOLS
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.labels import load_label_space
from mtperception.predictor import BackendPredictor
from mtperception.tasks import metrics_of
from mtperception.types import Sample

SPACE = load_label_space('nyuv2_40')
CAMERA = TrainingCamera(100.0, 160, 120)


class Answers(Backend):
    """A network whose answers are known: maps of 2x4 blocks for an image of one brightness, its number."""

    name = 'answers'

    def __init__(self, labels, depths):
        super().__init__('cpu', 'fp32')
        self._labels, self._depths = labels, depths

    def _compile(self, batch, height, width):
        def blocks(small):
            return np.repeat(np.repeat(small, height // 2, axis=0), width // 4, axis=1)[None]

        def run(images):
            number = int(images[0, 0, 0, 0])
            labels = blocks(self._labels[number])
            depth = np.full(labels.shape, self._depths[number], np.float32)
            return {'labels': labels, 'confidence': np.full_like(labels, 255), 'depth': depth}, {}

        return run


class ReadFromImage(Backend):
    """A network that says what the image says: red is the class, green the depth in decimetres."""

    name = 'read'

    def _compile(self, batch, height, width):
        def run(images):
            labels, depth = images[..., 0].copy(), (images[..., 1] / np.float32(10)).astype(np.float32)
            return {'labels': labels, 'confidence': np.full_like(labels, 255), 'depth': depth}, {}

        return run


def predictor_of(backend, tasks=('segmentation', 'depth'), space=SPACE):
    card = ModelCard('known', 'x', len(space), tasks, space.name, (0, len(space)), (0.1, 20.0), CAMERA)
    return BackendPredictor(card, space, backend)


def classes(*names):
    """uint8 2,4: of names; '-' is unlabelled."""
    return np.array([255 if name == '-' else SPACE.names.index(name) for name in names], np.uint8).reshape(2, 4)


@pytest.fixture
def three_images():
    """In 13 classes, with W wall, F floor, U furniture, C chair, S sofa: right are 5 of 7, 6 of 8 and 8 of 8.

    truth      W W F F  U U C -     W W W W  W W W W     F F F F  F F F F
    predicted  W F F F  U U S W     W W W W  W W F F     F F F F  F F F F
    depth      4 m of six, seen as 5 | 1 m of eight, seen as 1.5 | 2 m of eight, seen as 4
    """
    truths = [
        classes('wall', 'wall', 'floor', 'floor', 'cabinet', 'cabinet', 'chair', '-'),
        classes(*['wall'] * 8),
        classes(*['floor'] * 8),
    ]
    predicted = [
        classes('wall', 'floor', 'floor', 'floor', 'dresser', 'cabinet', 'sofa', 'wall'),
        classes(*['wall'] * 6, *['floor'] * 2),
        classes(*['floor'] * 8),
    ]
    depths = [np.full((2, 4), depth, np.float32) for depth in (4, 1, 2)]
    depths[0][1, 2:] = 0
    samples = [
        Sample(np.full((2, 4, 3), number, np.uint8), truth, depth)
        for number, (truth, depth) in enumerate(zip(truths, depths, strict=True))
    ]
    return Samples(samples), predictor_of(Answers(predicted, (5.0, 1.5, 4.0)))


def test_mtan_by_hand(three_images):
    """Over the set W has IoU 7/10, F 10/13, U 1, C and S 0. By image the means are 13/30, 3/8 and 1.

    Two images at a time: the first two have 6 pixels that are off by 1 m, 8 by 0.5 m; the third has 8 by 2 m.
    """
    samples, predictor = three_images
    result = evaluate(predictor, samples, paper='mtan')
    assert result.figures == pytest.approx(
        {
            'mIoU': (7 / 10 + 10 / 13 + 1 + 0 + 0) / 5,
            'Pix Acc': 19 / 23,
            'mIoU by image': (13 / 30 + 3 / 8 + 1) / 3,
            'Pix Acc by image': (5 / 7 + 6 / 8 + 1) / 3,
            'Abs Err': ((6 * 1 + 8 * 0.5) / 14 + 2) / 2,
            'Rel Err': ((6 * 0.25 + 8 * 0.5) / 14 + 1) / 2,
        }
    )
    assert result.summary()['abs_err'] == pytest.approx((6 * 1 + 8 * 0.5 + 8 * 2) / 22)
    assert (result.label_space.name, result.protocol['resolution']) == ('nyuv2_13', ['256x128'])
    assert result.protocol['classes_compared'] == 'nyuv2_13'
    assert result.protocol['paper'].startswith('MTAN')


def test_a_batch_that_lacks_an_image_is_that_of_the_other(three_images):
    """Images stay in the batch of their place: without the first one, the second is a batch by itself."""
    samples, predictor = three_images
    unusable = [replace(samples[0], depth=None), samples[1], samples[2]]
    result = evaluate(predictor, Samples(unusable), paper='mtan', skip_bad=True)
    assert result.figures['Abs Err'] == pytest.approx((0.5 + 2) / 2)
    assert result.failed == {'000': 'sample 000: no truth for depth, which mtan measures'}


def test_one_task_has_its_own_figures(three_images):
    samples, _ = three_images
    depth = predictor_of(Answers([classes(*['wall'] * 8)] * 3, (5.0, 1.5, 4.0)), ('depth',))
    assert list(evaluate(depth, samples, paper='mtan').figures) == ['Abs Err', 'Rel Err']


def test_hybridnet_by_hand():
    """12x6 pixels: 18 parts of 2x2. On the left class 0 at 2 m, all right, seen at 4 m.

    On the right class 1 at 4 m, seen at 2 m, a quarter right and the rest taken for class 0.
    """
    truth = np.repeat([[0] * 6 + [1] * 6], 6, axis=0).astype(np.uint8)
    seen = truth.copy()
    seen[:3, 6:] = seen[3:, 9:] = 0
    image = np.stack([seen, np.where(truth == 0, 40, 20), 0 * seen], axis=2).astype(np.uint8)
    depth = np.where(truth == 0, 2, 4).astype(np.float32)
    predictor = predictor_of(ReadFromImage('cpu', 'fp32'))
    result = evaluate(predictor, Samples([Sample(image, truth, depth)]), paper='hybridnet')
    assert predictor.backend.is_prepared(1, 2, 2)
    assert result.figures == pytest.approx(
        {
            'G': 45 / 72,
            'C': (1 + 1 / 4) / 2,
            'IoU class': (36 / 63 + 9 / 36) / 2,
            'γ < 1.25': 0,
            'γ < 1.25²': 0,
            'γ < 1.25³': 0,
            'ARD': (1 + 1 / 2) / 2,
            'SRD': (4 / 2 + 4 / 4) / 2,
            'RMSE-linear': 2,
            'RMSE-log': math.log(2),
            'SIE': math.log(2),
        },
        rel=1e-5,
    )


def test_a_scale_that_is_wrong_in_every_image_alone_is_no_error_of_hybridnets_sie(samples_at_half_and_double):
    """SIE is the mean over images of an error that no scale of an image changes; RMSE-log is ln 2 over all pixels."""
    samples, predictor = samples_at_half_and_double
    figures = evaluate(predictor, samples, paper='hybridnet').figures
    assert (figures['SIE'], figures['RMSE-log']) == (pytest.approx(0, abs=1e-4), pytest.approx(math.log(2), rel=1e-5))


@pytest.fixture
def samples_at_half_and_double():
    """Two images of a depth of 2 m and of 4 m everywhere, seen as 4 m and as 2 m."""
    labels = np.zeros((6, 12), np.uint8)
    samples = [
        Sample(np.stack([labels, labels + seen * 10, labels], axis=2), labels, np.full(labels.shape, true, np.float32))
        for true, seen in ((2, 4), (4, 2))
    ]
    return Samples(samples), predictor_of(ReadFromImage('cpu', 'fp32'))


@pytest.mark.parametrize('size', [(180, 90), (187, 101)])
def test_hybridnet_cuts_18_parts_whatever_the_model_does(size):
    """What is perfect in each part is perfect in the image; the predictor keeps its own policy."""
    camera = pinhole(100.0, *size)
    own = InputPolicy('tiles', 64, 48)
    predictor = perfect_predictor(Room(), camera, training=TrainingCamera(100.0, *size), input=own)
    truth = Room().maps(camera)
    sample = Sample(coordinates(*size), truth['labels'], truth['depth'].astype(np.float32), camera)
    result = evaluate(predictor, Samples([sample]), paper='hybridnet')
    assert (result.figures['G'], result.figures['RMSE-linear']) == (1, pytest.approx(0, abs=1e-5))
    assert predictor.backend.is_prepared(1, math.ceil(size[1] / 3), math.ceil(size[0] / 6))
    assert predictor.input_policy == own
    assert result.protocol['input'] == 'tiles: each image cut into 6 x 3'
    assert 'network_size' not in result.protocol


def test_multitasknet_measures_at_its_own_size(three_images):
    samples, predictor = three_images
    result = evaluate(predictor, samples, paper='multitasknet')
    assert result.protocol['resolution'] == ['224x224']
    assert result.figures['RMSE(lin)'] == pytest.approx(math.sqrt((6 * 1 + 8 * 0.25 + 8 * 4) / 22))
    assert result.figures['mIoU'] == result.summary()['miou']  # in its own 40 classes: W 7/10, F 10/13
    assert result.label_space is SPACE


def test_the_camera_is_resized_with_the_image():
    """A wall at 3 m stays one when the image is stretched: the focal scale is that of the smaller camera."""
    sample = rooms(1, 320, 240)[0]
    training = TrainingCamera(100.0, 160, 120, fy=100.0)
    seen = evaluate(perfect_predictor(Room(0.0), sample.intrinsics, training=training), Samples([sample]), paper='mtan')
    assert seen.figures['Rel Err'] < 0.02
    assert seen.figures['Pix Acc'] > 0.97


@pytest.mark.parametrize('name', PROTOCOLS)
def test_what_a_protocol_names_exists(name):
    protocol = PROTOCOLS[name]
    assert {figure.metric for figure in protocol.figures.values()} <= set(metrics_of(protocol.tasks))
    means_of_pixels = {'abs_err', 'abs_rel', 'sq_rel'}
    assert {f.metric for f in protocol.figures.values() if f.batch not in (None, 1)} <= means_of_pixels
    if protocol.label_space:
        load_label_space(protocol.label_space)


def test_a_model_or_data_set_that_cannot_answer(three_images):
    samples, predictor = three_images
    whole = list(samples)
    with pytest.raises(ValueError, match="unknown protocol 'mtam': expected one of mtan, hybridnet, multitasknet"):
        evaluate(predictor, samples, paper='mtam')
    with pytest.raises(ValueError, match='protocol mtan measures labels: expected a data set that has some'):
        evaluate(predictor, Samples([replace(sample, labels=None) for sample in whole], ''), paper='mtan')
    with pytest.raises(ValueError, match='labels of kitti_6, which the protocol compares in the classes of nyuv2_13'):
        evaluate(predictor, Samples(whole, 'kitti_6'), paper='mtan')
    with pytest.raises(DatasetError, match=r'nothing to compare.*sample 000: no truth for depth, which mtan measures'):
        evaluate(predictor, Samples([replace(sample, depth=None) for sample in whole]), paper='mtan', skip_bad=True)
    with pytest.raises(ValueError, match='protocol mtan measures segmentation, depth: expected a model that gives one'):
        evaluate(predictor_of(Answers([], []), ('normals',)), samples, paper='mtan')
    with pytest.raises(ValueError, match=r'sample 000: image of 4x2: expected one large enough for 6 x 3 parts'):
        evaluate(predictor, samples, paper='hybridnet')
