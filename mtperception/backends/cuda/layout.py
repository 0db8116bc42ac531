# SPDX-License-Identifier: Apache-2.0
"""All maps in one flat buffer, so that one copy moves them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch

ALIGNMENT = 256
"""Bytes; that of device memory as CUDA gives it out, at which every type is loaded and stored in the widest way."""


class Slot(NamedTuple):
    """The place of one map: bytes `start` to `end` of the buffer."""

    start: int
    end: int
    dtype: torch.dtype
    shape: torch.Size


@dataclass(frozen=True)
class MapLayout:
    """Where each map lies in a buffer of `size` bytes."""

    slots: Mapping[str, Slot]
    size: int

    @classmethod
    def of(cls, maps: Mapping[str, torch.Tensor]) -> 'MapLayout':
        """A place for maps of these names, types and shapes, in their order."""
        slots, end = {}, 0
        for name, map_ in maps.items():
            start = -(-end // ALIGNMENT) * ALIGNMENT
            end = start + map_.numel() * map_.element_size()
            slots[name] = Slot(start, end, map_.dtype, map_.shape)
        return cls(slots, end)

    def views(self, buffer: torch.Tensor) -> dict[str, torch.Tensor]:
        """The maps in a buffer, uint8 and flat, on any device: its memory, not copies of it."""
        return {
            name: buffer[slot.start : slot.end].view(slot.dtype).view(slot.shape) for name, slot in self.slots.items()
        }
