# SPDX-License-Identifier: Apache-2.0
"""semantic/labelspace for Hydra, where semantic_inference_msgs is installed."""

from typing import Any

from mtperception.messages.labelspace import labelspace_fields
from mtperception.messages.presentation import Presentation

try:
    from semantic_inference_msgs.msg import Labelspace
except ImportError:
    Labelspace = None


def labelspace(presentation: Presentation) -> Any:
    """semantic_inference_msgs/Labelspace of the published ids; only where `Labelspace` is not None."""
    return Labelspace(**labelspace_fields(presentation))
