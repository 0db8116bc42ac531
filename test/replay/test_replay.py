# SPDX-License-Identifier: Apache-2.0
"""A real model on recordings of the synthetic room, and on the kitchen where it is there."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from recordings import (
    DEPTH,
    DEPTH_INFO,
    IMAGE,
    INFO,
    LABELS,
    depth_32f,
    image,
    info,
    kitchen_messages,
    odometry,
    room_messages,
    transforms,
    translation,
    write_recording,
)

from mtperception.card import open_model
from mtperception.errors import SourceError
from mtperception.evaluation.metrics import DepthMetrics, SegmentationMetrics
from mtperception.labels import load_label_space
from mtperception.predictor import Predictor
from mtperception.recording.recording import Recording
from mtperception.recording.recording_options import RecordingOptions
from mtperception.recording.topics import TopicRequest
from mtperception.replay.replay import ScoredPart, conclude, new_scorer, replay, score
from mtperception.replay.result import scale_metrics
from mtperception.replay.scorer import Scorer
from mtperception.scale.shard import Shard
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Prediction

KITCHEN = Path(__file__).resolve().parents[3] / 'shared' / 'data' / 'sevenscenes_kitchen'
COUNT = 4
LABELLED = RecordingOptions(TopicRequest(labels=LABELS))


@pytest.fixture(scope='module')
def predictor():
    with_network = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    yield with_network
    with_network.close()


@pytest.fixture(scope='module')
def walk(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp('bags') / 'walk', room_messages(COUNT))


@pytest.fixture(scope='module')
def result(predictor, walk):
    with Recording(walk, LABELLED) as recording:
        return replay(predictor, recording)


def test_the_numbers_are_those_of_the_model_on_the_scene(predictor, result):
    """The same images and truth without a bag between: depth in whole millimetres is all that is lost.

    Of 27,648 pixels, two may lie that near to a threshold of delta.
    """
    room, depth, labels = SyntheticRoom(96, 72), DepthMetrics(), SegmentationMetrics(40)
    for index in range(COUNT):
        sample = room.frame(0.1 * index)
        prediction = predictor(sample.image, sample.intrinsics)
        depth.update(prediction.depth, sample.depth)
        labels.update(prediction.labels, sample.labels)
    summary = result.summary()
    assert {name: summary[name] for name in labels.compute()} == pytest.approx(labels.compute())
    assert {name: summary[name] for name in depth.compute()} == pytest.approx(depth.compute(), rel=1e-3, abs=7.5e-5)
    assert len(result.frames) == COUNT


def test_what_the_model_cannot_tell_of_small_images_is_said(predictor, result):
    """Images are not enlarged: at 96 of 480 columns everything is taken to be five times as near."""
    room = SyntheticRoom(96, 72)
    factor = room.intrinsics.fx / predictor.card.camera.fx
    farthest = factor * predictor.card.depth_range[1]
    assert predictor(room.frame(0.0).image, room.intrinsics).depth.max() <= farthest * 1.001
    beyond = np.mean([room.frame(0.1 * index).depth > farthest for index in range(COUNT)])
    (note,) = result.notes
    assert note.startswith(f'depth: {beyond:.0%} of the measured pixels are farther than the model can tell')


def test_alignment_takes_error_away(result):
    rmse = {name: metrics['rmse'] for name, metrics in result.depth.compute().items()}
    assert rmse['scale_shift'] < rmse['median'] < rmse['raw']


def test_the_parts_add_up(result):
    everything = result.depth.pixels
    assert everything == COUNT * 96 * 72  # the room has depth everywhere
    assert sum(band.pixels for band in result.by_band.values()) == everything
    assert sum(group.pixels for group in result.by_class.values()) == everything


def test_each_frame_has_its_figures(result):
    assert len(result.series) == COUNT
    assert result.series[1]['stamp_ns'] == 10**12 + 10**8
    for name in ('rmse', 'rmse_median', 'delta1_scale_shift', 'scale', 'miou'):
        assert np.isfinite(result.column(name)).all(), name
    for name in ('label_flicker', 'depth_flicker_compensated', 'visible'):
        assert np.isnan(result.column(name)[0]), name  # nothing came before
        assert np.isfinite(result.column(name)[1:]).all(), name
    assert result.summary()['rmse_per_image'] == pytest.approx(result.column('rmse').mean())


def test_the_protocol_says_how_it_was_measured(result, walk):
    protocol = result.protocol
    assert protocol['bag'] == str(walk)
    assert protocol[f'pairs_{DEPTH}'] == f'{COUNT} of {COUNT} images, of {COUNT} there'
    assert protocol['camera_motion'] == 'odometry of camera'
    assert protocol['image_sizes'] == ['96x72']
    assert f'for {COUNT} of {COUNT} images' in protocol['focal_scale']
    assert protocol['backend'] == 'onnxruntime on cpu, fp32'


def test_the_worst_frames_are_kept_for_their_pictures(result):
    assert [shown.value for shown in result.worst['rmse']] == sorted(result.column('rmse'), reverse=True)
    assert [shown.value for shown in result.worst['miou']] == sorted(result.column('miou'))


def broken_image(stamp_ns):
    message = image(np.zeros((72, 96, 3), np.uint8), stamp_ns)
    message.step = 1
    return message


def long_walk():
    """Images of which some are refused, depth and labels of which some are missing, a camera_info that is none."""
    for number, (topic, message) in enumerate(room_messages(9)):
        index = number // 5
        if topic == IMAGE and index in (2, 3, 6):
            yield topic, broken_image(10**12 + index * 10**8)
        elif topic == INFO and index in (4, 8):
            yield topic, info(replace(SyntheticRoom(96, 72).intrinsics, fx=0.0), 10**12 + index * 10**8)
        elif (topic, index) not in ((DEPTH, 1), (LABELS, 7)):
            yield topic, message


@pytest.mark.parametrize('count', [2, 4, 9, 12])
def test_parts_merge_to_the_whole_bit_by_bit(predictor, tmp_path, count):
    """Each knows the frame before its own, also where the one right before is refused."""
    path = write_recording(tmp_path / 'bag', long_walk())
    with Recording(path, LABELLED) as recording:
        whole = replay(predictor, recording)
        total = None
        for number in range(1, count + 1):
            part = score(predictor, recording, Shard(number, count).positions(recording.count))
            state = json.loads(json.dumps(part.state()))
            read = ScoredPart.restored(state, new_scorer(open_model('nyuv2_indoor'), recording))
            if total is None:
                total = read
            else:
                total.merge(read)
    merged = conclude(total)
    assert len(whole.frames) == 6
    assert [note.split(' refused')[0] for note in whole.notes[:2]] == ['images: 3', 'camera info: 2']
    (said,) = whole.notes[2:]
    assert 'farther than the model can tell' in said
    for name in ('frames', 'series', 'tasks', 'iou', 'worst', 'protocol', 'notes', 'hardware'):
        assert repr(getattr(merged, name)) == repr(getattr(whole, name)), name
    assert repr(merged.summary()) == repr(whole.summary())
    for name in ('by_band', 'by_class'):
        found, expected = ({key: x.compute() for key, x in getattr(y, name).items()} for y in (merged, whole))
        assert repr(found) == repr(expected)
    np.testing.assert_array_equal(merged.depth_profile.rmse, whole.depth_profile.rmse)
    assert set(merged.seconds) == set(whole.seconds)


def test_without_a_sensor_there_is_flicker(predictor, tmp_path):
    room = SyntheticRoom(96, 72)
    messages = [(IMAGE, image(room.frame(0.1 * index).image, 10**9 + index)) for index in range(3)]
    with Recording(write_recording(tmp_path / 'bag', messages)) as recording:
        result = replay(predictor, recording)
    assert set(result.summary()) == {'label_flicker', 'depth_flicker'}
    assert (result.depth, result.by_band, result.by_class, result.depth_profile) == (None, {}, {}, None)
    assert list(result.worst) == ['label_flicker']
    assert result.protocol['camera_motion'] == 'not known: no poses in the bag'


def test_labels_of_a_coarser_space(predictor, tmp_path):
    space = load_label_space('nyuv2_40')
    grouped = space.grouping('nyuv2_13')[SyntheticRoom(96, 72).frame(0.0).labels]
    messages = [(t, m) for t, m in room_messages(1) if t != LABELS]
    messages.append((LABELS, image(np.where(grouped == 255, 0, grouped + 1).astype(np.uint8), 10**12, 'mono8')))
    with Recording(write_recording(tmp_path / 'bag', messages), LABELLED) as recording:
        result = replay(predictor, recording, truth_space=load_label_space('nyuv2_13'))
    assert len(result.iou) == 13


def test_labels_of_a_finer_space(tmp_path):
    messages = [(t, m) for t, m in room_messages(1) if t != LABELS]
    fine = SyntheticRoom(96, 72).frame(0.0).labels % 19
    messages.append((LABELS, image((fine + 1).astype(np.uint8), 10**12, 'mono8')))
    bag = write_recording(tmp_path / 'bag', messages)
    street = Predictor('street', 'onnxruntime', 'cpu')
    with Recording(bag, LABELLED) as recording:
        result = replay(street, recording, truth_space=load_label_space('cityscapes_19'))
    truth = load_label_space('cityscapes_19').grouping('kitti_6')[fine]
    (frame,) = Recording(bag).frames()
    predicted = street(frame.image, frame.intrinsics).labels
    known = truth != 255
    assert result.summary()['pixel_accuracy'] == pytest.approx((predicted == truth)[known].mean())
    assert len(result.iou) == 6


def test_a_class_too_many_names_the_image(predictor, tmp_path):
    messages = [(t, m) for t, m in room_messages(1) if t != LABELS]
    messages.append((LABELS, image(np.full((72, 96), 99, np.uint8), 10**12, 'mono8')))
    path = write_recording(tmp_path / 'bag', messages)
    error = pytest.raises(
        ValueError, match=f'image 0 of {IMAGE}: recorded labels .* nyuv2_40: class 98 .*: expected another label offset'
    )
    with Recording(path, LABELLED) as recording, error:
        replay(predictor, recording)


def test_a_depth_camera_beside_the_colour_camera_is_registered(predictor, tmp_path):
    """The same scene seen from 5 cm to the right by a camera of its own; the room's exact depth from the colour
    camera's place is what registration must give, but at edges and where only one of them looks."""
    color, depth = SyntheticRoom(96, 72), SyntheticRoom(80, 60, fx=60.0)
    T_color_depth = translation(x=0.05)
    sample, seen = color.frame(3.0), depth.render(pose(3.0) @ T_color_depth)
    messages = [
        ('/tf_static', transforms(('camera', 'depth_optical', T_color_depth, 0))),
        (INFO, info(color.intrinsics)),
        (DEPTH_INFO, info(depth.intrinsics, frame='depth_optical')),
        (IMAGE, image(sample.image, 10**9)),
        (DEPTH, depth_32f(seen.depth, 10**9, 'depth_optical')),
    ]
    with Recording(write_recording(tmp_path / 'bag', messages)) as recording:
        (frame,) = recording.frames()
    got = frame.depth
    assert np.mean(got > 0) > 0.9
    error = np.abs(got - sample.depth)[got > 0] / sample.depth[got > 0]
    assert np.median(error) < 0.005
    assert np.mean(error < 0.05) > 0.95


def test_exact_predictions_score_perfectly_and_hardly_flicker(predictor, walk):
    """The scorer alone: the truth itself, at half its scale, as a model would give it."""
    scorer = Scorer(predictor, predictor.label_space)
    with Recording(walk, LABELLED) as recording:
        for frame in recording.frames():
            sure = np.full_like(frame.labels, 255)
            scorer.add(frame, Prediction(frame.labels, sure, frame.depth / 2, depth_confidence=sure))
    result = scorer.result({'reading': 1.0}, {}, [], 'a processor')
    summary = result.summary()
    assert summary['miou'] == summary['pixel_accuracy'] == 1
    assert summary['scale'] == pytest.approx(2)
    assert summary['scale_std'] == pytest.approx(0, abs=1e-6)
    assert result.depth.compute()['median']['rmse'] == pytest.approx(0, abs=1e-5)
    assert result.depth.compute()['raw']['delta1'] == 0
    assert summary['label_flicker_compensated'] < summary['label_flicker']


def test_the_same_image_again_does_not_flicker(predictor, tmp_path):
    sample = SyntheticRoom(96, 72).frame(1.0)
    messages = []
    for index in range(3):
        messages += [(INFO, info(sample.intrinsics)), (IMAGE, image(sample.image, 10**9 + index))]
        messages.append(('/odom', odometry(pose(1.0), 10**9 + index, child='camera')))
    with Recording(write_recording(tmp_path / 'bag', messages)) as recording:
        summary = replay(predictor, recording).summary()
    assert set(summary) == {f'{x}_flicker{y}' for x in ('label', 'depth') for y in ('', '_compensated')}
    assert all(value == pytest.approx(0, abs=1e-4) for value in summary.values())


def test_scale_and_its_jitter():
    """Scales 1, 2, 4 with a frame without truth between: deviation from the mean 7/3 is sqrt(14) / 3, changes 1, 2."""
    metrics = scale_metrics(np.array([1, np.nan, 2, 4]))
    assert metrics == pytest.approx({'scale': 2, 'scale_std': np.sqrt(14) / 3, 'scale_change': 1.5})
    assert np.isnan(scale_metrics(np.array([1.5]))['scale_change'])


def test_no_usable_image_is_an_error_that_says_why(predictor, tmp_path):
    broken = image(np.zeros((2, 2, 3), np.uint8), 1)
    broken.step = 1
    good = image(np.zeros((2, 2, 3), np.uint8), 1)
    path = write_recording(tmp_path / 'bag', [('/good', good), ('/broken', broken)])
    error = pytest.raises(SourceError, match='no usable image: images: 1 refused, the first: found step 1')
    with Recording(path, RecordingOptions(TopicRequest(image='/broken'))) as recording, error:
        replay(predictor, recording)


@pytest.mark.skipif(not KITCHEN.is_dir(), reason='needs data/sevenscenes_kitchen')
def test_a_real_recording(predictor, tmp_path):
    """Three frames of a real kitchen, 0.27 s apart: indoor depth by a model for indoors, and motion taken out."""
    path = write_recording(tmp_path / 'kitchen', kitchen_messages(KITCHEN, 3))
    with Recording(path) as recording:
        result = replay(predictor, recording)
    summary, rmse = result.summary(), {k: v['rmse'] for k, v in result.depth.compute().items()}
    assert 0.05 < rmse['scale_shift'] < rmse['raw'] < 1.5
    assert 0.5 < summary['scale'] < 2
    assert summary['label_flicker_compensated'] < summary['label_flicker'] < 0.8
    assert result.notes == ()
