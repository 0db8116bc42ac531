# SPDX-License-Identifier: Apache-2.0
"""The model directory and its card: the one place where training and the node meet.

models/<name>/card.yaml            what the model is (below)
              weights.safetensors  parameters of the network
              model.onnx           the exported graph (pipeline.py)
              selftest.npz         an image and the outputs that any backend must reproduce for it (selftest.py)
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from mtperception import resources
from mtperception.bounded_read import check_regular, read_yaml, shortened
from mtperception.errors import InputError, MTPerceptionError
from mtperception.input_policy import InputPolicy, TrainingCamera, depth_ratio, focal_ratios
from mtperception.labels import NO_CLASSES, LabelSpace, load_label_space
from mtperception.model_terms import note_terms
from mtperception.tasks import TASKS
from mtperception.types import GRAPH_SIZES, Intrinsics, is_graph_size

CARD = 'card.yaml'
WEIGHTS = 'weights.safetensors'
GRAPH = 'model.onnx'
SELF_TEST = 'selftest.npz'
FILES_OF_A_MODEL = (CARD, WEIGHTS, GRAPH, SELF_TEST)
DEFAULT_MODEL = 'nyuv2_indoor'
MAX_BYTES = 2 * 2**30
"""Largest file of weights, and of a graph, bytes."""
MAX_WORD = 200
"""Characters of a name."""
MAX_CLASSES = 254
MAX_FOCAL_LENGTH = 1e6
MAX_DEPTH = 1e5
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0


class ModelError(MTPerceptionError, ValueError):
    """A model directory that cannot be used; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is, how it was made and how good it is."""

    name: str
    network: str
    """A key of `mtperception.networks.NETWORKS`. In the file, with the options: `network: {name, options}`."""
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
    temperature: float = 1.0
    """What the graph divides logits by before the softmax that confidence is taken of; see `Pipeline`."""
    network_options: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the network besides classes and tasks."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Data, licence and procedure, in words."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Figures, with the protocol that they were measured by."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of the other files of the directory, by name."""

    def __post_init__(self) -> None:
        """Check what can be checked without the other files; raises ModelError."""
        try:
            self._check_types()
            self._check_ranges()
        except ValueError as error:
            raise ModelError(shortened(f'card of model {self.name!r}: {error}')) from error
        if self.input is None:
            object.__setattr__(self, 'input', InputPolicy('keep_aspect', self.camera.width, self.camera.height))

    def _check_types(self) -> None:
        """Check what each field holds; raises InputError."""
        for key in ('name', 'network', 'label_space'):
            value = getattr(self, key)
            if not isinstance(value, str) or len(value) > MAX_WORD:
                raise InputError(f'{key} {value!r}: expected a text of up to {MAX_WORD} characters')
        for key in ('network_options', 'training', 'metrics', 'sha256'):
            if not isinstance(getattr(self, key), Mapping):
                raise InputError(f'{key} {getattr(self, key)!r}: expected keys with values')
        for key, whole in (('classes', True), ('depth_range', False)):
            value = getattr(self, key)
            if len(value) != 2 or not all(_is_number(item, whole=whole) for item in value):
                raise InputError(f'{key} {value}: expected two {"whole " if whole else ""}numbers')
        if not _is_number(self.temperature):
            raise InputError(f'temperature {self.temperature!r}: expected a number above 0, such as 1.0')
        camera = self.camera
        if not _is_number(camera.fx) or not (camera.fy is None or _is_number(camera.fy)):
            raise InputError(f'camera {camera}: expected focal lengths in pixels')
        if not all(_is_number(value, whole=True) for value in (camera.width, camera.height, self.num_classes)):
            raise InputError(
                f'camera {camera}, num_classes {self.num_classes!r}: expected whole numbers of pixels, classes'
            )

    def _check_ranges(self) -> None:
        """Check what the values are; raises InputError."""
        near, far = self.depth_range
        first, end = self.classes
        camera = self.camera
        focal_lengths = (camera.fx, camera.fx if camera.fy is None else camera.fy)
        for wrong, message in (
            (
                not self.tasks or set(self.tasks) - set(TASKS),
                f'tasks {self.tasks}: expected some of {", ".join(TASKS)}',
            ),
            (len(set(self.tasks)) != len(self.tasks), f'tasks {self.tasks}: expected each once'),
            (
                not MIN_TEMPERATURE <= self.temperature <= MAX_TEMPERATURE,
                f'temperature {self.temperature}: expected {MIN_TEMPERATURE:g} to {MAX_TEMPERATURE:g}',
            ),
            (not 0 <= self.num_classes <= MAX_CLASSES, f'num_classes {self.num_classes}: expected 0 to {MAX_CLASSES}'),
            (not 0 < near < far <= MAX_DEPTH, f'depth_range {self.depth_range}: expected 0 < near < far, in metres'),
            (
                not all(0 < fx <= MAX_FOCAL_LENGTH for fx in focal_lengths),
                f'camera {camera}: expected focal lengths above 0, up to {MAX_FOCAL_LENGTH:g}',
            ),
            (not is_graph_size(camera.width, camera.height), f'camera {camera}: expected {GRAPH_SIZES}'),
            (
                self.input is not None and not is_graph_size(self.input.width, self.input.height),
                f'input {self.input}: expected {GRAPH_SIZES}',
            ),
            (
                'segmentation' in self.tasks and not 0 <= first < end <= self.num_classes,
                f'classes {self.classes}: expected a slice of 0..{self.num_classes}',
            ),
        ):
            if wrong:
                raise InputError(message)

    def depth_factor(self, intrinsics: Intrinsics) -> float:
        """What the learnt depth is multiplied by for images of a camera, at their size (see `input_policy`)."""
        layout = self.input.layout(intrinsics.width, intrinsics.height)
        return depth_ratio(*focal_ratios(intrinsics, layout, self.camera, self.input))

    @classmethod
    def read(cls, path: Path) -> 'ModelCard':
        """Read a `card.yaml`.

        Raises:
            ModelError: if the file is missing or malformed, or says what cannot be.
        """
        if not path.is_file():
            raise ModelError(f'{path}: no such file: expected a model directory, which export and import write')
        try:
            content = read_yaml(path)
            cls._check_keys(content)
            if isinstance(content['network'], dict):
                content['network'], content['network_options'] = _network(content['network'])
            content['camera'] = TrainingCamera(**content['camera'])
            if content.get('input') is not None:
                content['input'] = InputPolicy(**content['input'])
            for key in ('tasks', 'classes', 'depth_range'):
                content[key] = tuple(content[key])
            content['sha256'] = content.get('sha256') or {}
            content['label_space'] = content.get('label_space') or ''
            return cls(**content)
        except ModelError as error:
            raise ModelError(shortened(f'{path}: {error}')) from error
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise ModelError(shortened(f'{path}: not a readable model card: {error}')) from error

    @classmethod
    def _check_keys(cls, content: Any) -> None:
        """Check that a card has the keys it must have and no others; raises InputError."""
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
        content['network'] = {'name': self.network, 'options': dict(content.pop('network_options'))}
        path.write_text(yaml.safe_dump(content, sort_keys=False, width=100), encoding='utf-8')


def _is_number(value: Any, *, whole: bool = False) -> bool:
    """Whether a value is a finite number; YAML's true is none."""
    kinds = int if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and math.isfinite(value)


def _network(content: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Name and options out of `network: {name, options}`."""
    if not {'name'} <= set(content) <= {'name', 'options'}:
        raise InputError(f'network {content}: expected a name, or name and options')
    return content['name'], content.get('options') or {}


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
        try:
            check_regular(path / name, MAX_BYTES)
        except ValueError as error:
            raise ModelError(f'{path / name}: {error}') from error
        if sha256(path / name) != card.sha256.get(name):
            raise ModelError(f'{path / name}: not the file that the card names (sha256 differs): damaged or replaced')
    note_terms(card.name, card.training)
    directory = ModelDirectory(path, card)
    if 'segmentation' in card.tasks and len(directory.label_space) != card.num_classes:
        raise ModelError(
            f'{path}: {card.num_classes} classes, but label space {card.label_space} has {len(directory.label_space)}'
        )
    return directory


def sha256(path: Path) -> str:
    """Hexadecimal digest of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()
