"""The node's outputs: one table, and the products of a frame that each entry publishes, made only when asked for."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header

from mtperception import visualization
from mtperception.geometry import back_project
from mtperception.ros import conversions
from mtperception.ros.presentation import Presentation
from mtperception.types import Intrinsics, Prediction

FRAME_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Products:
    """What can be published of one frame. Each product is made on first use and shared by the outputs that need it.

    Args:
        header: of the input image: stamp and frame of every output.
        image: uint8 H,W,3, RGB, the input.
        prediction: the maps, of the input's size or smaller.
        intrinsics: the camera at the size of the input, if it is known.
        presentation: how to show them.
    """

    def __init__(
        self,
        header: Header,
        image: np.ndarray,
        prediction: Prediction,
        intrinsics: Intrinsics | None,
        presentation: Presentation,
    ) -> None:
        self.header = header
        self.prediction = prediction
        self.presentation = presentation
        self._image = image
        self._intrinsics = intrinsics

    @cached_property
    def image(self) -> np.ndarray:
        """uint8 h,w,3: the input at the size of the maps."""
        height, width = self.prediction.shape
        if self._image.shape[:2] == (height, width):
            return self._image
        return cv2.resize(self._image, (width, height), interpolation=cv2.INTER_AREA)

    @cached_property
    def intrinsics(self) -> Intrinsics | None:
        """The camera at the size of the maps."""
        height, width = self.prediction.shape
        return self._intrinsics and self._intrinsics.resized(width, height)

    @cached_property
    def labels(self) -> np.ndarray:
        """uint8 h,w: index in the published label space, 255 = unknown."""
        return self.presentation.labels(self.prediction.labels, self.prediction.confidence)

    @cached_property
    def ids(self) -> np.ndarray:
        """uint8 h,w: published ids."""
        return cv2.LUT(self.labels, self.presentation.id_table)

    @cached_property
    def depth(self) -> np.ndarray:
        """float32 h,w: metres, 0 = invalid."""
        return self.presentation.valid_depth(self.prediction.depth)

    @cached_property
    def overlay(self) -> np.ndarray:
        """uint8 h,w,3: the labels' colours over the input."""
        alpha = self.presentation.settings.overlay_alpha
        return visualization.overlay(self.image, self.labels, self.presentation.space, alpha)


def _depth_image(products: Products) -> Image:
    return conversions.DEPTH_IMAGES[products.presentation.settings.depth_encoding](products.depth, products.header)


def _camera_info(products: Products) -> CameraInfo:
    return conversions.camera_info_from(products.intrinsics, products.header)


def _semantic_image(products: Products) -> Image:
    return conversions.mono8_image(products.ids, products.header)


def _confidence(products: Products) -> Image:
    return conversions.mono8_image(products.prediction.confidence, products.header)


def _mask(products: Products) -> Image:
    mask = cv2.LUT(products.prediction.labels, products.presentation.mask_table)
    return conversions.mono8_image(mask, products.header)


def _semantic_color(products: Products) -> Image:
    colors = visualization.colorize_labels(products.labels, products.presentation.space)
    return conversions.rgb8_image(colors, products.header)


def _overlay(products: Products) -> Image:
    return conversions.rgb8_image(products.overlay, products.header)


def _overlay_jpeg(products: Products) -> CompressedImage:
    return conversions.jpeg_image(products.overlay, products.header)


def _depth_color(products: Products) -> Image:
    colors = visualization.colorize_depth(products.depth, *products.presentation.depth_range)
    return conversions.rgb8_image(colors, products.header)


def _normals(products: Products) -> Image:
    return conversions.normals_image(products.prediction.normals, products.header)


def _points(products: Products) -> PointCloud2:
    stride = products.presentation.settings.point_stride
    kept = np.s_[::stride, ::stride]
    return conversions.point_cloud(
        back_project(products.depth, products.intrinsics, stride),
        products.image[kept],
        products.ids[kept],
        products.prediction.confidence[kept],
        products.header,
    )


@dataclass(frozen=True)
class Output:
    """One topic of the node."""

    topic: str
    """Relative name."""
    message_type: type
    tasks: tuple[str, ...]
    """The tasks that a model must have."""
    make: Callable[[Products], Any]
    needs_camera: bool = False
    """Not published without a usable camera_info."""


OUTPUTS = (
    Output('depth/image', Image, ('depth',), _depth_image),
    Output('depth/camera_info', CameraInfo, ('depth',), _camera_info, needs_camera=True),
    Output('depth/color', Image, ('depth',), _depth_color),
    Output('semantic/image', Image, ('segmentation',), _semantic_image),
    Output('semantic/camera_info', CameraInfo, ('segmentation',), _camera_info, needs_camera=True),
    Output('semantic/confidence', Image, ('segmentation',), _confidence),
    Output('semantic/mask', Image, ('segmentation',), _mask),
    Output('semantic/color', Image, ('segmentation',), _semantic_color),
    Output('overlay/image', Image, ('segmentation',), _overlay),
    Output('overlay/image/compressed', CompressedImage, ('segmentation',), _overlay_jpeg),
    Output('normals/image', Image, ('normals',), _normals),
    Output('points', PointCloud2, ('depth', 'segmentation'), _points, needs_camera=True),
)


def outputs_for(tasks: Iterable[str]) -> list[Output]:
    """The outputs that a model with these tasks has."""
    return [output for output in OUTPUTS if set(output.tasks) <= set(tasks)]
