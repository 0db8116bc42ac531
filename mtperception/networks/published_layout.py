# SPDX-License-Identifier: Apache-2.0
"""What reading a checkpoint of a paper's authors gives."""

from typing import NamedTuple

import torch


class PublishedLayout(NamedTuple):
    """What a published checkpoint holds, under the names of a network of this package."""

    state_dict: dict[str, torch.Tensor]
    num_classes: int
    tasks: tuple[str, ...]
