# SPDX-License-Identifier: Apache-2.0
"""What teachers say is learnt: by numbers worked by hand, and on images without annotations."""

import math
import shutil
from dataclasses import replace

import pytest
import torch
from tiny_runs import CPU, data_of, history, tiny_config

from mtperception.card import CARD, open_model
from mtperception.networks import load_network
from mtperception.training.config import CameraConfig, ConfigError, DistillationConfig, InputConfig
from mtperception.training.distillation import DIFFERENCES, Distillation, angle, depth_difference, soft_cross_entropy
from mtperception.training.examples import BatchLoader
from mtperception.training.trainer import Trainer

TEACHER = 'nyuv2_indoor'


def pixel(*values):
    """N,C,h,w of a pixel."""
    return torch.tensor(values, dtype=torch.float32)[None, :, None, None]


def test_soft_labels_by_hand():
    # The teacher says 1/4 and 3/4, the student 1/2 each: 1/4 ln 1/2 + 3/4 ln 3/2.
    expected = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    teacher = pixel(0, math.log(3))
    assert soft_cross_entropy(pixel(0, 0), [teacher], 1.0).item() == pytest.approx(expected, rel=1e-5)
    # At a temperature of 2 twice these logits say the same, and it counts four times.
    assert soft_cross_entropy(pixel(0, 0), [2 * teacher], 2.0).item() == pytest.approx(4 * expected, rel=1e-5)
    # Two that contradict each other say 1/2 each.
    assert soft_cross_entropy(pixel(0, 0), [teacher, -teacher], 1.0).item() == pytest.approx(0, abs=1e-6)


def test_depth_and_normals_by_hand():
    # Teachers' outputs are signed: 2 m and 4 m; the student's sign counts.
    assert depth_difference(pixel(2.5), [pixel(2), pixel(-4)], 1.0).item() == 0.5
    assert depth_difference(pixel(-3.0), [pixel(3)], 1.0).item() == 6
    # Directions x and y are halfway between at 45 degrees, whatever their length.
    assert angle(pixel(5, 0, 0), [pixel(1, 0, 0), pixel(0, 9, 0)], 1.0).item() == pytest.approx(1 - math.sqrt(0.5))


@pytest.mark.parametrize('task', DIFFERENCES)
def test_nothing_is_to_be_learnt_from_oneself(task):
    raw = torch.rand(2, 3 if task != 'depth' else 1, 4, 5) + 0.1
    assert DIFFERENCES[task](raw, [raw, raw], 2.0).abs().max() < 1e-5


def distilled(root, *tasks, **changes):
    settings = {'data': [data_of(root, ['depth'])], 'distillation': DistillationConfig([TEACHER]), 'epochs': 30}
    return tiny_config(root, *tasks, **(settings | changes))


def test_images_without_any_annotation_teach_what_the_teacher_says(room_data, tmp_path):
    trainer = Trainer(distilled(room_data, data=[data_of(room_data, [])]), tmp_path, CPU)
    batch = next(iter(BatchLoader(trainer.examples, trainer.batches, 0, pin_memory=False)))
    assert batch[2] == {'segmentation': 0, 'depth': 0}
    losses = [trainer.step(*batch) for _ in range(25)]
    assert set(losses[0]) == {'segmentation_teacher', 'depth_teacher'}
    assert losses[-1]['segmentation_teacher'] < 0.7 * losses[0]['segmentation_teacher']
    assert losses[-1]['depth_teacher'] < 0.7 * losses[0]['depth_teacher']


def test_a_student_that_is_its_teacher_has_nothing_to_learn(room_data, tmp_path):
    same = CameraConfig(389.145, 480, 360)
    config = distilled(room_data, start={'all': [str(model_of(TEACHER))]}, camera=same, batch_norm='frozen')
    trainer = Trainer(config, tmp_path, CPU)
    losses = trainer.step(*next(iter(BatchLoader(trainer.examples, trainer.batches, 0, pin_memory=False))))
    assert losses['segmentation_teacher'] == pytest.approx(0, abs=1e-4)
    assert losses['depth_teacher'] == pytest.approx(0, abs=1e-4)


def model_of(name):
    from mtperception import resources

    return resources.find('model', name)


def test_depth_is_that_of_the_runs_camera(room_data):
    """A lens twice as long sees things twice as large: what the teacher takes for 1 m is 2 m away."""
    images = torch.randn(1, 3, 64, 64)
    depths = [
        Distillation(distilled(room_data, camera=CameraConfig(factor * 389.145, 480, 360)))(images)[0]['depth']
        for factor in (1, 2)
    ]
    torch.testing.assert_close(depths[1], 2 * depths[0])


def test_a_student_that_sees_images_reduced_is_taught_what_is_nearer(room_data):
    """At half the size all looks twice as far; the student's own depth is that of images so reduced."""
    camera = CameraConfig(389.145, 480, 360)
    images = torch.randn(1, 3, 64, 64)
    whole, half = (
        Distillation(distilled(room_data, camera=camera, input=InputConfig('keep_aspect', width, height)))(images)
        for width, height in ((480, 360), (240, 180))
    )
    torch.testing.assert_close(half[0]['depth'], 0.5 * whole[0]['depth'])


def test_a_stretched_student_is_taught_tilted_planes(room_data, every_task_model, tmp_path):
    """Columns are half as wide for it, rows as high: depth times sqrt(1 / 2), and normals with half their x."""
    teacher = tmp_path / 'teacher'
    shutil.copytree(every_task_model, teacher)
    card = open_model(teacher).card
    replace(card, camera=replace(card.camera, fy=card.camera.fx)).write(teacher / CARD)
    fx, width, height = card.camera.fx, card.camera.width, card.camera.height
    distillation = DistillationConfig([str(teacher)], {'depth': 1.0, 'normals': 1.0})
    config = distilled(
        room_data,
        ('depth', 'normals'),
        camera=CameraConfig(fx, width, height, fx),
        input=InputConfig('stretch', width // 2, height),
        distillation=distillation,
    )
    images = torch.randn(1, 3, 64, 64)
    (taught,), said = Distillation(config)(images), load_network(teacher)(images)
    torch.testing.assert_close(taught['depth'], math.sqrt(0.5) * said['depth'])
    torch.testing.assert_close(taught['normals'], said['normals'] * torch.tensor([0.5, 1, 1])[:, None, None])
    torch.testing.assert_close(taught['segmentation'], said['segmentation'])


def test_tasks_that_cannot_be_compared(room_data):
    distillation = DistillationConfig([TEACHER], {'depth_confidence': 1.0}, 1.0)
    config = tiny_config(room_data, ('segmentation', 'depth', 'depth_confidence'), distillation=distillation)
    with pytest.raises(ConfigError, match=r'distillation\.weights: depth_confidence: expected tasks that can be'):
        Distillation(config)


def test_weights_and_the_run_as_a_whole(room_data, tmp_path):
    weights = DistillationConfig([TEACHER, TEACHER], {'segmentation': 0.5}, 1.0)
    trainer = Trainer(distilled(room_data, distillation=weights, epochs=1), tmp_path, CPU)
    trainer.fit()
    (line,) = history(tmp_path)
    assert set(line['losses']) == {'depth', 'segmentation_teacher'}
    assert not any('teacher' in name for name in trainer.network.state_dict())


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'distillation': DistillationConfig(['street'])}, 'street has the classes of kitti_6, expected nyuv2_40'),
        ({'distillation': DistillationConfig([TEACHER], {'normals': 1.0})}, 'nyuv2_indoor has no normals'),
        ({'distillation': DistillationConfig(['nonesuch'])}, 'nonesuch'),
    ],
)
def test_teachers_that_do_not_fit(changes, message, room_data):
    with pytest.raises((ConfigError, OSError, ValueError), match=message):
        Distillation(distilled(room_data, **changes))
