"""The model directory and its card: the one place where training and the node meet.

models/<name>/card.yaml            what the model is (below)
              weights.safetensors  parameters of the network
              model.onnx           the exported graph (pipeline.py)
              selftest.npz         an image and the outputs that any backend must reproduce for it (selftest.py)
"""

import hashlib
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from mtperception import resources
from mtperception.errors import InputError, MTPerceptionError
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.labels import NO_CLASSES, LabelSpace, load_label_space
from mtperception.tasks import TASKS

CARD = 'card.yaml'
WEIGHTS = 'weights.safetensors'
GRAPH = 'model.onnx'
SELF_TEST = 'selftest.npz'
DEFAULT_MODEL = 'nyuv2_indoor'


class ModelError(MTPerceptionError, ValueError):
    """A model directory that cannot be used; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is, how it was made and how good it is."""

    name: str
    network: str
    """A key of `mtperception.networks.NETWORKS`."""
    num_classes: int
    """Channels of the segmentation head, 0 without one."""
    tasks: tuple[str, ...]
    label_space: str
    """Its name; empty without segmentation."""
    classes: tuple[int, int]
    """First class and end of the slice of the label space that the graph chooses among."""
    depth_range: tuple[float, float]
    """Smallest and largest depth in metres that the graph gives."""
    camera: TrainingCamera
    input: InputPolicy | None = None
    """How it sees images; None, as in cards that do not say, becomes keep_aspect at the camera's size."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data, licence and procedure, in words."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Figures, with the protocol that they were measured by."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Of the other files of the directory, by name."""

    def __post_init__(self) -> None:
        """Check what can be checked without the other files; raises ModelError."""
        if self.input is None and min(self.camera.width, self.camera.height) > 0:
            object.__setattr__(self, 'input', InputPolicy('keep_aspect', self.camera.width, self.camera.height))
        for name in ('depth_range', 'classes'):
            if len(getattr(self, name)) != 2:
                raise ModelError(f'card of model {self.name!r}: {name} {getattr(self, name)}: expected two numbers')
        near, far = self.depth_range
        first, end = self.classes
        problems = [
            (
                not self.tasks or set(self.tasks) - set(TASKS),
                f'tasks {self.tasks}: expected some of {", ".join(TASKS)}',
            ),
            (not 0 < near < far, f'depth_range {self.depth_range}: expected 0 < near < far, in metres'),
            (self.camera.fx <= 0 or self.camera.width <= 0 or self.camera.height <= 0, f'camera {self.camera}: <= 0'),
            (
                'segmentation' in self.tasks and not 0 <= first < end <= self.num_classes,
                f'classes {self.classes}: expected a slice of 0..{self.num_classes}',
            ),
        ]
        for wrong, message in problems:
            if wrong:
                raise ModelError(f'card of model {self.name!r}: {message}')

    @classmethod
    def read(cls, path: Path) -> 'ModelCard':
        """Read a `card.yaml`.

        Raises:
            ModelError: if the file is missing or malformed, or says what cannot be.
        """
        if not path.is_file():
            raise ModelError(f'{path}: no such file: expected a model directory, which export and import write')
        try:
            content = yaml.safe_load(path.read_text(encoding='utf-8'))
            cls._check_keys(content)
            content['camera'] = TrainingCamera(**content['camera'])
            if content.get('input') is not None:
                content['input'] = InputPolicy(**content['input'])
            for key in ('tasks', 'classes', 'depth_range'):
                content[key] = tuple(content[key])
            content['sha256'] = content.get('sha256') or {}
            content['label_space'] = content.get('label_space') or ''
            return cls(**content)
        except ModelError as error:
            raise ModelError(f'{path}: {error}') from error
        except (OSError, ValueError, AttributeError, yaml.YAMLError, KeyError, TypeError) as error:
            raise ModelError(f'{path}: not a readable model card: {" ".join(str(error).split())}') from error

    @classmethod
    def _check_keys(cls, content: Any) -> None:
        """Check that a card has the keys it must have and no others; raises ValueError."""
        if not isinstance(content, dict):
            raise InputError('expected keys with values, such as name: mine')
        required = [item.name for item in fields(cls) if item.default is item.default_factory is MISSING]
        missing = [name for name in required if name not in content and name != 'label_space']
        unknown = [str(key) for key in content if key not in {item.name for item in fields(cls)}]
        if missing or unknown:
            found = f', found {", ".join(unknown)}, which a card does not have' if unknown else ''
            raise InputError(f'expected {", ".join(missing) or "no other key"}{found}')

    def write(self, path: Path) -> None:
        """Write a `card.yaml`."""
        content = asdict(self)
        for key in ('tasks', 'classes', 'depth_range'):
            content[key] = list(content[key])
        path.write_text(yaml.safe_dump(content, sort_keys=False, width=100), encoding='utf-8')


@dataclass(frozen=True)
class ModelDirectory:
    """A model on disk whose files are those that its card names."""

    path: Path
    card: ModelCard

    @property
    def weights(self) -> Path:
        """The network's parameters."""
        return self.path / WEIGHTS

    @property
    def graph(self) -> Path:
        """The exported graph."""
        return self.path / GRAPH

    @property
    def self_test(self) -> Path:
        """The image and the outputs of the self-test."""
        return self.path / SELF_TEST

    @property
    def label_space(self) -> LabelSpace:
        """The classes of the labels it gives; none without segmentation."""
        return load_label_space(self.card.label_space) if 'segmentation' in self.card.tasks else NO_CLASSES


def open_model(model: str | Path) -> ModelDirectory:
    """Find a model by directory or by name and check that its files are complete and unchanged.

    Raises:
        ResourceNotFoundError: if there is no such directory or name.
        ModelError: if a file is missing or differs from the card's sha256, or the card is wrong.
    """
    path = resources.find('model', model)
    if not path.is_dir():
        raise ModelError(f'{path}: found a file, expected a model directory with a {CARD}')
    card = ModelCard.read(path / CARD)
    for name in (WEIGHTS, GRAPH, SELF_TEST):
        if not (path / name).is_file():
            raise ModelError(f'{path}: {name} is missing: export or import the model again')
        if sha256(path / name) != card.sha256.get(name):
            raise ModelError(f'{path / name}: not the file that the card names (sha256 differs): damaged or replaced')
    directory = ModelDirectory(path, card)
    if 'segmentation' in card.tasks and len(directory.label_space) != card.num_classes:
        raise ModelError(
            f'{path}: {card.num_classes} classes, but label space {card.label_space} has {len(directory.label_space)}'
        )
    return directory


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
