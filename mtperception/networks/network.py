# SPDX-License-Identifier: Apache-2.0
"""What a network says of itself: all that training, export and the contract tests ask of one."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import ClassVar

from torch import nn

from mtperception.errors import MTPerceptionError
from mtperception.networks.pretrained import PretrainedError, read_pretrained
from mtperception.tasks import TASKS

ENCODER, DECODER = 'encoder', 'decoder'


class NetworkError(MTPerceptionError, ValueError):
    """A network, an option or a set of tasks that does not exist."""


class Network(nn.Module):
    """The base of all networks. A subclass builds its layers and gives a `forward`; what differs from here it
    overrides.

    Its forward takes float32 N,3,H,W, ImageNet-normalised, of any H and W, and returns raw outputs N,C,h,w by name,
    each of a size of its own: `segmentation` (logits), `depth` (C = 1, signed metres), `normals` (C = 3, not
    normalised), `depth_confidence` (C = 2: the logarithm of the expected error in metres, and the depth that it speaks
    of) and, at least in training mode, the auxiliary ones.

    Args:
        num_classes: channels of segmentation; 0 without it.
        tasks: outputs to build, in the order they are asked for.

    Raises:
        NetworkError: for tasks that this network cannot be built for.
    """

    TASKS: ClassVar[tuple[str, ...]] = tuple(name for name, task in TASKS.items() if not task.about)
    """Tasks that it can be built for."""
    TOGETHER: ClassVar[tuple[str, ...]] = ()
    """Tasks that it supports only together."""
    AUXILIARY: ClassVar[Mapping[str, str]] = {}
    """Outputs that only training sees, each with the task whose annotations it learns from."""
    ENCODER_START: ClassVar[str] = ''
    """What its encoder starts from unless a configuration says: a source of `load_pretrained`; '': random weights."""

    def __init__(self, num_classes: int, tasks: Sequence[str]) -> None:
        super().__init__()
        self._check_tasks(tasks)
        self.num_classes = num_classes
        self.tasks = tuple(tasks)

    @classmethod
    def task_sets(cls) -> list[tuple[str, ...]]:
        """Every set of tasks that it can be built for; the largest is the last."""
        sets = [chosen for count in range(1, len(cls.TASKS) + 1) for chosen in combinations(cls.TASKS, count)]
        return [
            chosen
            for chosen in sets
            if not 0 < len({*chosen} & {*cls.TOGETHER}) < len(cls.TOGETHER)
            and {TASKS[task].about for task in chosen} - {''} <= {*chosen}
        ]

    @classmethod
    def _check_tasks(cls, tasks: Sequence[str]) -> None:
        if len(set(tasks)) == len(tasks) and any(set(tasks) == set(chosen) for chosen in cls.task_sets()):
            return
        together = f', {" and ".join(cls.TOGETHER)} only together' if cls.TOGETHER else ''
        judging = ''.join(f', {task} only with {TASKS[task].about}' for task in cls.TASKS if TASKS[task].about)
        expected = f'one or more of {", ".join(cls.TASKS)}, each once{together}{judging}'
        raise NetworkError(f'{cls.__name__} with tasks {", ".join(map(str, tasks)) or "none"}: expected {expected}')

    @property
    def outputs(self) -> dict[str, str]:
        """By name of each output, auxiliary ones last: the task whose annotations it learns from."""
        auxiliary = {name: task for name, task in self.AUXILIARY.items() if task in self.tasks}
        return {task: task for task in self.tasks} | auxiliary

    def out_channels(self, output: str) -> int:
        """Channels of an output."""
        task = TASKS[self.outputs[output]]
        return self.num_classes if task.has_classes else task.raw_channels

    def group_of(self, name: str) -> str:
        """The group that a parameter or buffer belongs to, by its name.

        A group has its own learning rate and can start from a file of its own. A group named like an output takes its
        steps when that output has annotations; all others are shared.

        As it stands: `<module>.<output>...`, as in `heads.depth.predict.bias`, belongs to the output's group,
        `encoder...` to the encoder's, anything else to the decoder's.
        """
        top, *below = name.split('.')
        if below and below[0] in self.outputs:
            return below[0]
        return ENCODER if top == ENCODER else DECODER

    def groups(self) -> list[str]:
        """The names of all groups, in the order of their first tensor."""
        return list(dict.fromkeys(self.group_of(name) for name in self.state_dict()))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every parameter, by its group."""
        groups: dict[str, list[nn.Parameter]] = {name: [] for name in self.groups()}
        for name, parameter in self.named_parameters():
            groups[self.group_of(name)].append(parameter)
        return groups

    def prepare_for_depth_range(self, near: float, far: float) -> None:
        """Make random weights predict a depth in the middle of a range, in metres: training need not start at 0 m.

        As it stands, the last bias of each group that learns depth becomes the range's geometric mean.
        """
        for output, task in self.outputs.items():
            if task == 'depth':
                biases = [x for name, x in self.named_parameters() if self.group_of(name) == output and 'bias' in name]
                if biases and biases[-1].numel() == 1:
                    nn.init.constant_(biases[-1], (near * far) ** 0.5)

    def load_pretrained(self, part: str, source: str) -> None:
        """Load weights that others published into a part of the network.

        As it stands, a part is a module that has `load_torchvision`, which takes a state dict in torchvision's layout,
        and `IMAGENET`, the name that torchvision gives these weights.

        Args:
            part: its name, such as 'encoder'.
            source: 'imagenet' (downloaded), or the path of a .safetensors file in their layout.

        Raises:
            PretrainedError: if the part takes no published weights, or the source is missing, unreadable, or of another
                network.
        """
        module = dict(self.named_modules()).get(part)
        if not hasattr(module, 'load_torchvision'):
            able = [name for name, found in self.named_modules() if hasattr(found, 'load_torchvision')]
            raise PretrainedError(
                f'{type(self).__name__} has no published weights for {part}: expected {" or ".join(able) or "none"}'
            )
        weights = read_pretrained(source, module.IMAGENET)
        try:
            module.load_torchvision(weights)
        except ValueError as error:
            raise PretrainedError(f'{source}: {error}') from error
