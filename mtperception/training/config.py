# SPDX-License-Identifier: Apache-2.0
"""The configuration of a training run: a YAML file, checked against these dataclasses, and `key.subkey=value`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtperception import resources
from mtperception.data.transforms import ViewConfig
from mtperception.errors import MTPerceptionError
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.labels import NO_CLASSES, LabelSpace, load_label_space
from mtperception.tasks import TASKS, in_order, metrics_of

PARTS = ('all', 'kept', 'held_back')
PRECISIONS = ('fp32', 'bf16', 'fp16')
BATCH_NORM = ('trained', 'frozen')
NETWORK, START = 'network', 'start'
REPLACED = (NETWORK, START)
"""Keys whose short forms replace what another file says, instead of changing it."""
WHOLE = 'all'
"""The part of `start` that is the whole network."""


class ConfigError(MTPerceptionError, ValueError):
    """A configuration that cannot be used; the message names the key, what was found and what was expected."""


@dataclass
class DataConfig:
    """One data set, or a part of one."""

    dataset: str = MISSING
    """A key of `DATASETS`."""
    root: str = MISSING
    """Its folder."""
    split: str = 'train'
    folds: list[int] = field(default_factory=list)
    """Blocks of ids (`mtperception.data.fold`), 0 to 9, that `part` speaks of."""
    part: str = 'all'
    """'all', 'kept' (without the folds) or 'held_back' (only the folds)."""
    tasks: list[str] | None = None
    """Annotations to read, of those that it has; all by default. The others are hidden."""
    weight: float = 1.0
    """How often an epoch shows each sample: 3: three times, in different views; 0.25: a quarter of them, other ones in
    the next epoch."""


@dataclass
class ChoiceConfig:
    """A name out of a table, with the options it takes."""

    name: str = MISSING
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class CameraConfig:
    """The camera that depth is learnt for: what others see is converted to it."""

    fx: float = MISSING
    """Focal length in pixels, at `width`."""
    width: int = MISSING
    height: int = MISSING
    fy: float | None = None
    """Along the columns, at `height`; for a stretched input."""


@dataclass
class InputConfig:
    """How the model is to see images: in validation and for ever after."""

    policy: str = 'keep_aspect'
    """keep_aspect (larger images reduced to fit), stretch (to a fixed size; views of training images too) or tiles (of
    a fixed size, put together again)."""
    width: int = 0
    """Pixels; 0, 0: the camera's."""
    height: int = 0


@dataclass
class DistillationConfig:
    """What other models tell the network, besides the annotations, of every pixel of every image."""

    teachers: list[str] = field(default_factory=list)
    """Model directories, or names of models; of several the mean. None: there is no distillation."""
    weights: dict[str, float] = field(default_factory=dict)
    """By task, of its loss against the teachers; by default 1 for all tasks of the run."""
    temperature: float = 2.0
    """That logits are divided by: the higher, the more a teacher's doubts count."""


@dataclass
class OptimizerConfig:
    """What takes the steps, and how long they are."""

    name: str = 'adamw'
    options: dict[str, Any] = field(default_factory=dict)
    learning_rate: dict[str, float] = field(default_factory=dict)
    """By group of the network ('encoder', 'decoder', each head by its output, or what groups it has), and 'weighting'
    for what the weighting learns. Groups that are not named take that of 'default'; without it the encoder takes 4e-4,
    all others take the decoder's, which is 1e-3."""
    schedule: ChoiceConfig = field(default_factory=lambda: ChoiceConfig('polynomial'))
    warm_up_steps: int = 0
    clip_norm: float = 0.0
    """Gradients longer than this are shortened to it; 0: they are not."""


@dataclass
class TrainConfig:
    """Everything that decides what comes out of a run."""

    paths: dict[str, str] = field(default_factory=dict)
    """Folders by a name: other keys say ${paths.name}."""
    network: ChoiceConfig = field(default_factory=lambda: ChoiceConfig('joint_lw_refinenet'))
    """A key of `NETWORKS`, with options of that network. A plain name is one without options."""
    label_space: str = ''
    tasks: list[str] = field(default_factory=lambda: ['segmentation', 'depth'])
    camera: CameraConfig = field(default_factory=CameraConfig)
    input: InputConfig = field(default_factory=InputConfig)
    depth_range: list[float] = field(default_factory=lambda: [0.3, 10.0])
    """Smallest and largest depth, metres, that the model is to give."""
    encoder: str = 'imagenet'
    """'imagenet' (torchvision's weights, downloaded), a .safetensors file in their layout, or '' for fresh weights."""
    start: dict[str, list[str]] = field(default_factory=dict)
    """What to start from: a list of checkpoints or model directories, whose weights are taken instead of the encoder's.
    Of several the mean, which helps if they share a starting point (Wortsman et al., ICML 2022).

    Or parts from different files, such as {encoder: imagenet, decoder: [a, b], depth: run/best.safetensors}: by group
    of the network, checkpoints or model directories, or what the network loads as published weights of that part.
    Groups that are not named begin anew, the encoder as `encoder` says. 'all' is the whole network, which a plain list
    stands for."""
    data: list[DataConfig] = field(default_factory=list)
    validation: list[DataConfig] = field(default_factory=list)
    view: ViewConfig = field(default_factory=ViewConfig)
    losses: dict[str, ChoiceConfig] = field(default_factory=dict)
    """By output of the network: its tasks, which have usual ones (`tasks.Task.loss`), and its auxiliary outputs, which
    learn only if they have one. Those of tasks that the run does not have are not used."""
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    loss_stride: int = 2
    """Losses are taken at every n-th pixel, along rows and columns."""
    weighting: ChoiceConfig = field(default_factory=lambda: ChoiceConfig('fixed'))
    regime: ChoiceConfig = field(default_factory=lambda: ChoiceConfig('blitznet'))
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch_norm: str = 'trained'
    """'trained', or 'frozen': statistics and factors stay as they were."""
    frozen: list[str] = field(default_factory=list)
    """Modules of the network that are left as they are, such as encoder.stem."""
    epochs: int = 50
    batch_size: int = 8
    """Images per step, of all processes together."""
    average_decay: float = 0.998
    """Of the moving average of the weights, which is what is validated and exported; 0: the weights themselves."""
    precision: str = 'bf16'
    device: str = 'auto'
    workers: int = 1
    """Processes that read images, for each training process."""
    seed: int = 0
    validate_every: int = 5
    """Epochs."""
    checkpoint_minutes: float = 10.0
    """A checkpoint is written this often, and after each epoch."""
    select_by: str = 'miou'
    """The metric of the best checkpoint; smaller is better for errors, such as rmse."""
    description: str = ''
    """What the run is for: goes into the card."""
    licence: str = ''
    """Of the resulting weights and of the data, in words: goes into the card."""

    @property
    def training_camera(self) -> TrainingCamera:
        """The camera that depth is learnt for."""
        return TrainingCamera(self.camera.fx, self.camera.width, self.camera.height, self.camera.fy)

    @property
    def input_policy(self) -> InputPolicy:
        """How the model is to see images; raises ValueError if it cannot be."""
        width, height = self.input.width, self.input.height
        if (width, height) == (0, 0):
            width, height = self.camera.width, self.camera.height
        return InputPolicy(self.input.policy, width, height)

    @property
    def space(self) -> LabelSpace:
        """The label space of the segmentation head."""
        return load_label_space(self.label_space) if 'segmentation' in self.tasks else NO_CLASSES


def load_config(source: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration.

    A file may say `extends: other`, a file of which it then states only what differs; lists are replaced as a whole.

    Args:
        source: path of a YAML file, or the name of one in `config/train`.
        changes: `key.subkey=value`, applied in order; `data.0.root=...` reaches into lists.

    Raises:
        ResourceNotFoundError: if there is no such file.
        ConfigError: for a key or a value that does not exist or fit.
    """
    path = resources.find('train', source)
    try:
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), _layers(path))
        for change in changes:
            _apply(change, merged)
        config = _with_default_losses(OmegaConf.to_object(merged))
    except (OmegaConfBaseException, yaml.YAMLError, OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f'{path}: {_in_a_line(error)}') from error
    check_config(config, str(path))
    return config


def _apply(change: str, merged: DictConfig) -> None:
    """Make a change `key.subkey=value`."""
    key, equals, text = change.partition('=')
    if not equals:
        raise ConfigError(f'{change!r}: expected key=value')
    # OmegaConf's own reader: YAML's would take 1e-3 for a word.
    value = OmegaConf.to_container(OmegaConf.from_dotlist([f'value={text}']))['value'] if text else ''
    if key == NETWORK and isinstance(value, str):
        OmegaConf.update(merged, key, ChoiceConfig(value), merge=False)
    elif key == START:
        OmegaConf.update(merged, key, _written_out({key: value})[key], merge=False)
    elif key.startswith(f'{START}.') and isinstance(value, str):
        OmegaConf.update(merged, key, [value])
    else:
        OmegaConf.update(merged, key, value)


def _written_out(content: dict[str, Any]) -> dict[str, Any]:
    """Content of a configuration in which short forms are written out: a network's plain name, a single or no part."""
    content = dict(content)
    if isinstance(content.get(NETWORK), str):
        content[NETWORK] = {'name': content[NETWORK], 'options': {}}
    start = content.get(START)
    if isinstance(start, (str, list)):
        start = {WHOLE: start} if start else {}
    if isinstance(start, dict):
        content[START] = {part: [files] if isinstance(files, str) else files for part, files in start.items()}
    return content


def _layers(path: Path, extended_by: tuple[Path, ...] = ()) -> DictConfig:
    """A file's content over that of the file it extends."""
    content = OmegaConf.load(path)
    if not isinstance(content, DictConfig):
        raise ConfigError(f'{path}: expected keys with values, such as epochs: 50')
    if path in extended_by:
        raise ConfigError(f'{path}: extends: extends itself')
    base = content.pop('extends', None)
    replaced = [key for key in REPLACED if key == START or isinstance(content.get(key), str)]
    content = OmegaConf.create(_written_out(OmegaConf.to_container(content)))
    if base is None:
        return content
    beside = path.with_name(f'{base}.yaml')
    base_path = beside if beside.exists() else resources.find('train', base)
    below = _layers(base_path, (*extended_by, path))
    for key in replaced:
        if key in content:
            below.pop(key, None)
    return OmegaConf.merge(below, content)


def _with_default_losses(config: TrainConfig) -> TrainConfig:
    """The configuration with the usual loss of each task that it names none for."""
    usual = {task.name: ChoiceConfig(task.loss) for task in in_order(config.tasks)}
    return replace(config, losses=usual | config.losses)


def config_from_dict(content: dict[str, Any]) -> TrainConfig:
    """The configuration that `config_to_dict` made `content` of, in this or an earlier version."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), _written_out(content)))


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain dicts and lists."""
    return OmegaConf.to_container(OmegaConf.structured(config))


def check_config(config: TrainConfig, where: str) -> None:
    """Check what types do not say; raises ConfigError."""
    for found, expected, key in (
        (config.tasks, TASKS, 'tasks'),
        ([config.precision], PRECISIONS, 'precision'),
        ([config.batch_norm], BATCH_NORM, 'batch_norm'),
        ([data.part for data in config.data + config.validation], PARTS, 'data.part'),
    ):
        unknown = [name for name in found if name not in expected]
        if unknown:
            raise ConfigError(f'{where}: {key}: {", ".join(map(str, unknown))}: expected any of {", ".join(expected)}')
    for key in ('epochs', 'batch_size', 'loss_stride', 'validate_every'):
        if getattr(config, key) < 1:
            raise ConfigError(f'{where}: {key}: found {getattr(config, key)}, expected 1 or more')
    try:
        config.input_policy  # noqa: B018 - it checks itself
    except ValueError as error:
        raise ConfigError(f'{where}: input: {error}') from error
    measured = metrics_of(config.tasks)
    low, high = [*config.view.scale, 0, 0][:2]
    for wrong, message in (
        (
            not config.tasks or len(set(config.tasks)) != len(config.tasks),
            'tasks: expected one or more, without duplicates',
        ),
        ('segmentation' in config.tasks and not config.label_space, 'label_space: segmentation needs one'),
        (not config.data, 'data: expected at least one data set'),
        (len(config.view.scale) != 2 or not 0 < low <= high, 'view.scale: expected two factors, the smaller first'),
        (len(config.view.crop) != 2 or min(config.view.crop) < 32, 'view.crop: expected height and width from 32 on'),
        (min((data.weight for data in config.data), default=1.0) <= 0, 'data.weight: expected more than 0'),
        (not 0 <= config.view.class_balance <= 1, 'view.class_balance: expected a share, 0 to 1'),
        (not 0 <= config.view.copy_paste <= 1, 'view.copy_paste: expected a share, 0 to 1'),
        (len(config.depth_range) != 2, 'depth_range: expected two numbers'),
        (WHOLE in config.start and len(config.start) > 1, f'start: expected either {WHOLE} or parts of the network'),
        (
            bool(config.validation) and config.select_by not in measured,
            f'select_by: {config.select_by} is not a measured metric: expected one of {", ".join(measured)}',
        ),
        (config.distillation.temperature <= 0, 'distillation.temperature: expected more than 0'),
        (min(config.distillation.weights.values(), default=0) < 0, 'distillation.weights: expected 0 or more'),
        (not 0 <= config.average_decay < 1, 'average_decay: expected 0 to below 1'),
        (
            config.precision == 'fp16' and config.regime.name == 'ubernet',
            'the ubernet regime accumulates gradients: use bf16 or fp32',
        ),
    ):
        if wrong:
            raise ConfigError(f'{where}: {message}')


def _in_a_line(error: Exception) -> str:
    """What went wrong, behind the key that it happened at."""
    message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    key = getattr(error, 'full_key', None)
    return f'{key}: {message}' if key else message
