# SPDX-License-Identifier: Apache-2.0
"""How images are seen: under each policy a perfect network around which the real Predictor stands stays perfect."""

import numpy as np
import pytest
import yaml
from perfect_network import Room, Wall, coordinates, perfect_predictor, pinhole
from rooms import Samples

from mtperception.card import ModelCard, ModelError, open_model
from mtperception.evaluation.evaluate import evaluate
from mtperception.input_policy import InputPolicy, Layout, TrainingCamera, focal_ratios
from mtperception.messages.outputs import outputs_for
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.types import Sample

STRETCH = InputPolicy('stretch', 160, 160)
TILES = InputPolicy('tiles', 100, 80)


@pytest.mark.parametrize(
    ('policy', 'image', 'plane', 'tile', 'count'),
    [
        ('keep_aspect', (640, 480), (160, 120), (160, 120), 1),
        ('keep_aspect', (100, 50), (100, 50), (100, 50), 1),
        ('stretch', (640, 480), (160, 120), (160, 120), 1),
        ('stretch', (100, 50), (160, 120), (160, 120), 1),
        ('tiles', (640, 480), (640, 480), (160, 120), 16),
        ('tiles', (641, 480), (641, 480), (160, 120), 20),
        ('tiles', (100, 50), (100, 50), (160, 120), 1),
    ],
)
def test_what_the_network_sees(policy, image, plane, tile, count):
    layout = InputPolicy(policy, 160, 120).layout(*image)
    assert (layout.plane, layout.tile, layout.count) == (plane, tile, count)


@pytest.mark.parametrize('size', [(100, 80), (101, 80), (200, 160), (333, 250), (60, 200), (60, 50), (1, 1)])
def test_tiles_put_together_are_the_image(size):
    layout = TILES.layout(*size)
    image = coordinates(*size)
    tiles = np.zeros((layout.count, 80, 100, 3), np.uint8)
    layout.write_tiles(image, tiles)
    assert np.array_equal(layout.joined(tiles), image)


def test_where_tiles_overlap_each_gives_what_is_nearer_to_its_centre():
    layout = TILES.layout(140, 80)  # from 0 and 40: both have the columns 40 to 99
    tiles = np.stack([np.full((80, 100), value, np.float32) for value in (1, 2)])
    assert layout.joined(tiles)[0].tolist() == [1] * 70 + [2] * 70


def test_hybridnets_18_tiles():
    assert InputPolicy('tiles', 321, 321).layout(6 * 321, 3 * 321).count == 18


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('size', [(320, 240), (213, 160)])
def test_a_stretched_room_has_its_exact_depth(size, factor):
    """The training camera has 4:3 images, stretched to a square: both focal lengths change, by different factors."""
    training = TrainingCamera(100.0, 160, 120, 100.0)
    camera = pinhole(100.0 * factor * size[0] / 160, *size)
    trained = (100.0, 100.0 * 160 / 120)  # what of the training camera is left after stretching
    predictor = perfect_predictor(
        Room(), camera, training=training, input=STRETCH, trained=trained, depth_range=(0.1, 30.0)
    )
    image = np.zeros((size[1], size[0], 3), np.uint8)
    prediction = predictor(image, camera)
    exact = Room().maps(camera)['depth']
    error = np.abs(prediction.depth / exact - 1)
    assert prediction.depth.shape == exact.shape
    assert np.median(error) < 1e-3
    assert np.quantile(error, 0.9) < 0.02  # the rest lies at edges, between two depths
    predictor.output_size = 'network'
    seen = camera.resized(160, 160)
    assert predictor(image, camera).depth == pytest.approx(Room().maps(seen)['depth'], rel=1e-3)


@pytest.mark.parametrize('aspect', [(320, 240), (320, 160), (160, 240)])
@pytest.mark.parametrize('normal', [(0.0, 0.0, -1.0), (0.6, 0.0, -0.8), (-0.3, 0.5, -0.8)])
def test_stretching_another_aspect_keeps_areas_and_normals(aspect, normal):
    """Images of another shape than the training camera's: x and y ratios differ. What a network then takes for the
    distance is a convention, the mean of both; normals and clouds follow from it exactly."""
    training, trained = TrainingCamera(100.0, 160, 120, 100.0), (100.0, 100.0 * 160 / 120)
    camera, wall = pinhole(150.0, *aspect), Wall(3.0, normal)
    predictor = perfect_predictor(wall, camera, training=training, input=STRETCH, trained=trained)
    prediction = predictor(np.zeros((aspect[1], aspect[0], 3), np.uint8), camera)
    exact = wall.maps(camera)
    middle = np.s_[aspect[1] // 4 : -aspect[1] // 4, aspect[0] // 4 : -aspect[0] // 4]
    assert prediction.depth[middle] == pytest.approx(exact['depth'][middle], rel=1e-3)
    assert np.abs(prediction.normals - exact['normals']).max() < 1e-3


def test_focal_ratios_by_hand():
    camera = pinhole(200.0, 400, 200)  # stretched to 160 x 160: fx 80, fy 160
    layout = STRETCH.layout(400, 200)
    # The training camera's 640 x 480 became 160 x 160 too: fx 500 / 4 = 125, fy 480 / 3 = 160.
    assert focal_ratios(camera, layout, TrainingCamera(500.0, 640, 480, 480.0), STRETCH) == pytest.approx((0.64, 1.0))
    assert focal_ratios(camera, layout, TrainingCamera(500.0, 640, 480), STRETCH) == pytest.approx((0.64, 0.64))
    # Another size than the card's: 80 x 80 has half the focal lengths, the training camera stays.
    half = InputPolicy('stretch', 80, 80).layout(400, 200)
    assert focal_ratios(camera, half, TrainingCamera(500.0, 640, 480, 480.0), STRETCH) == pytest.approx((0.32, 0.5))
    # Reduced with the aspect kept: the card's camera is that of the images before.
    reduced = InputPolicy('keep_aspect', 320, 240)
    camera = pinhole(600.0, 640, 480)
    assert focal_ratios(camera, reduced.layout(640, 480), TrainingCamera(500.0, 640, 480), reduced)[0] == 1.2
    # Not stretched: a training camera whose fy is not known has square pixels. Here 640 x 480 became 320 x 320.
    tall = Layout((640, 480), (320, 320), (320, 320))
    camera = pinhole(600.0, 640, 480)  # fx 300, fy 400; the training camera's 320 x 240 has 250
    assert focal_ratios(camera, tall, TrainingCamera(500.0, 640, 480), reduced) == pytest.approx((1.2, 1.6))


@pytest.mark.parametrize('factor', [0.5, 1.0, 2.0])
@pytest.mark.parametrize('size', [(300, 240), (333, 250), (90, 70)])
def test_a_room_in_tiles_has_its_exact_depth_and_labels(size, factor):
    camera = pinhole(100.0 * factor, *size)
    predictor = perfect_predictor(Room(), camera, input=TILES, depth_range=(0.1, 30.0))
    prediction = predictor(coordinates(*size), camera)
    exact = Room().maps(camera)
    assert prediction.depth == pytest.approx(exact['depth'], rel=1e-5)
    assert np.array_equal(prediction.labels, exact['labels'])
    assert prediction.valid_mask.all()


def test_images_of_several_sizes_share_their_tiles_size():
    camera = pinhole(100.0, 333, 250)
    predictor = perfect_predictor(Room(), camera, input=TILES)
    image = coordinates(333, 250)
    assert predictor.is_prepared(333, 250) is False
    whole, part = predictor.predict([image, image[:90, :120].copy()], [camera, None])
    assert np.array_equal(part.labels, whole.labels[:90, :120])
    assert predictor.is_prepared(1000, 700)  # of the same tiles


@pytest.mark.parametrize(('policy', 'image'), [(STRETCH, None), (TILES, coordinates(320, 240))])
def test_evaluation_and_node_see_what_the_predictor_sees(policy, image):
    size = (320, 240)
    camera, training = pinhole(200.0, *size), TrainingCamera(100.0, 160, 120, 100.0)
    trained = (100.0, 100.0 * 160 / 120) if policy is STRETCH else None
    predictor = perfect_predictor(Room(), camera, training=training, input=policy, trained=trained)
    image = np.zeros((240, 320, 3), np.uint8) if image is None else image
    exact = Room().maps(camera)
    evaluation = evaluate(predictor, Samples([Sample(image, exact['labels'], exact['depth'], camera)]))
    assert evaluation.summary()['abs_rel'] < (0.02 if policy is STRETCH else 1e-5)
    assert evaluation.summary()['pixel_accuracy'] > 0.95
    assert evaluation.protocol['input'].startswith(policy.policy)
    presentation = Presentation.build(default_settings(), predictor.card, predictor.label_space)
    products = Products(image, predictor(image, camera), camera, presentation)
    made = {output.topic: output.make(products).fields for output in outputs_for(('segmentation', 'depth'))}
    assert (made['depth/camera_info']['width'], made['depth/camera_info']['k'][0]) == (320, 200.0)
    depth = np.frombuffer(made['depth/image']['data'], np.float32)
    assert np.median(np.abs(depth / exact['depth'].ravel() - 1)) < 1e-3


def test_the_cloud_of_a_stretched_image_is_the_wall():
    """At the network's size pixels are not square: camera_info and points have both focal lengths."""
    size, wall = (320, 240), Wall(3.0, (-0.3, 0.5, -0.8))
    camera, training = pinhole(200.0, *size), TrainingCamera(100.0, 160, 120, 100.0)
    options = {'training': training, 'input': STRETCH, 'trained': (100.0, 100.0 * 160 / 120)}
    predictor = perfect_predictor(wall, camera, output_size='network', **options)
    image = np.zeros((240, 320, 3), np.uint8)
    presentation = Presentation.build(default_settings(), predictor.card, predictor.label_space)
    products = Products(image, predictor(image, camera), camera, presentation)
    made = {output.topic: output.make(products).fields for output in outputs_for(predictor.card.tasks)}
    assert made['depth/camera_info']['k'][[0, 4]].tolist() == pytest.approx([100.0, 400 / 3])
    cloud = np.frombuffer(made['points']['data'], np.float32).reshape(40, 40, 6)[..., :3]
    normals = np.frombuffer(made['normals/image']['data'], np.float32).reshape(160, 160, 3)
    measured = np.isfinite(cloud[..., 2])
    assert measured.mean() > 0.95  # a corner is beyond the range
    assert cloud[measured] @ np.array(wall.normal) == pytest.approx(-3.0 * np.linalg.norm(wall.normal), rel=1e-4)
    assert normals @ np.array(wall.normal) == pytest.approx(np.linalg.norm(wall.normal), rel=1e-4)


def test_a_card_names_its_policy(tmp_path):
    card = perfect_predictor(Room(), pinhole(1.0, 1, 1), input=TILES).card
    card.write(tmp_path / 'card.yaml')
    assert ModelCard.read(tmp_path / 'card.yaml') == card
    assert yaml.safe_load((tmp_path / 'card.yaml').read_text())['input'] == {
        'policy': 'tiles',
        'width': 100,
        'height': 80,
    }


def test_a_card_without_a_policy_keeps_the_aspect_at_the_cameras_size():
    assert open_model('nyuv2_indoor').card.input == InputPolicy('keep_aspect', 480, 360)


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        ({'policy': 'crop'}, "input policy 'crop': expected one of keep_aspect, stretch, tiles"),
        ({'width': 0}, 'input width 0: expected'),
        ({'height': 80.5}, 'input height 80.5: expected'),
        ({'height': True}, 'input height True: expected'),
        ({'depth': 1}, 'depth'),
    ],
)
def test_a_card_with_an_impossible_policy_is_refused(tmp_path, change, problem):
    card = perfect_predictor(Room(), pinhole(1.0, 1, 1), input=TILES).card
    card.write(tmp_path / 'card.yaml')
    content = yaml.safe_load((tmp_path / 'card.yaml').read_text())
    content['input'] |= change
    (tmp_path / 'card.yaml').write_text(yaml.safe_dump(content))
    with pytest.raises(ModelError, match=problem):
        ModelCard.read(tmp_path / 'card.yaml')
