# SPDX-License-Identifier: Apache-2.0
"""Every network of NETWORKS takes a step, is resumed and exported: what all that needs of it, it says itself."""

from dataclasses import replace

import pytest
import torch
from thin_networks import thin
from tiny_runs import CPU, tiny_config
from tiny_systems import SYSTEMS

from mtperception.card import ModelCard, TrainingCamera
from mtperception.export import export_model
from mtperception.networks import NETWORKS, create_network, network_class
from mtperception.predictor import Predictor
from mtperception.synthetic import SyntheticRoom
from mtperception.tasks import TASKS, graph_outputs
from mtperception.training.config import ChoiceConfig, ConfigError, OptimizerConfig
from mtperception.training.trainer import LAST, Trainer


@pytest.mark.parametrize('name', NETWORKS)
def test_a_step_and_a_resume(name, room_data, tmp_path):
    able = network_class(name)
    tasks = able.task_sets()[-1]
    outputs = {task: task for task in tasks} | dict(able.AUXILIARY)
    config = tiny_config(
        room_data,
        tasks,
        network=ChoiceConfig(name, thin(name)),
        losses={output: ChoiceConfig(TASKS[task].loss) for output, task in outputs.items()},
        # Plain SGD keeps the checkpoints of large networks small.
        optimizer=OptimizerConfig('sgd', {}, {'default': 1e-4}, clip_norm=1.0),
        batch_norm='frozen',
    )
    trainer = Trainer(config, tmp_path / 'run', CPU)
    before = {key: x.clone() for key, x in trainer.network.named_parameters()}
    losses = trainer.step(*next(iter(batches_of(trainer))))
    assert set(losses) == set(outputs)
    moved = {trainer.network.group_of(key) for key, x in trainer.network.named_parameters() if not x.equal(before[key])}
    assert moved == set(trainer.network.parameter_groups())

    trainer.save(LAST)
    resumed = Trainer(config, tmp_path / 'run', CPU)
    assert resumed.steps == 1
    assert all(torch.equal(x, resumed.network.state_dict()[key]) for key, x in trainer.network.state_dict().items())


@pytest.mark.parametrize('name', NETWORKS)
def test_an_encoder_that_has_published_weights_can_load_them(name):
    """So that `encoder: auto`, the default, works."""
    with torch.device('meta'):
        network = create_network(name, 6, network_class(name).task_sets()[-1], **thin(name))
    starts_published = bool(network.ENCODER_START)
    assert starts_published == hasattr(getattr(network, 'encoder', None), 'load_torchvision')


@pytest.mark.parametrize('name', sorted(set(NETWORKS) - set(SYSTEMS)))
def test_its_graph_gives_what_it_gives(name, tmp_path):
    """Of the others test/ros/test_systems.py exports the model of a run, which takes as long as all else here."""
    tasks = network_class(name).task_sets()[-1]
    torch.manual_seed(0)
    network = create_network(name, 6, tasks, **thin(name)).eval()
    network.prepare_for_depth_range(0.5, 80.0)
    card = ModelCard(
        name, name, 6, tasks, 'kitti_6', (0, 6), (0.5, 80.0), TrainingCamera(90, 96, 64), network_options=thin(name)
    )
    export_model(network, card, tmp_path / 'model')  # which compares it in ONNX Runtime with PyTorch
    found = Predictor(tmp_path / 'model', 'openvino', 'cpu', 'fp32')(SyntheticRoom(96, 64, 90).frame(0.0).image)
    assert all(found.map(output.name).shape[:2] == (64, 96) for output in graph_outputs(tasks))


def test_one_image_at_a_time(room_data, tmp_path):
    """Batch norm cannot normalise the one value per channel that pyramid pooling leaves of an image."""
    network, rates = ChoiceConfig('mtl_spp', thin('mtl_spp')), OptimizerConfig('sgd', {}, {'default': 1e-4})
    config = tiny_config(room_data, ('segmentation', 'depth'), network=network, optimizer=rates, batch_size=1)
    trainer = Trainer(config, tmp_path / 'run', CPU)
    with pytest.raises(ConfigError, match=r'batch_size 1, .*mtl_spp .*larger batch_size, or batch_norm=frozen'):
        trainer.step(*next(iter(batches_of(trainer))))

    frozen = Trainer(replace(config, batch_norm='frozen'), tmp_path / 'frozen', CPU)
    assert set(frozen.step(*next(iter(batches_of(frozen))))) == {'segmentation', 'depth'}


def batches_of(trainer):
    """Batches of the training set."""
    from mtperception.training.examples import BatchLoader

    return BatchLoader(trainer.examples, trainer.batches, 0, pin_memory=False)
