# SPDX-License-Identifier: Apache-2.0
"""The configuration of a training run; `config_file` reads it."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from mtperception.data.transforms import ViewConfig
from mtperception.errors import MTPerceptionError
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.labels import NO_CLASSES, LabelSpace, load_label_space
from mtperception.networks import NETWORKS, network_class

AUTO = 'auto'
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
    """How the model sees images: in validation and in all later use."""

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
class ConsistencyConfig:
    """Answers that stay the same when an image changes a little, as the frames of a video do: the network is compared
    with its averaged weights, which see each image a second time, moved, zoomed and relit at random."""

    weights: dict[str, float] = field(default_factory=dict)
    """By task, of the loss against the second look. None: there is no second look."""
    shift: float = 0.03
    """Largest, as a share of the image's width and height."""
    zoom: float = 0.05
    """Largest relative change of the size."""
    light: float = 0.15
    """Largest relative change of the exposure."""
    noise: float = 3.0
    """Standard deviation, grey levels of 255."""


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
    encoder: str = AUTO
    """'auto' (what the network starts from: `Network.ENCODER_START`), 'imagenet' (torchvision's weights, downloaded), a
    .safetensors file in their layout, or '' for random weights."""
    start: dict[str, list[str]] = field(default_factory=dict)
    """What to start from: a list of checkpoints, model directories or names of models, whose weights are taken instead
    of the encoder's. Of several the mean, which helps if they share a starting point (Wortsman et al., ICML 2022).

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
    consistency: ConsistencyConfig = field(default_factory=ConsistencyConfig)
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
    """Decay of the moving average of the weights, which is validated and exported; 0: no averaging."""
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
    """Licence of the resulting weights and of the data, in words; stored in the card."""

    def __post_init__(self) -> None:
        """Say what 'auto' means, so that a run and its card tell it."""
        if self.encoder == AUTO:
            known = self.network.name in NETWORKS
            self.encoder = network_class(self.network.name).ENCODER_START if known else ''

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
