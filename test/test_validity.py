# SPDX-License-Identifier: Apache-2.0
"""What of depth is a measurement, and depth and normals under other cameras: a perfect network must stay perfect."""

from dataclasses import replace

import numpy as np
import pytest
from perfect_network import Room, Wall, perfect_predictor, pinhole

from mtperception.geometry import back_project
from mtperception.labels import load_label_space
from mtperception.messages.outputs import outputs_for
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.resized_prediction import ResizedPrediction
from mtperception.teachers.annotations import depth_annotation

SIZE = (160, 120)
"""The size that the training camera of 100 pixels has: no resizing."""


def see(scene, fx, size=SIZE, **options):
    camera = pinhole(fx, *size)
    return perfect_predictor(scene, camera, **options)(np.zeros((size[1], size[0], 3), np.uint8), camera)


@pytest.mark.parametrize(
    ('distance', 'fx', 'valid'),
    [
        (8.0, 100.0, True),
        (8.0, 50.0, False),  # looks like 16 m and is clamped to 10, which would be published as 5
        (4.9, 50.0, True),
        (5.0, 50.0, False),  # the end of the range itself: it cannot be told from what is farther
        (19.0, 200.0, True),  # beyond the card's range, but the graph saw 9.5 m
        (20.5, 200.0, False),
        (0.5, 200.0, False),  # 0.25 m for the graph: clamped to 0.3, which would be published as 0.6
        (0.2, 50.0, True),  # 0.4 m for the graph
    ],
)
def test_a_wall_is_published_at_its_distance_or_not_at_all(distance, fx, valid):
    prediction = see(Wall(distance), fx)
    assert prediction.valid_mask.dtype == bool
    assert (prediction.valid_mask == valid).all()
    assert prediction.measured_depth == pytest.approx(distance if valid else 0, rel=1e-5)
    scale = fx / 100
    assert prediction.depth == pytest.approx(np.clip(distance / scale, 0.3, 10) * scale, rel=1e-5)  # to be scored


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
def test_focal_sweep_over_the_rendered_room(factor):
    """The room is 1 to 6.8 m deep. Half the focal length makes it look twice as deep: a part is out of the range."""
    fx = 100.0 * factor
    prediction = see(Room(), fx, depth_range=(0.4, 7.0))
    truth = Room().maps(pinhole(fx, *SIZE))['depth']
    clamped = (truth / factor > 7.0) | (truth / factor < 0.4)
    assert clamped.any() == (factor == 0.5)
    assert np.array_equal(prediction.valid_mask, ~clamped)
    assert prediction.depth[~clamped] == pytest.approx(truth[~clamped], rel=1e-5)


@pytest.mark.parametrize('precision', ['fp32', 'fp16', 'bf16'])
@pytest.mark.parametrize('depth_range', [(0.3, 10.0), (1.0, 80.0), (0.7, 65.3)])
def test_a_clamp_is_known_in_every_precision(precision, depth_range):
    near, far = depth_range
    for distance, valid in ((near / 2, False), (near * 1.02, True), (far * 0.98, True), (2 * far, False)):
        found = see(Wall(distance), 100.0, depth_range=depth_range, precision=precision)
        assert (found.valid_mask == valid).all(), distance


def test_enlarging_mixes_nothing_invalid_into_a_valid_pixel():
    """A corridor's end beyond the range: between what is measured and what is clamped there is no measurement."""
    size = (333, 250)
    camera = pinhole(100.0 * 333 / 160, *size)
    slanted = Wall(4.0, (-0.7, 0.0, -0.7))
    prediction = see(slanted, camera.fx, size)
    truth = slanted.maps(camera)['depth']
    valid = prediction.valid_mask
    assert 0.2 < valid.mean() < 0.9
    assert not valid[(truth > 10) | (truth < 0)].any()
    # Interpolated from exact depth: what is off is the curvature of the depth between two pixels of the network.
    assert prediction.depth[valid] == pytest.approx(truth[valid], rel=0.01)
    inside = np.pad(truth, 3, mode='edge')
    safe = np.lib.stride_tricks.sliding_window_view(inside, (7, 7)).max(axis=(2, 3)) < 9.9
    assert valid[safe & (truth > 0)].all()


@pytest.mark.parametrize(('size', 'small'), [((848, 480), (640, 362)), ((1241, 376), (640, 194))])
def test_enlarging_mixes_no_little_of_an_invalid_pixel_into_a_valid_one(size, small):
    """Some pixels of these sizes lie so close to one of the network that its neighbours weigh less than a 500th."""
    valid = np.indices(small[::-1]).sum(axis=0) % 2 == 0
    maps = {'depth': np.where(valid, 0.5, 80.0).astype(np.float32), 'valid_mask': valid}
    prediction = ResizedPrediction.to_size(maps, size, {})
    for one in (prediction, prediction.sampled(3)):
        assert one.depth[one.valid_mask] == pytest.approx(0.5, abs=2e-3)
    maps['valid_mask'] = np.ones_like(valid)
    assert ResizedPrediction.to_size(maps, size, {}).valid_mask.all()


def test_what_the_graph_cannot_say_is_not_valid():
    predictor = perfect_predictor(Wall(np.nan), pinhole(100.0, *SIZE))
    assert not predictor(np.zeros((120, 160, 3), np.uint8)).valid_mask.any()


@pytest.mark.parametrize('size', [SIZE, (400, 300)])
def test_classes_without_depth(size):
    """By default the sky where the space has it; others by their name in the model's own space."""
    fx = 100.0 * size[0] / 160
    wall = see(Wall(5.0), fx, size, space='kitti_6')  # class 0 of kitti_6 is sky
    assert load_label_space('kitti_6').names[0] == 'sky'
    assert not wall.valid_mask.any()
    assert wall.depth == pytest.approx(5.0, rel=1e-5)
    assert not wall.measured_depth.any()
    assert see(Wall(5.0), fx, size, space='kitti_6', invalid_depth_classes=('',)).valid_mask.all()
    assert see(Wall(5.0), fx, size, space='kitti_6', invalid_depth_classes=()).valid_mask.all()
    assert see(Wall(5.0), fx, size, space='kitti_6', invalid_depth_classes=('car', 'road')).valid_mask.all()
    assert see(Wall(5.0), fx, size).valid_mask.all()  # nyuv2_40 has no sky: nothing by default


def test_a_classes_edge_is_kept_out_of_its_neighbours():
    """Enlarged depth beside an invalid class is mixed with the depth of that class: it is no measurement either."""
    size = (400, 300)
    camera = pinhole(250.0, *size)
    names = load_label_space('nyuv2_40').names
    found = see(Room(), 250.0, size, invalid_depth_classes=('wall',))
    exact = Room().maps(camera.resized(*SIZE))
    off = exact['labels'] == names.index('wall')
    assert not found.valid_mask[found.labels == names.index('wall')].any()
    assert found.valid_mask.mean() < 1 - off.mean()
    other = np.kron(exact['labels'], np.ones((5, 5), np.uint8))
    assert other.shape == (600, 800)  # the network's pixels, in fifths: 2.5 pixels of the image each
    assert found.valid_mask.mean() > 0.8 * (1 - off.mean())


def test_unknown_classes_are_named_with_those_that_there_are():
    with pytest.raises(ValueError, match=r'invalid_depth_classes: no class water in kitti_6: expected .*vegetation'):
        see(Wall(5.0), 100.0, space='kitti_6', invalid_depth_classes=('sky', 'water'))
    predictor = perfect_predictor(Wall(5.0), pinhole(100.0, *SIZE))
    with pytest.raises(ValueError, match='no class sea'):
        predictor.invalid_depth_classes = ('sea',)
    assert predictor.invalid_depth_classes == ('sky',)


@pytest.mark.parametrize('grouping', ['', 'nyuv2_13'])
def test_topics_and_clouds_leave_out_what_is_no_measurement(grouping):
    """The class is of the model's own space, whichever grouping is published."""
    size, names = (320, 240), load_label_space('nyuv2_40').names
    camera = pinhole(200.0, *size)
    predictor = perfect_predictor(Room(), camera, invalid_depth_classes=('floor',), depth_range=(0.3, 3.5))
    image = np.zeros((240, 320, 3), np.uint8)
    prediction = predictor(image, camera)
    settings = replace(default_settings(), label_space=grouping, invalid_depth_classes=('floor',))
    presentation = Presentation.build(settings, predictor.card, predictor.label_space)
    products = Products(image, prediction, camera, presentation)
    messages = {output.topic: output.make(products).fields for output in outputs_for(('segmentation', 'depth'))}
    depth = np.frombuffer(messages['depth/image']['data'], np.float32).reshape(240, 320)
    valid = prediction.valid_mask
    assert not valid[prediction.labels == names.index('floor')].any()
    assert not valid[prediction.depth > 3.49999].any()
    assert 0.1 < valid.mean() < 0.9
    assert np.array_equal(np.isfinite(depth), valid)
    assert depth[valid] == pytest.approx(prediction.depth[valid])
    cloud = np.frombuffer(messages['points']['data'], np.float32).reshape(60, 80, 6)
    assert np.array_equal(np.isfinite(cloud[..., 2]), valid[::4, ::4])
    expected = back_project(depth, camera)[::4, ::4]
    assert np.allclose(cloud[..., :3], expected, equal_nan=True)
    black = ~np.frombuffer(messages['depth/color']['data'], np.uint8).reshape(240, 320, 3).any(axis=2)
    assert np.array_equal(black, ~valid)


def test_a_teacher_teaches_no_depth_where_it_measures_none():
    class Teacher:
        max_depth = 10.0

    prediction = see(Wall(8.0), 50.0)
    assert not depth_annotation(Teacher).encode(prediction).any()
    assert (depth_annotation(Teacher).encode(see(Wall(8.0), 100.0)) == 8000).all()


def angles(found, exact):
    return np.degrees(np.arccos(np.clip((found * exact).sum(axis=2), -1, 1)))


@pytest.mark.parametrize('size', [SIZE, (320, 240)])
@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('normal', [(0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (-0.3, 0.5, -0.8)])
def test_normals_are_exact_under_every_focal_length(normal, factor, size):
    wall = Wall(3.0, normal)
    fx = 100.0 * factor * size[0] / 160
    found = see(wall, fx, size, depth_scale=1.3).normals  # a known bias of the scale moves points along their rays
    exact = wall.maps(pinhole(fx, *size))['normals']
    assert np.linalg.norm(found, axis=2) == pytest.approx(1, abs=1e-5)
    assert angles(found, exact).max() < 0.1
    unscaled = see(wall, fx, size, depth_scale_mode='none').normals
    if factor == 2 and normal[0] == 0.6:
        assert angles(unscaled, exact).max() == pytest.approx(16.3, abs=0.1)


@pytest.mark.parametrize('size', [(480, 360), (213, 160), (500, 123), (640, 480)])
def test_labels_and_depth_show_the_same_place(size):
    """Depth is a ramp of the column and the label its whole part: no shift of one against the other."""

    class Ramp:
        def maps(self, camera):
            row = np.arange(camera.width, dtype=np.float32) + 100
            ramp = np.broadcast_to(row, (camera.height, camera.width))
            return {'depth': ramp.copy(), 'labels': (ramp - 100).astype(np.uint8)}

    camera = pinhole(100.0, *size)
    predictor = perfect_predictor(Ramp(), camera, depth_range=(0.3, 1000.0))
    seen = camera.resized(*predictor.working_size(*size))
    predictor.backend.trained = seen.fx, seen.fy  # the training camera: a ramp stays as it is
    found = predictor(np.zeros((size[1], size[0], 3), np.uint8))
    offset = found.depth[0] - 100 - found.labels[0]  # a column of the network less the centre of the nearest one
    inner = offset[size[0] // 8 : -size[0] // 8]
    assert abs(inner.mean()) < 0.05
    assert np.abs(inner).max() <= 0.5 + 1e-3
