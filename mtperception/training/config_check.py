# SPDX-License-Identifier: Apache-2.0
"""What the types of a configuration do not say: which names exist, and which values make sense."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from mtperception.tasks import TASKS, metrics_of
from mtperception.training.config import WHOLE, ConfigError, TrainConfig

PARTS = ('all', 'kept', 'held_back')
PRECISIONS = ('fp32', 'bf16', 'fp16')
BATCH_NORM = ('trained', 'frozen')
Rules = Iterator[tuple[bool, str]]
"""Whether something is wrong, and what is said then."""


def check_config(config: TrainConfig, where: str) -> None:
    """Check the values of a configuration.

    Args:
        config: what to check.
        where: it comes from, for messages.

    Raises:
        ConfigError: for the first value that does not exist or fit.
    """
    _check_names(config, where)
    _check_finite(config, where)
    try:
        config.input_policy  # noqa: B018 - it checks itself
    except ValueError as error:
        raise ConfigError(f'{where}: input: {error}') from error
    for rules in (_run, _data, _views, _learning, _extra_targets):
        for wrong, message in rules(config):
            if wrong:
                raise ConfigError(f'{where}: {message}')


def _check_names(config: TrainConfig, where: str) -> None:
    data_sets = config.data + config.validation
    for found, expected, key in (
        (config.tasks, TASKS, 'tasks'),
        ([config.precision], PRECISIONS, 'precision'),
        ([config.batch_norm], BATCH_NORM, 'batch_norm'),
        ([data.part for data in data_sets], PARTS, 'data.part'),
        ([task for data in data_sets for task in data.tasks or ()], TASKS, 'data.tasks'),
    ):
        unknown = [name for name in found if name not in expected]
        if unknown:
            raise ConfigError(f'{where}: {key}: {", ".join(map(str, unknown))}: expected any of {", ".join(expected)}')


def _check_finite(config: TrainConfig, where: str) -> None:
    for key, value in _numbers(asdict(config)):
        if not math.isfinite(value):
            raise ConfigError(f'{where}: {key}: found {value}, expected a finite number')


def _numbers(content: Any, above: str = '') -> Iterator[tuple[str, float]]:
    """Every number below a key, by its whole key."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in entries:
        yield from _numbers(value, f'{above}{key}.')
    if isinstance(content, int | float):
        yield above.removesuffix('.'), content


def _run(config: TrainConfig) -> Rules:
    for key in ('epochs', 'batch_size', 'loss_stride', 'validate_every'):
        yield getattr(config, key) < 1, f'{key}: found {getattr(config, key)}, expected 1 or more'
    tasks = config.tasks
    yield not tasks or len(set(tasks)) != len(tasks), 'tasks: expected one or more, without duplicates'
    yield 'segmentation' in tasks and not config.label_space, 'label_space: segmentation needs one'
    yield config.seed < 0, 'seed: expected 0 or more'
    yield config.seed >= 2**63, 'seed: expected less than 2^63'
    yield config.workers < 0, 'workers: expected 0 or more'
    depth = config.depth_range
    yield len(depth) != 2, 'depth_range: expected two numbers'
    yield not 0 < depth[0] < depth[-1], 'depth_range: expected two distances, the smaller first'
    camera = config.camera
    yield min(camera.fx, camera.width, camera.height) <= 0, 'camera: expected fx, width and height of more than 0'
    mixed = WHOLE in config.start and len(config.start) > 1
    yield mixed, f'start: expected either {WHOLE} or parts of the network'


def _data(config: TrainConfig) -> Rules:
    yield not config.data, 'data: expected at least one data set'
    yield min((data.weight for data in config.data), default=1.0) <= 0, 'data.weight: expected more than 0'
    yield (
        any((data.part == 'all') == bool(data.folds) for data in config.data + config.validation),
        'data: expected folds together with part: kept or held_back, and neither without the other',
    )
    weighted = any(data.weight != 1 for data in config.validation)
    yield weighted, 'validation.weight: expected 1: each of its sets counts the same'
    measured = metrics_of(config.tasks)
    yield (
        bool(config.validation) and config.select_by not in measured,
        f'select_by: {config.select_by} is not a measured metric: expected one of {", ".join(measured)}',
    )


def _views(config: TrainConfig) -> Rules:
    view = config.view
    is_range = len(view.scale) == 2 and 0 < view.scale[0] <= view.scale[1]
    yield not is_range, 'view.scale: expected two factors, the smaller first'
    yield len(view.crop) != 2 or min(view.crop) < 32, 'view.crop: expected height and width from 32 on'
    seen = config.loss_stride // 2 < min(view.crop, default=0)
    yield not seen, f'loss_stride: found {config.loss_stride}, expected less than twice the sides of view.crop'
    for key in ('class_balance', 'copy_paste', 'brightness', 'contrast', 'saturation', 'white_balance'):
        yield not 0 <= getattr(view, key) <= 1, f'view.{key}: expected a share, 0 to 1'
    for key in ('pitch', 'roll'):
        yield not 0 <= getattr(view, key) <= 45, f'view.{key}: expected 0 to 45 degrees'
    window = view.normals_window
    yield window < 3 or window % 2 == 0, 'view.normals_window: expected an odd number from 3 on'


def _learning(config: TrainConfig) -> Rules:
    rates = config.optimizer.learning_rate
    yield min(rates.values(), default=0) < 0, 'optimizer.learning_rate: expected 0 or more'
    yield config.optimizer.clip_norm < 0, 'optimizer.clip_norm: expected 0 (off) or more'
    yield config.optimizer.warm_up_steps < 0, 'optimizer.warm_up_steps: expected 0 or more'
    yield not 0 <= config.average_decay < 1, 'average_decay: expected 0 to below 1'
    yield (
        config.precision == 'fp16' and config.regime.name == 'ubernet',
        'the ubernet regime accumulates gradients: use bf16 or fp32',
    )


def _extra_targets(config: TrainConfig) -> Rules:
    distillation, consistency = config.distillation, config.consistency
    yield distillation.temperature <= 0, 'distillation.temperature: expected more than 0'
    yield min(distillation.weights.values(), default=0) < 0, 'distillation.weights: expected 0 or more'
    yield min(consistency.weights.values(), default=0) < 0, 'consistency.weights: expected 0 or more'
    yield not 0 <= consistency.shift < 0.5, 'consistency.shift: expected 0 to below 0.5'
    yield consistency.zoom < 0, 'consistency.zoom: expected 0 or more'
    yield not 0 <= consistency.light < 1, 'consistency.light: expected 0 to below 1'
    yield consistency.noise < 0, 'consistency.noise: expected 0 or more'
