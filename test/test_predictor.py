# SPDX-License-Identifier: Apache-2.0
"""The Predictor: working size, focal scale, and what comes back."""

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mtperception.input_policy import resize_image
from mtperception.predictor import Predictor
from mtperception.synthetic import SyntheticRoom
from mtperception.types import Intrinsics


@pytest.fixture(scope='module')
def predictor():
    predictor = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    yield predictor
    predictor.close()


@pytest.fixture
def small(predictor):
    """The same predictor, working at 160x120."""
    kept = predictor.network_size
    predictor.network_size = (160, 120)
    yield predictor
    predictor.network_size, predictor.output_size = kept, 'input'
    predictor.depth_scale, predictor.depth_scale_mode = 1.0, 'focal'


def room(width, height):
    return SyntheticRoom(width, height, 0.8 * width).frame(3.0).image


@pytest.mark.parametrize(
    ('image', 'working'),
    [
        ((640, 480), (160, 120)),
        ((1920, 1080), (160, 90)),
        ((480, 640), (90, 120)),
        ((161, 121), (160, 120)),
        ((160, 120), (160, 120)),
        ((100, 50), (100, 50)),
        ((16000, 2), (160, 1)),
    ],
)
def test_working_size_keeps_the_aspect_and_never_enlarges(small, image, working):
    assert small.working_size(*image) == working


def test_default_working_size_is_the_training_size():
    predictor = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    assert predictor.network_size == (480, 360)


def test_an_image_of_working_size_is_the_graph_itself(small):
    image = room(160, 120)
    prediction, maps = small(image), small.backend.run(image[None])
    assert np.array_equal(prediction.labels, maps['labels'][0])
    assert np.array_equal(prediction.confidence, maps['confidence'][0])
    assert np.array_equal(prediction.depth, maps['depth'][0])
    assert prediction.normals is None


@pytest.mark.parametrize(
    ('columns', 'reduced'),
    [
        ([0, 40, 80], [10, 70]),  # bilinear: the new centres lie at 0.25 and 1.75
        ([0, 10, 20, 30], [5, 25]),  # bilinear: halfway between two
        ([0, 10, 20, 10, 20, 60], [10, 30]),  # the mean over three
    ],
)
def test_no_pixel_is_passed_over_when_an_image_is_reduced(columns, reduced):
    image = np.broadcast_to(np.array(columns, np.uint8)[None, :, None], (4, len(columns), 3)).copy()
    out = resize_image(image, (2, 4))
    assert out.shape == (4, 2, 3)
    assert np.array_equal(out[1, :, 2], reduced)


def test_larger_images_are_reduced_and_maps_enlarged(small):
    image = room(320, 240)
    maps = small.backend.run(cv2.resize(image, (160, 120), interpolation=cv2.INTER_AREA)[None])
    prediction = small(image)
    assert prediction.shape == (240, 320)
    assert np.array_equal(prediction.labels, np.kron(maps['labels'][0], np.ones((2, 2), np.uint8)))
    assert np.array_equal(prediction.confidence, np.kron(maps['confidence'][0], np.ones((2, 2), np.uint8)))
    # Half-pixel centres: output pixels 1 and 2 are a quarter off the centres of input pixels 0 and 1.
    depth = maps['depth'][0]
    row = 0.75 * depth[0] + 0.25 * depth[1]
    assert prediction.depth[1, 1] == pytest.approx(0.75 * row[0] + 0.25 * row[1], rel=1e-4)


def test_output_at_network_size(small):
    small.output_size = 'network'
    assert small(room(320, 240)).shape == (120, 160)


def test_focal_scale_by_hand(small):
    """The model is for 389.145 pixels. This camera has 400 at 320 wide, so 200 at the 160 that the network sees."""
    image = room(320, 240)
    plain = small(image).depth
    camera = Intrinsics(fx=400, fy=400, cx=160, cy=120, width=320, height=240)
    assert small(image, camera).depth == pytest.approx(plain * (200 / 389.145), rel=1e-5)
    small.depth_scale = 2.0
    assert small(image, camera).depth == pytest.approx(plain * (400 / 389.145), rel=1e-5)
    small.depth_scale_mode = 'none'
    assert small(image, camera).depth == pytest.approx(plain * 2, rel=1e-6)


@pytest.mark.parametrize('changes', [{'width': 640, 'height': 480}, {'fx': math.nan}, {'fy': math.inf}])
def test_a_camera_of_other_images_is_refused(small, changes):
    """Depth would be off by the ratio of the sizes, and nothing would show it."""
    camera = Intrinsics(**({'fx': 400.0, 'fy': 400.0, 'cx': 160.0, 'cy': 120.0, 'width': 320, 'height': 240} | changes))
    with pytest.raises(ValueError, match='for an image of 320x240: expected finite numbers for this size'):
        small(room(320, 240), camera)


def test_depth_does_not_depend_on_how_often_it_is_asked(small):
    """Scaling in place must not reach what a backend keeps."""
    image = room(160, 120)
    small.depth_scale = 3.0
    first = small(image).depth
    kept = first.copy()
    assert np.array_equal(small(image).depth, kept)
    assert np.array_equal(first, kept)


@pytest.mark.parametrize(
    'image',
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(small, image):
    with pytest.raises(ValueError, match='expected uint8'):
        small(image)


@pytest.mark.parametrize(
    'options',
    [
        {'output_size': 'half'},
        {'depth_scale_mode': 'auto'},
        {'network_size': (-1, 5)},
        {'network_size': (320, 0)},
        {'depth_scale': -1.0},
    ],
)
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match='expected'):
        Predictor('nyuv2_indoor', **options)


def test_latency_and_preparation(small):
    assert not small.is_prepared(150, 110)
    small.prepare(150, 110)
    assert small.is_prepared(150, 110)
    latency = small(room(150, 110)).latency_ms
    assert latency['inference'] > 0
    assert latency['resize'] >= 0


def test_as_many_sizes_stay_prepared_as_there_are_cameras():
    """Else cameras of five sizes would be prepared for anew with each image, for ever."""
    predictor = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu', network_size=(64, 48), max_batch=5)
    sizes = [(64, 48), (60, 48), (56, 48), (52, 48), (48, 48)]
    for size in sizes:
        predictor.prepare(*size)
    assert all(predictor.is_prepared(*size) for size in sizes)


def test_images_of_a_working_size_are_batched_in_sizes_that_are_prepared():
    predictor = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu', network_size=(64, 48), max_batch=6)
    small, large, wide = (64, 48), (640, 480), (64, 24)
    assert predictor.batches([small] * 3) == [[0], [1], [2]], 'on a CPU a batch is no faster'
    predictor.max_batch = 6
    for batch in (4, 6):
        predictor.prepare(*small, batch)
    assert predictor.batches([small] * 6) == [[0, 1, 2, 3, 4, 5]]
    assert predictor.batches([small, wide, large, small, wide, small, small]) == [[0, 2, 3, 5], [6], [1], [4]]
    assert predictor.batches([]) == []


def test_the_budget_of_memory_is_the_backends():
    assert Predictor('nyuv2_indoor', 'onnxruntime', 'cpu', memory_budget=123).backend.memory_budget == 123
    assert Predictor('nyuv2_indoor', 'onnxruntime', 'cpu').backend.memory_budget > 0


def test_a_batch_equals_its_images_one_by_one(small):
    """One of working size and two that are reduced, from cameras of different focal lengths."""
    sizes = [(160, 120), (320, 240), (641, 481)]
    images = [room(*size) for size in sizes]
    cameras = [None]
    for fx, (width, height) in zip((400, 700), sizes[1:], strict=True):
        cameras.append(Intrinsics(fx=fx, fy=fx, cx=8, cy=8, width=width, height=height))
    for found, image, camera in zip(small.predict(images, cameras), images, cameras, strict=True):
        alone = small(image, camera)
        assert found.shape == image.shape[:2]
        assert (found.labels == alone.labels).mean() > 0.9999
        assert np.allclose(found.depth, alone.depth, rtol=1e-4)
        assert np.abs(found.confidence.astype(int) - alone.confidence).max() <= 1


def test_images_of_different_working_sizes_do_not_make_a_batch(small):
    with pytest.raises(ValueError, match='expected one size'):
        small.predict([room(160, 120), room(100, 50)], [None, None])


def test_enlarged_normals_are_unit_vectors(every_task_model):
    predictor = Predictor(every_task_model, 'onnxruntime', 'cpu', network_size=(60, 40))
    image = np.random.default_rng(0).integers(0, 256, (100, 150, 3), np.uint8)
    assert np.linalg.norm(predictor(image).normals, axis=2) == pytest.approx(1, abs=1e-5)


def test_a_map_that_nobody_reads_is_not_resized(small, monkeypatch):
    """Who asks for depth alone does not pay for labels; what is read twice is resized once."""
    resized = []
    resize = cv2.resize
    prediction = small(room(320, 240))

    def watched(map_, *arguments, **options):
        resized.append(map_.dtype)
        return resize(map_, *arguments, **options)

    monkeypatch.setattr(cv2, 'resize', watched)
    assert prediction.shape == (240, 320)
    assert resized == []
    assert prediction.depth is prediction.depth
    assert resized == [np.float32]
    assert prediction.labels.shape == (240, 320)
    assert resized == [np.float32, np.uint8]


def test_a_prediction_can_be_changed_as_any_other(small):
    prediction = small(room(320, 240))
    changed = replace(prediction, depth=2 * prediction.depth)
    assert np.array_equal(changed.depth, 2 * prediction.depth)
    assert np.array_equal(changed.labels, prediction.labels)
    assert np.array_equal(changed.valid_mask, prediction.valid_mask)
    assert changed.shape == prediction.shape
