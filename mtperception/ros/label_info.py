# SPDX-License-Identifier: Apache-2.0
"""semantic/label_info, where vision_msgs is installed (pip has none; ROS does)."""

from typing import Any

from mtperception.messages.presentation import Presentation

try:
    from vision_msgs.msg import LabelInfo, VisionClass
except ImportError:
    LabelInfo = None


def label_info(presentation: Presentation) -> Any:
    """vision_msgs/LabelInfo of the published ids; only where `LabelInfo` is not None."""
    classes = [VisionClass(class_id=id_, class_name=name) for id_, name in presentation.id_names().items()]
    return LabelInfo(class_map=classes, threshold=presentation.settings.confidence_threshold)
