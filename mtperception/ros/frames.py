"""The life of frames in the node: messages in, predictions, messages out."""

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import rclpy
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtperception.backends import BackendUnavailableError, PreparationError
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.predictor import Predictor
from mtperception.ros.camera import Camera
from mtperception.ros.conversions import (
    RefusedCameraInfoError,
    RefusedImageError,
    compressed_to_rgb,
    image_to_rgb,
    intrinsics_from,
)
from mtperception.types import Intrinsics, Prediction

BACKEND_STAGES = ('upload', 'inference', 'download')
RETRY_AFTER_S = 30.0
"""For so long a size that the backend could not be prepared for is refused before it is tried again: a preparation may
take seconds, or minutes, in which no camera is answered."""


@dataclass(frozen=True)
class Frame:
    """An image as it arrived."""

    camera: Camera
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


@dataclass(frozen=True)
class DecodedFrame:
    """A frame whose image can be used."""

    frame: Frame
    image: np.ndarray
    """uint8 H,W,3, RGB."""
    intrinsics: Intrinsics | None
    convert_ms: float

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image."""
        height, width = self.image.shape[:2]
        return width, height


class FrameProcessor:
    """Answers frames, in the worker's thread.

    Args:
        predictor: the model.
        presentation: gives the current presentation.
        logger: the node's.

    Attributes:
        preparing: whether the backend is being prepared for a new image size.
        prepared_at: monotonic seconds when it was last: what came before has waited for that.
    """

    def __init__(self, predictor: Predictor, presentation: Callable[[], Presentation], logger: RcutilsLogger) -> None:
        self._predictor = predictor
        self._presentation = presentation
        self._logger = logger
        self.preparing = False
        self.prepared_at = float('-inf')
        self._failures: dict[tuple[int, int], tuple[float, str]] = {}

    def handle(self, frames: Sequence[Frame]) -> None:
        """Answer what has arrived, one frame of each camera at most; those of a size run together.

        Never raises: what goes wrong is counted as refused, with the cameras that it concerns.
        """
        decoded: list[DecodedFrame] = []
        for frame in frames:
            with self._guarded([frame.camera]):
                each = self._decode(frame)
                self._prepare(*each.size)  # which tells how many may run together
                decoded.append(each)
        for indices in self._predictor.batches([each.size for each in decoded]):
            batch = [decoded[index] for index in indices]
            with self._guarded([each.frame.camera for each in batch]):
                self._answer(batch)

    @contextmanager
    def _guarded(self, cameras: Sequence[Camera]) -> Iterator[None]:
        """The worker's boundary: a frame that fails must not end the node, nor take others along."""
        try:
            yield
        except RefusedImageError as error:
            kind, reason = error.kind, str(error)
        except Exception as error:  # noqa: BLE001 - see above
            if not rclpy.ok():
                return  # ROS was shut down under this frame
            kind, reason = 'failure', f'{type(error).__name__}: {error}'
            self._logger.debug(traceback.format_exc())
        else:
            return
        for camera in cameras:
            camera.refuse(kind, reason)

    def _decode(self, frame: Frame) -> DecodedFrame:
        started = time.monotonic()
        message = frame.message
        image = compressed_to_rgb(message) if isinstance(message, CompressedImage) else image_to_rgb(message)
        intrinsics = _intrinsics(frame, image)
        return DecodedFrame(frame, image, intrinsics, (time.monotonic() - started) * 1e3)

    def _answer(self, batch: Sequence[DecodedFrame]) -> None:
        started = time.monotonic()
        predictions = self._predictor.predict([each.image for each in batch], [each.intrinsics for each in batch])
        predicting_ms = (time.monotonic() - started) * 1e3
        for decoded, prediction in zip(batch, predictions, strict=True):
            with self._guarded([decoded.frame.camera]):
                latency_ms = self._publish(decoded, prediction, predicting_ms)
                decoded.frame.camera.monitor.answer()
                # What waited for a preparation, of its size or of another, is kept out of the latency window.
                if decoded.frame.received > self.prepared_at:
                    decoded.frame.camera.monitor.ledger.add(latency_ms)

    def _publish(self, decoded: DecodedFrame, prediction: Prediction, predicting_ms: float) -> dict[str, float]:
        """Publish what is subscribed to of a frame; its milliseconds by stage."""
        started = time.monotonic()
        frame = decoded.frame
        products = Products(decoded.image, prediction, decoded.intrinsics, self._presentation())
        frame.camera.publishers.publish(products, frame.message.header)
        published = time.monotonic()
        stages = dict(prediction.latency_ms)
        # What the predictor does around the backend (resizing, focal scale) belongs to the conversions.
        backend_ms = sum(stages.get(stage, 0.0) for stage in BACKEND_STAGES)
        stages['convert'] = decoded.convert_ms + predicting_ms - backend_ms
        stages['publish'] = (published - started) * 1e3
        stages['total'] = (published - frame.received) * 1e3
        stages['overhead'] = stages['total'] - backend_ms
        return stages

    def _prepare(self, width: int, height: int) -> None:
        """Prepare the backend for images of a size, if it is new."""
        if self._predictor.is_prepared(width, height):
            # Says that all of it is in use: else batches that are rare would be dropped first, and prepared anew.
            self._predictor.prepare(width, height)
            return
        if (width, height) in self._failures:
            failed_at, reason = self._failures[width, height]
            if time.monotonic() - failed_at < RETRY_AFTER_S:
                raise PreparationError(reason)
            del self._failures[width, height]
        self._logger.info(f'preparing for images of {width}x{height}')
        self.preparing = True
        try:
            self._predictor.prepare(width, height)
        except BackendUnavailableError as error:
            self._failures[width, height] = time.monotonic(), str(error)  # the error itself would keep the image
            raise
        finally:
            self.prepared_at = time.monotonic()  # first: who sees that it is over is to see when
            self.preparing = False


def _intrinsics(frame: Frame, image: np.ndarray) -> Intrinsics | None:
    """The camera at the image's size; None without a usable camera_info: nothing is invented."""
    frame.camera.note_camera_info(frame.camera_info is not None, frame.received)
    if frame.camera_info is None:
        return None
    height, width = image.shape[:2]
    try:
        return intrinsics_from(frame.camera_info, width, height)
    except RefusedCameraInfoError as error:
        frame.camera.remark(error.kind, f'camera_info not used: {error}')
        return None
