# SPDX-License-Identifier: Apache-2.0
"""The table of tasks: what it says is what networks, graphs, losses and metrics do."""

import numpy as np
import pytest
import torch

from mtperception.evaluation.comparison import Comparison, LabelMapping
from mtperception.evaluation.metrics import METRICS
from mtperception.geometry import normals_from_depth
from mtperception.metric import RECORDING_METRICS
from mtperception.networks import create_network
from mtperception.pipeline import Pipeline
from mtperception.tasks import (
    NO_ZOOM,
    TASKS,
    graph_output,
    graph_outputs,
    in_order,
    larger_is_better,
    metrics_by_name,
    metrics_of,
)
from mtperception.training.losses import LOSSES
from mtperception.types import Intrinsics, Prediction, Sample

EVERY_TASK = pytest.mark.parametrize('task', TASKS.values(), ids=list(TASKS))
OF_ITS_OWN = [task for task in TASKS.values() if not task.about]


def with_what_it_is_about(task):
    return tuple(filter(None, (task.about, task.name)))


@pytest.fixture(scope='module')
def images():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 33, 45, 3), np.uint8))


@EVERY_TASK
def test_a_network_gives_the_raw_output_and_the_pipeline_the_maps_that_the_record_says(task, images):
    tasks = with_what_it_is_about(task)
    network = create_network('joint_lw_refinenet', 6, tasks).eval()
    with torch.inference_mode():
        raw = network(torch.zeros(1, 3, 64, 64))
        maps = Pipeline(network, (0.3, 10.0))(images)
    assert raw[task.name].shape[1] == (task.raw_channels or 6)
    assert list(maps) == [output.name for output in graph_outputs(tasks)]
    for output in task.outputs:
        channels = () if output.channels == 1 else (output.channels,)
        assert maps[output.name].shape == (2, 33, 45, *channels)
        assert maps[output.name].dtype == getattr(torch, output.dtype)


@EVERY_TASK
def test_metrics_are_those_that_its_running_sum_computes(task):
    for measure in task.measures:
        assert list(METRICS[measure.accumulator](6).compute()) == list(measure.metrics)
        assert set(measure.outputs) <= {output.name for output in graph_outputs(with_what_it_is_about(task))}


def prediction_of(task, map_):
    """One that is sure of its first map."""
    sure = {output.name: np.full(map_.shape, 255, np.uint8) for output in task.outputs[1:]}
    return Prediction(**{task.outputs[0].name: map_}, **sure)


@pytest.mark.parametrize('task', OF_ITS_OWN, ids=lambda task: task.name)
def test_a_perfect_prediction_scores_best_by_each_metric(task):
    rng = np.random.default_rng(1)
    depth = rng.uniform(1, 1.2, (24, 32)).astype(np.float32)
    depth[:10] += 2  # an edge that is not where that of the image upside down is
    sample = Sample(
        np.zeros((24, 32, 3), np.uint8),
        rng.integers(0, 6, (24, 32)).astype(np.uint8),
        depth,
        Intrinsics(30, 30, 15.5, 11.5, 32, 24),
    )
    truth = task.target.read(sample, NO_ZOOM, 3)
    comparison = Comparison((task.name,), LabelMapping(np.arange(256, dtype=np.uint8), ''), 6, 3)
    perfect, wrong = (
        {name: value for metrics in sums.values() for name, value in metrics.compute().items()}
        for sums in (
            comparison.score(task.name, prediction_of(task, map_), sample) for map_ in (truth, truth[::-1].copy())
        )
    )
    assert list(perfect) == list(task.metrics)
    for metric, value in perfect.items():
        assert value != wrong[metric]
        assert (value > wrong[metric]) == larger_is_better(metric), metric


def test_what_a_task_is_about_is_another_task_that_stands_by_itself():
    assert {TASKS[task.about].about for task in TASKS.values() if task.about} == {''}


@EVERY_TASK
def test_its_default_loss_takes_its_raw_output_and_its_target(task):
    output = torch.randn(2, task.raw_channels or 6, 8, 8, requires_grad=True)
    shape = (2, 8, 8) if task.target.channels == 1 else (2, task.target.channels, 8, 8)
    nothing = torch.full(shape, task.target.invalid, dtype=getattr(torch, task.target.dtype))
    assert LOSSES[task.loss]()(output, nothing).item() == 0, 'the invalid value counts'
    some = torch.ones_like(nothing)
    loss = LOSSES[task.loss]()(output, some)
    loss.backward()
    assert loss != 0
    assert output.grad.abs().sum() > 0


@EVERY_TASK
def test_a_prediction_has_a_field_for_each_output(task):
    assert {output.name for output in task.outputs} <= set(Prediction.__dataclass_fields__)


def test_order_is_the_tables_whatever_is_asked_for():
    assert [task.name for task in in_order(('normals', 'segmentation'))] == ['segmentation', 'normals']
    assert [output.name for output in graph_outputs(('depth', 'segmentation'))] == ['labels', 'confidence', 'depth']
    assert graph_output('confidence') is TASKS['segmentation'].outputs[1]


def test_metrics_have_names_of_their_own():
    names = [*metrics_of(list(TASKS)), *RECORDING_METRICS]
    assert len(names) == len(set(names))
    assert list(metrics_by_name()) == names
    assert [name for name in names if larger_is_better(name)] == [
        *('miou', 'pixel_accuracy', 'mean_accuracy'),
        *('delta1', 'delta2', 'delta3'),
        *('within_11_25', 'within_22_5', 'within_30'),
    ]


def test_targets_need_what_they_are_made_of():
    image, depth = np.zeros((8, 10, 3), np.uint8), np.full((8, 10), 2.0, np.float32)
    without_camera = Sample(image, depth=depth)
    assert [name for name, task in TASKS.items() if task.target.is_in(without_camera)] == ['depth', 'depth_confidence']
    with_camera = Sample(image, depth=depth, intrinsics=Intrinsics(10, 10, 4.5, 3.5, 10, 8))
    assert [name for name, task in TASKS.items() if task.target.is_in(with_camera)] == [
        *('depth', 'normals', 'depth_confidence'),
    ]


def test_targets_under_another_zoom():
    """Depth is divided; normals are those of the divided depth under the same camera."""
    rows, columns = np.mgrid[:24, :32]
    depth = (2 + 0.02 * columns + 0.01 * rows).astype(np.float32)
    camera = Intrinsics(40, 40, 15.5, 11.5, 32, 24)
    sample = Sample(np.zeros((24, 32, 3), np.uint8), depth=depth, intrinsics=camera)
    zoomed = TASKS['depth'].target.read(sample, (1.5, 1.5), 5)
    assert zoomed == pytest.approx(depth / 1.5)
    # The camera that sees the zoomed surface has its rays; a plane divided in depth is tilted by z x zoom.
    normals = normals_from_depth(depth, camera, 5) * (1, 1, 1.5)
    expected = normals / np.linalg.norm(normals, axis=2, keepdims=True)
    assert TASKS['normals'].target.read(sample, (1.5, 1.5), 5) == pytest.approx(expected, abs=1e-6)
    assert (
        TASKS['normals'].target.read(Sample(sample.image, depth=0 * depth, intrinsics=camera), (1.5, 1.5), 5) == 0
    ).all()
