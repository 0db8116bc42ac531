"""The life of one frame in the node: message in, prediction, messages out."""

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mtperception.interface.presentation import Presentation
from mtperception.interface.products import Products
from mtperception.predictor import Predictor
from mtperception.ros.conversions import (
    RefusedCameraInfoError,
    RefusedImageError,
    compressed_to_rgb,
    image_to_rgb,
    intrinsics_from,
)
from mtperception.ros.monitor import Monitor
from mtperception.types import Intrinsics

CAMERA_INFO_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Frame:
    """An image as it arrived."""

    message: Image | CompressedImage
    camera_info: CameraInfo | None
    """The newest at that time."""
    received: float
    """Monotonic seconds."""

    @property
    def stamp_ns(self) -> int:
        """When the image was taken."""
        stamp = self.message.header.stamp
        return stamp.sec * 10**9 + stamp.nanosec


class FrameProcessor:
    """Answers frames, one at a time, in the worker's thread.

    Args:
        predictor: the model.
        publish: publishes the products of a frame, with the header of its image, to whoever subscribes.
        presentation: gives the current presentation.
        monitor: counts and times.
        logger: the node's.
    """

    def __init__(
        self,
        predictor: Predictor,
        publish: Callable[[Products, Header], None],
        presentation: Callable[[], Presentation],
        monitor: Monitor,
        logger: RcutilsLogger,
    ) -> None:
        self._predictor = predictor
        self._publish = publish
        self._presentation = presentation
        self._monitor = monitor
        self._logger = logger
        self._without_camera_since: float | None = None

    def handle(self, frame: Frame) -> None:
        """Answer a frame, or refuse it: counted, and reported once per kind. Never raises."""
        try:
            self._answer(frame)
        except RefusedImageError as error:
            self.refuse(error.kind, str(error))
        except Exception as error:  # noqa: BLE001 - the worker's boundary: a frame that fails must not end the node
            if rclpy.ok():  # else ROS was shut down under this frame
                self.refuse('failure', f'{type(error).__name__}: {error}')
                self._logger.debug(traceback.format_exc())

    def refuse(self, kind: str, reason: str) -> None:
        """Count a refused message; report the first of its kind, then one now and then."""
        if self._monitor.refusals.add(kind, reason):
            self._logger.warning(f'refused ({kind}): {reason}')

    def remark(self, kind: str, text: str) -> None:
        """Count something odd about a message that is used all the same; say it once."""
        if self._monitor.remarks.add(kind, text):
            self._logger.warning(text)

    def _answer(self, frame: Frame) -> None:
        started = time.monotonic()
        message = frame.message
        image = compressed_to_rgb(message) if isinstance(message, CompressedImage) else image_to_rgb(message)
        intrinsics = self._intrinsics(frame, image)
        converted = time.monotonic()
        fresh = self._prepare(image)
        predicting = time.monotonic()
        prediction = self._predictor(image, intrinsics)
        predicted = time.monotonic()
        self._publish(Products(image, prediction, intrinsics, self._presentation()), message.header)
        published = time.monotonic()
        self._monitor.answer()
        if fresh:
            return  # this frame waited for the preparation: kept out of the latency window
        stages = dict(prediction.latency_ms)
        backend_ms = sum(stages.get(stage, 0.0) for stage in ('upload', 'inference', 'download'))
        # What the predictor does around the backend (resizing, focal scale) belongs to the conversions.
        around_ms = (predicted - predicting) * 1e3 - backend_ms
        stages['convert'] = (converted - started) * 1e3 + around_ms
        stages['publish'] = (published - predicted) * 1e3
        stages['total'] = (published - frame.received) * 1e3
        self._monitor.ledger.add(stages)

    def _prepare(self, image: np.ndarray) -> bool:
        """Prepare the backend for a new size; True if it had to be."""
        height, width = image.shape[:2]
        if self._predictor.is_prepared(width, height):
            return False
        self._logger.info(f'preparing for images of {width}x{height}')
        self._monitor.preparing = True
        try:
            self._predictor.prepare(width, height)
        finally:
            self._monitor.preparing = False
        return True

    def _intrinsics(self, frame: Frame, image: np.ndarray) -> Intrinsics | None:
        """The camera at the image's size; None without a usable camera_info: nothing is invented."""
        if frame.camera_info is None:
            self._miss_camera(frame.received)
            return None
        self._without_camera_since = None
        height, width = image.shape[:2]
        try:
            return intrinsics_from(frame.camera_info, width, height)
        except RefusedCameraInfoError as error:
            self.remark(error.kind, f'camera_info not used: {error}')
            return None

    def _miss_camera(self, now: float) -> None:
        """Warn once that no camera_info comes; at the start it may be late."""
        if self._without_camera_since is None:
            self._without_camera_since = now
        if now - self._without_camera_since > CAMERA_INFO_PATIENCE_S:
            self.remark(
                'no camera_info',
                'no camera_info: depth is not scaled to the camera, and points and */camera_info are not published; '
                'remap camera_info to its topic',
            )
