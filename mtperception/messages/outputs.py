# SPDX-License-Identifier: Apache-2.0
"""The node's outputs: one table, with what each makes of a frame."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2

from mtperception import visualization
from mtperception.messages.camera_info import camera_info
from mtperception.messages.image_encoding import DEPTH_IMAGES, jpeg_image, mono8_image, normals_image, rgb8_image
from mtperception.messages.message import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, POINT_CLOUD, STRING, Message
from mtperception.messages.point_cloud import point_cloud
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.tasks import CLASSES, DIRECTIONS, METRES, SHARES, Task, in_order

FRAME_DEPTH, LATCHED_DEPTH = 2, 1
"""Depth of the queues of outputs, all reliable: volatile ones of frames, and transient local ones of descriptions."""
CLASSES_TOPIC = 'semantic/classes'
"""Relative name of the latched topic with the classes."""


@dataclass(frozen=True)
class Output:
    """One topic of the node."""

    topic: str
    """Relative name."""
    kind: str
    """Type of its messages."""
    tasks: tuple[str, ...]
    """The tasks that a model must have."""
    make: Callable[[Products], Message]
    needs_camera: bool = False
    """Not published without a usable camera_info."""


def _depth_image(products: Products) -> Message:
    return DEPTH_IMAGES[products.presentation.settings.depth_encoding](products.depth)


def _camera_info(products: Products) -> Message:
    return camera_info(products.intrinsics)


def _semantic_image(products: Products) -> Message:
    return mono8_image(products.ids)


def _confidence(products: Products) -> Message:
    return mono8_image(products.prediction.confidence)


def _depth_confidence(products: Products) -> Message:
    return mono8_image(products.depth_confidence)


def _mask(products: Products) -> Message:
    return mono8_image(cv2.LUT(products.prediction.labels, products.presentation.mask_table))


def _semantic_color(products: Products) -> Message:
    return rgb8_image(visualization.colorize_labels(products.labels, products.presentation.space))


def _overlay(products: Products) -> Message:
    return rgb8_image(products.overlay)


def _overlay_jpeg(products: Products) -> Message:
    return jpeg_image(products.overlay)


def _depth_color(products: Products) -> Message:
    return rgb8_image(visualization.colorize_depth(products.depth, *products.presentation.depth_range))


def _normals(products: Products) -> Message:
    return normals_image(products.prediction.normals)


def _points(products: Products) -> Message:
    kept = products.sampled
    return point_cloud(kept.points, kept.image, kept.ids, kept.prediction.confidence, kept.depth_confidence)


OUTPUTS = (
    Output('depth/image', IMAGE, ('depth',), _depth_image),
    Output('depth/camera_info', CAMERA_INFO, ('depth',), _camera_info, needs_camera=True),
    Output('depth/confidence', IMAGE, ('depth_confidence',), _depth_confidence),
    Output('depth/color', IMAGE, ('depth',), _depth_color),
    Output('semantic/image', IMAGE, ('segmentation',), _semantic_image),
    Output('semantic/camera_info', CAMERA_INFO, ('segmentation',), _camera_info, needs_camera=True),
    Output('semantic/confidence', IMAGE, ('segmentation',), _confidence),
    Output('semantic/mask', IMAGE, ('segmentation',), _mask),
    Output('semantic/color', IMAGE, ('segmentation',), _semantic_color),
    Output('overlay/image', IMAGE, ('segmentation',), _overlay),
    Output('overlay/image/compressed', COMPRESSED_IMAGE, ('segmentation',), _overlay_jpeg),
    Output('normals/image', IMAGE, ('normals',), _normals),
    Output('points', POINT_CLOUD, ('depth', 'segmentation'), _points, needs_camera=True),
)


PLAIN_IMAGES = {
    CLASSES: mono8_image,
    SHARES: mono8_image,
    METRES: DEPTH_IMAGES['32FC1'],
    DIRECTIONS: normals_image,
}
"""How a map is published as it is, by what it holds."""


def camera_topic(camera: str, topic: str) -> str:
    """The relative name of a topic of one of several cameras; an empty name is that of the only one."""
    return f'{camera}/{topic}' if camera else topic


def outputs_for(tasks: Iterable[str]) -> list[Output]:
    """The outputs that a model with these tasks has: those of `OUTPUTS`, and the plain map of what is none of them."""
    known = {task for output in OUTPUTS for task in output.tasks}
    others = [_plain(task) for task in in_order(tasks) if task.name not in known]
    return [output for output in OUTPUTS if set(output.tasks) <= set(tasks)] + others


def _plain(task: Task) -> Output:
    """The first map of a task as it is, on a topic of the task's name."""
    output = task.outputs[0]

    def make(products: Products) -> Message:
        return PLAIN_IMAGES[output.kind](products.prediction.map(output.name))

    return Output(f'{task.name}/image', IMAGE, (task.name,), make)


def classes(presentation: Presentation) -> Message:
    """What is latched on `CLASSES_TOPIC`."""
    return Message(STRING, {'data': presentation.classes_json()})
