# SPDX-License-Identifier: Apache-2.0
"""Training runs of seconds: views of 64x64 pixels of the synthetic room."""

import json

import torch
import yaml

from mtperception.data.transforms import ViewConfig
from mtperception.tasks import TASKS
from mtperception.training.config import (
    CameraConfig,
    ChoiceConfig,
    DataConfig,
    OptimizerConfig,
    TrainConfig,
)
from mtperception.training.config_file import config_to_dict
from mtperception.training.trainer import Trainer

CPU = torch.device('cpu')


def tiny_config(root, tasks=('segmentation', 'depth'), **changes):
    """A configuration that trains on the data set of the kind `folder` in `root`, from random weights."""
    settings = {
        'label_space': 'nyuv2_40',
        'tasks': list(tasks),
        'camera': CameraConfig(80.0, 96, 72),
        'encoder': '',
        'data': [data_of(root)],
        'view': ViewConfig(scale=[0.9, 1.2], crop=[64, 64], normals_window=5),
        'losses': {task: ChoiceConfig(TASKS[task].loss) for task in tasks},
        'optimizer': OptimizerConfig(learning_rate={'encoder': 1e-3, 'decoder': 1e-3}),
        'epochs': 2,
        'batch_size': 2,
        'precision': 'fp32',
        'device': 'cpu',
        'workers': 0,
    }
    return TrainConfig(**(settings | changes))


def data_of(root, tasks=None, split='test'):
    """An entry of the configuration's data."""
    return DataConfig(dataset='folder', root=str(root), split=split, tasks=tasks)


def train(config, out):
    """A finished run."""
    trainer = Trainer(config, out, CPU)
    trainer.fit()
    return trainer


def write_config(path, config):
    """Writes a configuration as the file that a user would write."""
    path.write_text(yaml.safe_dump(config_to_dict(config)), encoding='utf-8')
    return path


def history(run):
    """The lines of a run's history."""
    return [json.loads(line) for line in (run / 'history.jsonl').read_text(encoding='utf-8').splitlines()]
