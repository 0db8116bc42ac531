# SPDX-License-Identifier: Apache-2.0
"""When to update which part of the network, where annotations are uneven: the regimes of the paper's Table III.

A network has the part `shared`, and one part for each output, its head.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence

from mtperception.errors import InputError

SHARED = 'shared'


class Regime(ABC):
    """Told of each batch; says which parts take their step now. The gradients of the others go on being added up."""

    @abstractmethod
    def due(self, images: int, annotated: Mapping[str, int]) -> set[str]:
        """The parts to update after a batch.

        Args:
            images: images in the batch, of all processes.
            annotated: by output, how many of them have the annotation that it learns from.
        """

    def state_dict(self) -> dict[str, int]:
        """What has been counted since the last updates."""
        return {}

    def load_state_dict(self, state: Mapping[str, int]) -> None:  # noqa: B027 - most count nothing
        """Go on from `state_dict`."""


class BlitzNet(Regime):
    """All parts after every batch, but a head is left intact until a batch has an annotation for it.

    Dvornik et al., ICCV 2017, section 3.3. With complete annotations, or a teacher's, everything is updated every time.
    """

    def __init__(self, outputs: Sequence[str]) -> None:
        self.outputs = tuple(outputs)

    def due(self, images: int, annotated: Mapping[str, int]) -> set[str]:
        """The shared part, and the heads that the batch has annotations for."""
        return {SHARED, *(output for output in self.outputs if annotated.get(output))}


class UberNet(Regime):
    """Gradients are added up until a part has seen enough examples (Kokkinos, CVPR 2017, section 3.2).

    Args:
        outputs: the network's.
        task_examples: annotated examples that a head waits for; 10 in the paper's Table III.
        shared_examples: examples, whatever they are annotated with, that the shared part waits for; 30 there.

    Raises:
        ValueError: for a number below 1.
    """

    def __init__(self, outputs: Sequence[str], task_examples: int = 10, shared_examples: int = 30) -> None:
        if min(task_examples, shared_examples) < 1:
            raise InputError(f'examples {task_examples} and {shared_examples}: expected 1 or more')
        self.needed = {SHARED: shared_examples, **dict.fromkeys(outputs, task_examples)}
        self.seen = dict.fromkeys(self.needed, 0)

    def due(self, images: int, annotated: Mapping[str, int]) -> set[str]:
        """The parts that have seen enough since their last update."""
        for part in self.seen:
            self.seen[part] += images if part == SHARED else annotated.get(part, 0)
        parts = {part for part, needed in self.needed.items() if self.seen[part] >= needed}
        self.seen.update(dict.fromkeys(parts, 0))
        return parts

    def state_dict(self) -> dict[str, int]:
        """Examples seen by part."""
        return dict(self.seen)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on counting."""
        self.seen.update(state)


REGIMES: dict[str, Callable[..., Regime]] = {'blitznet': BlitzNet, 'ubernet': UberNet}
