# SPDX-License-Identifier: Apache-2.0
"""Random views: image and maps stay together, and depth and normals stay those of one camera."""

import dataclasses

import numpy as np
import pytest
import torch
from perfect_network import Wall, pinhole

from mtperception.data.transforms import Example, ViewConfig, collate, random_view
from mtperception.geometry import normals_from_depth
from mtperception.input_policy import InputPolicy, TrainingCamera, resize_nearest
from mtperception.types import Intrinsics, Sample

TASKS = ('segmentation', 'depth', 'normals')
AS_IT_IS = {'brightness': 0.0, 'contrast': 0.0, 'saturation': 0.0, 'white_balance': 0.0}
"""Light is left alone."""
KEEP_ASPECT = InputPolicy('keep_aspect', 96, 72)


def camera(fx, width, height):
    return Intrinsics(fx, fx, (width - 1) / 2, (height - 1) / 2, width, height)


def coordinates(width=96, height=72, intrinsics=None):
    """A sample that says everywhere where it is: red and the label are the column, green the row, depth both."""
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([columns, rows, np.zeros_like(rows)], axis=2).astype(np.uint8)
    depth = (1 + 0.01 * (rows * width + columns)).astype(np.float32)
    return Sample(image, columns.astype(np.uint8), depth, intrinsics)


def view(sample, seed=0, tasks=TASKS, training_fx=100.0, policy=KEEP_ASPECT, training_fy=None, **config):
    config = ViewConfig(**({'scale': [1.0, 1.0], 'crop': [48, 64]} | AS_IT_IS | config))
    trained = TrainingCamera(training_fx, policy.width, policy.height, training_fy)
    return random_view(sample, tasks, config, trained, policy, np.random.default_rng(seed))


@pytest.mark.parametrize('scale', [0.8, 1.0, 1.3])
@pytest.mark.parametrize('seed', range(4))
def test_image_labels_and_depth_show_the_same_place(scale, seed):
    example = view(coordinates(), seed, scale=[scale, scale])
    assert [tuple(x.shape) for x in (example.image, *example.targets.values())] == [(3, 48, 64), (48, 64), (48, 64)]
    assert [x.dtype for x in (example.image, *example.targets.values())] == [torch.uint8, torch.uint8, torch.float32]
    where = ((example.targets['depth'].double() * scale - 1) * 100).round().long()
    rows, columns = where // 96, where % 96
    assert torch.equal(columns, example.targets['segmentation'].long())
    # The image is interpolated, the maps take the nearest pixel, at most half of one away; colours are rounded. At
    # the rim interpolation has only one side.
    inner = (columns > 1) & (columns < 94) & (rows > 1) & (rows < 70)
    assert ((example.image[0].double() - columns).abs()[inner] <= 1).all()
    assert ((example.image[1].double() - rows).abs()[inner] <= 1).all()


def test_crops_lie_anywhere_and_half_of_the_views_are_mirrored():
    firsts = [view(coordinates(), seed).targets['segmentation'][0] for seed in range(200)]
    mirrored = [bool(first[0] > first[-1]) for first in firsts]
    assert 70 < sum(mirrored) < 130
    # 96 - 64 = 32: the leftmost column is any of 0 to 32, either end included.
    assert {int(first.min()) for first in firsts} == set(range(33))
    never = [view(coordinates(), seed, mirror=False).targets['segmentation'][0] for seed in range(20)]
    assert all(first[0] < first[-1] for first in never)


def test_crops_on_a_class_show_rare_ones():
    """One pixel in 6912: few crops of a quarter of the image show it; placed on a class, half of them and more do."""
    sample = coordinates()
    labels = np.zeros_like(sample.labels)
    labels[7, 80] = 3
    sample = dataclasses.replace(sample, labels=labels)

    def share(balance):
        options = {'scale': [1.0, 1.0], 'crop': [36, 48], 'class_balance': balance}
        views = [view(sample, seed, **options).targets['segmentation'] for seed in range(100)]
        return np.mean([bool((labels == 3).any()) for labels in views])

    assert share(0.0) < 0.35
    assert share(1.0) > 0.5


@pytest.mark.parametrize('scale', [0.5, 1.0, 1.9])
def test_a_crop_on_a_class_shows_it_at_every_scale(scale):
    sample = coordinates()
    labels = np.full_like(sample.labels, 255)
    labels[-4:, :4] = 7
    sample = dataclasses.replace(sample, labels=labels)
    for seed in range(20):
        seen = view(sample, seed, scale=[scale, scale], crop=[32, 40], class_balance=1.0).targets['segmentation']
        assert (seen == 7).any()


def test_a_crop_of_an_image_without_any_label_is_placed_anywhere():
    sample = coordinates()
    unknown = dataclasses.replace(sample, labels=np.full_like(sample.labels, 255))
    assert (view(unknown, class_balance=1.0).targets['segmentation'] == 255).all()


def test_scales_are_drawn_over_the_whole_range():
    # A plain wall at 6 m: its depth in the view tells the scale.
    wall = Sample(np.zeros((72, 96, 3), np.uint8), depth=np.full((72, 96), 6.0, np.float32))
    scales = [6 / float(view(wall, seed, scale=[0.75, 3.0]).targets['depth'][0, 0]) for seed in range(200)]
    assert 0.75 <= min(scales) < 0.8
    assert 2.8 < max(scales) <= 3.0
    # Log-uniform: half of them below sqrt(0.75 * 3) = 1.5.
    assert 70 < sum(scale < 1.5 for scale in scales) < 130


@pytest.mark.parametrize(
    ('fx', 'scale', 'expected'),
    [
        (None, 1.5, 2.0),  # 3 m / 1.5
        (100.0, 1.5, 2.0),  # the training camera itself
        (50.0, 1.5, 4.0),  # half its focal length: 3 / (1.5 / 2)
        (400.0, 1.0, 0.75),  # four times: 3 / 4
    ],
)
def test_depth_is_that_of_the_training_camera(fx, scale, expected):
    wall = Sample(np.zeros((72, 96, 3), np.uint8), depth=np.full((72, 96), 3.0, np.float32))
    if fx:
        wall = Sample(wall.image, depth=wall.depth, intrinsics=camera(fx, 96, 72))
    assert view(wall, scale=[scale, scale]).targets['depth'].unique().tolist() == pytest.approx([expected])


@pytest.mark.parametrize('scale', [1.0, 1.5])
@pytest.mark.parametrize('normal', [(0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (-0.3, 0.5, -0.8)])
def test_stretched_views_are_what_predictions_undo(normal, scale):
    """The learnt targets of a stretched image, taken for a network's answer, give back the exact depth and normals."""
    wall, seen = Wall(3.0, normal), pinhole(90.0, 192, 108)
    exact = wall.maps(seen)
    policy = InputPolicy('stretch', 96, 96)
    image = np.zeros((108, 192, 3), np.uint8)
    sample = Sample(image, exact['labels'], exact['depth'].astype(np.float32), seen)
    crop = {'crop': [96, 96], 'scale': [scale, scale], 'mirror': False, 'normals_window': 3}
    targets = view(sample, policy=policy, training_fx=60.0, training_fy=70.0, **crop).targets
    # x: 90 pixels, half of that stretched; y: 90 * 96 / 108 = 80.
    x, y = 45 * scale / 60, 80 * scale / 70
    if normal == (0.0, 0.0, -1.0):
        assert targets['depth'].unique().tolist() == pytest.approx([3 / np.sqrt(x * y)])
    undone = targets['normals'].permute(1, 2, 0).double().numpy() * [x, y, 1]
    undone /= np.linalg.norm(undone, axis=2, keepdims=True)
    assert np.abs(undone - exact['normals'][0, 0]).max() < 1e-3


def test_a_view_that_the_image_does_not_fill_has_no_truth_around_it():
    """At half its size the image has 36 x 48 pixels of a view of 48 x 64; it lies anywhere in there."""
    sample = coordinates(intrinsics=camera(100.0, 96, 72))
    places = set()
    for seed in range(40):
        example = view(sample, seed, scale=[0.5, 0.5])
        inside = example.targets['depth'] > 0
        assert (example.image.shape, int(inside.sum())) == ((3, 48, 64), 36 * 48)
        assert torch.equal(inside, example.targets['segmentation'] != 255)
        assert (example.targets['normals'][:, ~inside] == 0).all()
        assert example.image[:, ~inside].unique(dim=1).tolist() == [[124], [116], [104]]
        places.add(tuple(inside.nonzero()[0].tolist()))
    assert {row for row, _ in places} <= set(range(13))
    assert {column for _, column in places} <= set(range(17))
    assert len(places) > 20


def test_a_scale_of_1_is_the_size_at_which_the_model_sees_the_image():
    """Images that it reduces are seen reduced, whatever size they have; smaller ones as they are."""
    wall = Sample(np.zeros((288, 384, 3), np.uint8), depth=np.full((288, 384), 3.0, np.float32))
    for fx, size, expected in ((400.0, 384, 3.0), (200.0, 192, 3.0), (50.0, 48, 6.0)):
        seen = dataclasses.replace(
            wall,
            image=wall.image[: size * 3 // 4, :size],
            depth=wall.depth[: size * 3 // 4, :size],
            intrinsics=camera(fx, size, size * 3 // 4),
        )
        depth = view(seen, scale=[1.0, 1.0], crop=[36, 48]).targets['depth']
        assert depth.unique().tolist() == pytest.approx([expected])


def test_what_is_unknown_stays_unknown():
    sample = coordinates(intrinsics=camera(80.0, 96, 72))
    sample.labels[:, 20:50] = 255
    sample.depth[:, 20:50] = 0
    for seed in range(3):
        targets = view(sample, seed, scale=[0.7, 1.4]).targets
        unknown = targets['segmentation'] == 255
        assert unknown.any()
        assert torch.equal(unknown, targets['depth'] == 0)
        assert (targets['depth'][~unknown] > 0.5).all()  # nothing is mixed with the unknown
        assert (targets['normals'][:, unknown] == 0).all()


@pytest.mark.parametrize('mirror', [False, True])
@pytest.mark.parametrize(('scale', 'training_fx'), [(1.0, 120.0), (0.5, 70.0), (0.5, 45.0)])
def test_normals_are_those_of_the_view_itself(mirror, scale, training_fx):
    """What the training camera would measure: normals of the view's depth, with that camera moved to the crop."""
    width, height, fx = 192, 144, 90.0
    intrinsics = camera(fx, width, height)
    rows, columns = np.mgrid[:height, :width]
    # The plane 0.2 x - 0.1 y + 0.3 z = 1.
    rays = (columns - intrinsics.cx) / fx, (rows - intrinsics.cy) / fx
    depth = (1 / (0.2 * rays[0] - 0.1 * rays[1] + 0.3)).astype(np.float32)
    assert (depth > 0).all()

    def see(labels, seed):
        sample = Sample(np.zeros((height, width, 3), np.uint8), labels.astype(np.uint8), depth, intrinsics)
        policy = InputPolicy('keep_aspect', width, height)
        return view(sample, seed, training_fx=training_fx, policy=policy, scale=[scale, scale]).targets

    def is_mirrored(seed):
        first = see(columns, seed)['segmentation'][0]
        return bool(first[0] > first[-1])

    seed = next(seed for seed in range(50) if is_mirrored(seed) == mirror)
    targets = see(columns, seed)
    # Where the view's first pixel was in the image gives its principal point; rays are compared, so that fx may differ.
    first_column, first_row = int(targets['segmentation'][0, 0]), int(see(rows, seed)['segmentation'][0, 0])
    cx = (first_column - intrinsics.cx) * scale * (1 if mirror else -1)
    cy = (intrinsics.cy - first_row) * scale
    seen_by = Intrinsics(training_fx, training_fx, cx, cy, 64, 48)
    expected = normals_from_depth(targets['depth'].numpy(), seen_by)
    cosine = (targets['normals'].permute(1, 2, 0).numpy() * expected).sum(axis=2)
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.1
    # By hand: points go from (x, y, z) to (+-x, y, z / zoom), normals with the inverse; they point to the camera.
    zoom = fx * scale / training_fx
    by_hand = -np.array([-0.2 if mirror else 0.2, -0.1, 0.3 * zoom])
    by_hand /= np.linalg.norm(by_hand)
    assert targets['normals'].permute(1, 2, 0).numpy() == pytest.approx(np.broadcast_to(by_hand, (48, 64, 3)), abs=1e-3)


def test_the_generator_decides_alone():
    light = {'brightness': 0.3, 'contrast': 0.2, 'saturation': 0.3, 'white_balance': 0.1, 'scale': [0.7, 1.4]}
    sample = coordinates(intrinsics=camera(80.0, 96, 72))
    first, again, other = (view(sample, seed, **light) for seed in (1, 1, 2))
    assert torch.equal(first.image, again.image)
    assert all(torch.equal(first.targets[task], again.targets[task]) for task in TASKS)
    assert not torch.equal(first.image, other.image)


def test_light_changes_the_image_alone_and_within_its_bounds():
    gray = Sample(np.full((72, 96, 3), 100, np.uint8), np.full((72, 96), 7, np.uint8))
    seen = [view(gray, seed, brightness=0.2, white_balance=0.1) for seed in range(100)]
    values = torch.stack([example.image[:, 0, 0] for example in seen]).double()
    # 100 x (1 -+ 0.2) x (1 -+ 0.1).
    assert 72 <= values.min() < 82
    assert 122 < values.max() <= 132
    assert (values[:, 0] != values[:, 1]).any()  # white balance: channels by themselves
    assert all((example.targets['segmentation'] == 7).all() for example in seen)
    bright = Sample(np.full((72, 96, 3), 250, np.uint8))
    assert max(int(view(bright, seed, brightness=0.5).image.max()) for seed in range(10)) == 255  # no overflow


def test_the_sample_is_left_as_it_was():
    sample = coordinates(intrinsics=camera(80.0, 96, 72))
    before = [x.copy() for x in (sample.image, sample.labels, sample.depth)]
    view(sample, scale=[1.0, 1.0], brightness=0.5)
    assert all(np.array_equal(*pair) for pair in zip(before, (sample.image, sample.labels, sample.depth), strict=True))


def test_only_annotations_that_are_wanted_and_there():
    sample = coordinates()
    assert set(view(sample, tasks=('depth',)).targets) == {'depth'}
    assert set(view(sample).targets) == {'segmentation', 'depth'}  # without a camera no normals
    assert set(view(Sample(sample.image)).targets) == set()


def test_a_batch_is_invalid_where_an_image_lacks_an_annotation():
    complete, depth_only = coordinates(intrinsics=camera(80.0, 96, 72)), coordinates(60, 80)
    examples = [view(complete), view(depth_only, tasks=('depth',)), view(Sample(complete.image))]
    images, targets, annotated = collate(examples, TASKS)
    assert annotated == {'segmentation': 1, 'depth': 2, 'normals': 1}
    assert images.shape == (3, 3, 48, 64)
    assert {task: tuple(x.shape) for task, x in targets.items()} == {
        'segmentation': (3, 48, 64),
        'depth': (3, 48, 64),
        'normals': (3, 3, 48, 64),
    }
    assert torch.equal(targets['depth'][1], examples[1].targets['depth'])
    assert (targets['segmentation'][1:] == 255).all()
    assert (targets['depth'][2] == 0).all()
    assert (targets['normals'][1:] == 0).all()
    assert targets['segmentation'].dtype == torch.uint8


@pytest.mark.parametrize('targets', [{}, {'depth': torch.zeros(4, 5)}])
def test_a_batch_without_any_annotation_of_a_task(targets):
    """None, or one of no pixel: nothing can be learnt of either."""
    example = Example(torch.zeros(3, 4, 5, dtype=torch.uint8), targets)
    _, targets, annotated = collate([example, example], ('depth',))
    assert annotated == {'depth': 0}
    assert targets['depth'].shape == (2, 4, 5)


def test_views_of_a_turned_camera():
    """A wall straight ahead is no longer at one depth; the least pitch and roll change less than the largest."""
    sample = coordinates(intrinsics=camera(100.0, 96, 72))
    wall = dataclasses.replace(sample, depth=np.full_like(sample.depth, 3.0))
    depths = [view(wall, seed, pitch=20.0, roll=5.0).targets['depth'] for seed in range(20)]
    spreads = [float(depth[depth > 0].max() - depth[depth > 0].min()) for depth in depths]
    assert 0 < min(spreads) < 0.2
    assert 0.25 < max(spreads) < 0.6
    # Without intrinsics the camera is the training camera; a larger image of it is reduced before the network sees it.
    unknown = dataclasses.replace(wall, intrinsics=None)
    assert torch.equal(view(unknown, 3, pitch=20.0, roll=5.0).targets['depth'], depths[3])
    large = Sample(np.zeros((144, 192, 3), np.uint8), depth=np.full((144, 192), 3.0, np.float32))
    known = dataclasses.replace(large, intrinsics=camera(200.0, 192, 144))
    seen = [view(sample, 3, pitch=20.0, roll=5.0).targets['depth'] for sample in (large, known)]
    assert torch.equal(*seen)


def test_maps_are_reduced_as_an_evaluation_reduces_them():
    """From 8 to 1 the pixel in the middle is taken, whatever the version of torchvision."""
    large = coordinates(256, 192)
    example = view(large, policy=InputPolicy('keep_aspect', 32, 24), crop=[24, 32], mirror=False)
    np.testing.assert_array_equal(example.targets['segmentation'].numpy(), resize_nearest(large.labels, (32, 24)))
