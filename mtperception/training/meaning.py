# SPDX-License-Identifier: Apache-2.0
"""What the outputs of trained weights mean: weights of the same shapes may differ in it."""

from typing import Any

from mtperception.card import ModelCard
from mtperception.training.config import ConfigError, TrainConfig

CLASSES = 'classes'


def draft_card(config: TrainConfig, name: str) -> ModelCard:
    """What the configuration alone says of the model that comes out, before its confidence is calibrated."""
    return ModelCard(
        name=name,
        network=config.network.name,
        network_options=dict(config.network.options),
        num_classes=len(config.space),
        tasks=tuple(config.tasks),
        label_space=config.space.name,
        classes=(0, len(config.space)),
        depth_range=tuple(config.depth_range),
        camera=config.training_camera,
        input=config.input_policy,
    )


def meaning(card: ModelCard) -> dict[str, Any]:
    """By what it is: classes, and what metric depth depends on; of the tasks that the model has."""
    found = {}
    if 'segmentation' in card.tasks:
        found[CLASSES] = card.label_space
    if 'depth' in card.tasks:
        found['range of depth'] = card.depth_range
        found['focal length by width'] = round(card.camera.fx / card.camera.width, 4)
    return found


def check_same(expected: dict[str, Any], found: dict[str, Any], key: str) -> None:
    """Raises ConfigError where both say something, and not the same; `key` begins the message."""
    for what in expected.keys() & found.keys():
        if expected[what] != found[what]:
            raise ConfigError(f'{key}: its {what}: found {found[what]}, expected {expected[what]}')
