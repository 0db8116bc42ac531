# SPDX-License-Identifier: Apache-2.0
"""Evaluating a real model on rendered rooms gives what its predictions, compared by other means, give."""

import dataclasses
import json

import numpy as np
import pytest
from perfect_network import Room, coordinates, perfect_predictor, pinhole
from rooms import Samples, rooms, write_rooms

from mtperception.data import DatasetError, open_dataset
from mtperception.data.files import read_image
from mtperception.data.fold import Subset
from mtperception.evaluation.evaluate import Evaluator, conclude, evaluate
from mtperception.evaluation.report import write_report
from mtperception.geometry import normals_from_depth
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.labels import load_label_space
from mtperception.predictor import Predictor
from mtperception.types import Intrinsics, Sample
from mtperception.visualization import colorize_labels


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


@pytest.fixture(scope='module')
def samples():
    return rooms(3)


@pytest.fixture(scope='module')
def evaluation(predictor, samples):
    return evaluate(predictor, Samples(samples), selection={'dataset': 'rooms', 'split': 'test'})


def without(samples, *fields):
    return [dataclasses.replace(sample, **dict.fromkeys(fields)) for sample in samples]


def iou_by_sets(predicted, truth, classes):
    """Intersection over union of pixel sets, class by class; NaN where both are empty."""
    union = [np.count_nonzero((predicted == index) | (truth == index)) for index in range(classes)]
    both = [np.count_nonzero((predicted == index) & (truth == index)) for index in range(classes)]
    return np.array([a / b if b else np.nan for a, b in zip(both, union, strict=True)])


def test_metrics_are_those_of_the_predictions(evaluation, predictor, samples):
    predictions = [predictor(sample.image, sample.intrinsics) for sample in samples]
    labels, true_labels = (np.stack([item.labels for item in items]) for items in (predictions, samples))
    depth, true_depth = (np.stack([item.depth for item in items]).astype(float) for items in (predictions, samples))
    iou = iou_by_sets(labels, true_labels, 40)
    np.testing.assert_allclose(list(evaluation.iou.values()), iou, rtol=1e-12)
    assert tuple(evaluation.iou) == load_label_space('nyuv2_40').names
    summary = evaluation.summary()
    assert summary['miou'] == pytest.approx(np.nanmean(iou))
    assert summary['pixel_accuracy'] == pytest.approx((labels == true_labels).mean())
    assert summary['rmse'] == pytest.approx(np.sqrt(((depth - true_depth) ** 2).mean()))
    assert set(evaluation.metrics) == {'segmentation', 'depth', 'depth_confidence'}
    assert evaluation.frames == 3
    assert evaluation.confusion.sum() == labels.size
    assert evaluation.depth_profile.pixels.sum() == depth.size


def test_every_image_has_its_own_scores(evaluation, predictor, samples):
    first = evaluation.images[0]
    depth = predictor(samples[0].image, samples[0].intrinsics).depth
    assert (first.index, first.id) == (0, '000')
    assert first.metrics['rmse'] == pytest.approx(np.sqrt(((depth - samples[0].depth) ** 2).mean()), rel=1e-5)
    assert np.mean([image.metrics['rmse'] for image in evaluation.images]) == pytest.approx(
        evaluation.summary()['rmse_per_image']
    )


def test_the_worst_images_come_first(evaluation):
    rmse = [image.metrics['rmse'] for image in evaluation.worst('rmse', 2, largest=True)]
    assert rmse == sorted((image.metrics['rmse'] for image in evaluation.images), reverse=True)[:2]
    miou = [image.metrics['miou'] for image in evaluation.worst('miou', 9, largest=False)]
    assert miou == sorted(image.metrics['miou'] for image in evaluation.images)
    assert evaluation.worst('angle_mean', 9, largest=True) == []


def test_the_protocol_says_how_it_was_measured(evaluation):
    protocol = evaluation.protocol
    assert (protocol['dataset'], protocol['split'], protocol['images']) == ('rooms', 'test', 3)
    assert protocol['resolution'] == ['96x72']
    assert protocol['labels'] == 'nyuv2_40'
    assert protocol['depth_range'] == [0.3, 10.0]
    assert '100.0% of pixels' in protocol['depth']
    assert protocol['focal_scale'] == "by the camera of the data set and the model's"
    assert protocol['backend'] == 'onnxruntime on cpu, fp32'


def test_progress_counts_images(predictor, samples):
    done = []
    evaluate(predictor, Samples(samples), on_image=done.append)
    assert done == [1, 2, 3]


def test_depth_is_scaled_to_the_camera_of_the_data_set(predictor, samples):
    """A camera of twice the focal length: the same image shows what is twice as far."""
    camera = samples[0].intrinsics
    tele = Intrinsics(2 * camera.fx, 2 * camera.fy, camera.cx, camera.cy, camera.width, camera.height)
    twice = [dataclasses.replace(s, depth=2 * s.depth, intrinsics=tele) for s in samples]
    normal, far = (evaluate(predictor, Samples(without(items, 'labels'))).summary() for items in (samples, twice))
    assert far['rmse'] == pytest.approx(2 * normal['rmse'], rel=1e-5)
    assert far['abs_rel'] == pytest.approx(normal['abs_rel'], rel=1e-5)


def test_without_a_camera_depth_is_not_scaled(predictor, samples):
    unknown = without(samples[:1], 'intrinsics')
    result = evaluate(predictor, Samples(unknown))
    depth = predictor(unknown[0].image).depth
    assert result.summary()['rmse'] == pytest.approx(np.sqrt(((depth - unknown[0].depth) ** 2).mean()), rel=1e-5)
    assert result.protocol['focal_scale'] == 'none'


def test_a_coarser_truth_is_compared_with_grouped_labels(predictor, samples):
    table = load_label_space('nyuv2_40').grouping('nyuv2_13')
    coarse = [dataclasses.replace(sample, labels=table[sample.labels]) for sample in samples]
    result = evaluate(predictor, Samples(coarse, 'nyuv2_13'))
    predicted = np.stack([table[predictor(sample.image).labels] for sample in samples])
    expected = iou_by_sets(predicted, np.stack([sample.labels for sample in coarse]), 13)
    np.testing.assert_allclose(list(result.iou.values()), expected, rtol=1e-12)
    assert np.isnan(result.summary()['ece'])
    assert result.protocol['labels'].startswith('nyuv2_40 grouped into nyuv2_13; no ece: ')


@pytest.fixture(scope='module')
def fine_samples(samples):
    """Labels of Cityscapes, of no meaning, for a model of its groups."""
    labels = [np.where(sample.labels == 255, 255, sample.labels % 19).astype(np.uint8) for sample in samples]
    return [dataclasses.replace(sample, labels=each) for sample, each in zip(samples, labels, strict=True)]


def test_a_finer_truth_is_grouped_into_the_classes_of_the_model(fine_samples, tmp_path):
    """As in training, which takes such data too."""
    street = Predictor('street', 'onnxruntime', 'cpu')
    result = evaluate(street, Samples(fine_samples, 'cityscapes_19'))
    table = load_label_space('cityscapes_19').grouping('kitti_6')
    predicted = np.stack([street(sample.image, sample.intrinsics).labels for sample in fine_samples])
    truth = np.stack([table[sample.labels] for sample in fine_samples])
    assert (truth == 255).any()  # Cityscapes' classes that are in no group are not judged
    expected = iou_by_sets(np.where(truth == 255, 255, predicted), truth, 6)
    np.testing.assert_allclose(list(result.iou.values()), expected, rtol=1e-12)
    assert result.label_space.name == 'kitti_6'
    assert result.protocol['labels'] == 'cityscapes_19 grouped into kitti_6'
    write_report(result, street, Samples(fine_samples, 'cityscapes_19'), tmp_path)
    truth = read_image(next((tmp_path / 'images').glob('0_segmentation_truth.png')))
    np.testing.assert_array_equal(truth, colorize_labels(table[fine_samples[0].labels], load_label_space('kitti_6')))


def test_a_class_that_the_finer_truth_does_not_have_is_an_error(fine_samples):
    wrong = [dataclasses.replace(sample, labels=sample.labels * 0 + 19) for sample in fine_samples]
    with pytest.raises(ValueError, match='class 254'):
        evaluate(Predictor('street', 'onnxruntime', 'cpu'), Samples(wrong, 'cityscapes_19'))


@pytest.mark.parametrize(
    ('missing', 'space', 'task', 'empty'),
    [('labels', '', 'depth', 'confusion'), ('depth', 'nyuv2_40', 'segmentation', 'depth_profile')],
)
def test_a_task_without_truth_is_left_out(missing, space, task, empty, predictor, samples, evaluation):
    result = evaluate(predictor, Samples(without(samples, missing), space))
    left = {name: metrics for name, metrics in evaluation.metrics.items() if name.startswith(task)}
    assert repr(result.metrics) == repr(left)  # as text NaN equals NaN
    assert getattr(result, empty) is None


def test_uneven_annotations_count_where_they_are(predictor, samples, evaluation):
    """Labels of all images, depth of the last one, and an image with neither."""
    mixed = [*without(samples[:2], 'depth'), samples[2], *without(samples[:1], 'depth', 'labels')]
    result = evaluate(predictor, Samples(mixed))
    assert result.metrics['segmentation'] == evaluation.metrics['segmentation']
    assert result.summary()['rmse'] == pytest.approx(evaluation.images[2].metrics['rmse'])
    assert (result.frames, result.protocol['images']) == (3, 4)


def test_normals_are_compared_with_planes_fitted_to_the_depth(every_task_model):
    predictor = Predictor(every_task_model, 'onnxruntime', 'cpu')
    sample = without(rooms(1), 'labels')[0]
    result = evaluate(predictor, Samples([sample], ''), normals_window=5)
    predicted = predictor(sample.image, sample.intrinsics).normals.astype(float)
    truth = normals_from_depth(sample.depth, sample.intrinsics, 5).astype(float)
    known = np.linalg.norm(truth, axis=2) > 0
    angles = np.degrees(np.arccos((predicted * truth).sum(axis=2)[known]))
    assert result.summary()['angle_mean'] == pytest.approx(angles.mean(), abs=0.01)
    assert result.summary()['within_30'] == pytest.approx((angles < 30).mean(), abs=1e-3)
    assert result.protocol['normals'].endswith('over 5 pixels')


def test_nothing_in_common_is_an_error(predictor, samples):
    with pytest.raises(
        DatasetError, match=r'nothing to compare: no sample of the 3 .*\(segmentation, depth, depth_confidence\)'
    ):
        evaluate(predictor, Samples(without(samples, 'labels', 'depth'), ''))


def test_labels_of_another_world_are_an_error(predictor, samples):
    with pytest.raises(ValueError, match='labels of kitti_6 with a model of nyuv2_40'):
        evaluate(predictor, Samples(samples, 'kitti_6'))


def test_no_samples_are_an_error(predictor):
    with pytest.raises(DatasetError, match='no samples'):
        evaluate(predictor, Samples([]))


def test_maps_of_the_network_size_are_refused(samples):
    small = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu', output_size='network')
    with pytest.raises(ValueError, match="output_size 'network': expected input"):
        evaluate(small, Samples(samples))


@pytest.mark.parametrize('order', [(0, 1, 2), (2, 0, 1)])
def test_scores_of_parts_merge_to_those_of_the_whole_bit_by_bit(predictor, order):
    """Stored as JSON and in any order; images with both truths, with one of them, and with none."""
    whole = rooms(7)
    mixed = [*whole[:3], *without(whole[3:4], 'labels'), *without(whole[4:5], 'depth', 'intrinsics')]
    dataset = Samples([*mixed, *without(whole[5:6], 'labels', 'depth'), whole[6]])
    evaluator = Evaluator(predictor, dataset)
    parts = [evaluator.scores(positions) for positions in (range(2), range(2, 5), range(5, 7))]
    total = evaluator.setting.no_scores()
    for position in order:
        read = evaluator.setting.no_scores()
        read.restore(json.loads(json.dumps(parts[position].state())))
        total.merge(read)
    merged, one = conclude(evaluator.setting, total, {'images': 7}), evaluate(predictor, dataset)
    for name in ('metrics', 'iou', 'images', 'protocol', 'frames', 'failed'):
        assert repr(getattr(merged, name)) == repr(getattr(one, name))
    np.testing.assert_array_equal(merged.confusion, one.confusion)
    for name in ('rmse', 'bias', 'pixels', 'error_pixels'):
        np.testing.assert_array_equal(getattr(merged.depth_profile, name), getattr(one.depth_profile, name))


def test_a_bad_sample_costs_itself_only_where_that_is_asked_for(predictor, samples, tmp_path):
    folder = write_rooms(tmp_path, samples)
    (folder / 'depth' / '1.png').write_bytes(b'no picture')
    result = evaluate(predictor, open_dataset('folder', folder, 'test'), skip_bad=True)
    assert (result.frames, result.protocol['images'], list(result.failed)) == (2, 3, ['1'])
    assert 'depth/1.png' in result.failed['1']
    good = Subset(open_dataset('folder', write_rooms(tmp_path / 'good', samples), 'test'), [0, 2])
    assert result.metrics == evaluate(predictor, good).metrics


def test_a_damaged_file_is_named(predictor, samples, tmp_path):
    folder = write_rooms(tmp_path, samples)
    (folder / 'depth' / '1.png').write_bytes(b'no picture')
    with pytest.raises(DatasetError, match=r'sample 1: .*depth/1\.png: .* remove its id from the split'):
        evaluate(predictor, open_dataset('folder', folder, 'test'))


def test_a_model_that_sees_tiles_is_scored_on_the_image_put_together():
    """HybridNet's protocol, 18 tiles: what is perfect in each tile is perfect in the image, at its full resolution."""
    camera = pinhole(100.0, 180, 90)
    policy = InputPolicy('tiles', 30, 30)
    assert policy.layout(180, 90).count == 18
    tiled = perfect_predictor(Room(), camera, training=TrainingCamera(100.0, 180, 90), input=policy)
    truth = Room().maps(camera)
    sample = Sample(coordinates(180, 90), truth['labels'], truth['depth'].astype(np.float32), camera)
    result = evaluate(tiled, Samples([sample]))
    assert result.summary()['pixel_accuracy'] == 1
    assert result.summary()['rmse'] == pytest.approx(0, abs=1e-5)
    assert (result.confusion.sum(), result.protocol['resolution']) == (180 * 90, ['180x90'])
    assert result.protocol['input'] == 'tiles: images cut into tiles of 30x30'
