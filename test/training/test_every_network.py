# SPDX-License-Identifier: Apache-2.0
"""Every network of NETWORKS takes a step and is resumed: what training needs of it, it says itself.

`test/ros/test_systems.py` exports each.
"""

import inspect
from dataclasses import replace

import pytest
import torch
from tiny_runs import tiny_config

from mtperception.networks import NETWORKS, network_class
from mtperception.tasks import TASKS
from mtperception.training.config import ChoiceConfig, ConfigError, OptimizerConfig
from mtperception.training.trainer import LAST, Trainer

CPU = torch.device('cpu')


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


def test_one_image_at_a_time(room_data, tmp_path):
    """Batch norm cannot normalise the one value per channel that pyramid pooling leaves of an image."""
    network, rates = ChoiceConfig('mtl_spp', thin('mtl_spp')), OptimizerConfig('sgd', {}, {'default': 1e-4})
    config = tiny_config(room_data, ('segmentation', 'depth'), network=network, optimizer=rates, batch_size=1)
    trainer = Trainer(config, tmp_path / 'run', CPU)
    with pytest.raises(ConfigError, match=r'batch_size 1, .*mtl_spp .*larger batch_size, or batch_norm=frozen'):
        trainer.step(*next(iter(batches_of(trainer))))

    frozen = Trainer(replace(config, batch_norm='frozen'), tmp_path / 'frozen', CPU)
    assert set(frozen.step(*next(iter(batches_of(frozen))))) == {'segmentation', 'depth'}


def thin(name):
    """Options that make a large network small, where it can be: the contract is the same."""
    return {'width': 0.125} if 'width' in inspect.signature(NETWORKS[name]).parameters else {}


def batches_of(trainer):
    """Batches of the training set."""
    from mtperception.training.examples import BatchLoader

    return BatchLoader(trainer.examples, trainer.batches, 0, pin_memory=False)
