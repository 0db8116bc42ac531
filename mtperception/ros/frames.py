# SPDX-License-Identifier: Apache-2.0
"""The life of frames in the node: messages in, predictions, messages out."""

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass, replace

import numpy as np
import rclpy
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtperception.backends import PreparationError
from mtperception.messages import (
    RefusedCameraInfoError,
    RefusedImageError,
    compressed_to_rgb,
    image_to_rgb,
    intrinsics_from,
)
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.predictor import Predictor
from mtperception.ros.camera import Camera
from mtperception.ros.preparation import NoRoomError, Preparation
from mtperception.ros.worker import LatestWorker
from mtperception.types import Intrinsics, Prediction

BACKEND_STAGES = ('upload', 'inference', 'download')
MEETINGS = 30
"""So often frames of a size come together before a batch is prepared for them: a second of cameras in step."""


@dataclass(frozen=True)
class ReceivedImage:
    """An image as it arrived."""

    camera: Camera
    message: Image | CompressedImage
    camera_info: CameraInfo | None
    """The newest at that time."""
    received: float
    """Monotonic seconds."""
    has_waited: bool = False
    """Whether it had to wait for a preparation."""


@dataclass(frozen=True)
class DecodedFrame:
    """A frame whose image can be used."""

    frame: ReceivedImage
    image: np.ndarray
    """uint8 H,W,3, RGB."""
    intrinsics: Intrinsics | None
    convert_ms: float

    @property
    def camera(self) -> Camera:
        """That of the frame."""
        return self.frame.camera

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the image."""
        height, width = self.image.shape[:2]
        return width, height


class FrameProcessor:
    """Answers frames, in the worker's thread. Those of a new size wait until it is prepared, in another thread.

    Compressed images are decoded before, in a thread for each camera: one that takes long holds up its own camera only.

    Args:
        predictor: the model.
        presentation: gives the current presentation.
        logger: the node's.

    Attributes:
        submit: called with the camera and each frame that was decoded elsewhere: that of the worker.
        resume: called with the camera and each frame that has waited, in the thread of preparations: `put_back` of the
            worker.
    """

    def __init__(self, predictor: Predictor, presentation: Callable[[], Presentation], logger: RcutilsLogger) -> None:
        self._predictor = predictor
        self._presentation = presentation
        self._logger = logger
        self.submit: Callable[[Camera, DecodedFrame], None] = lambda camera, frame: None
        self.resume: Callable[[Camera, DecodedFrame], None] = lambda camera, frame: None
        self._context = copy_context()
        """In which the core logs for this node."""
        self._decoders: dict[Camera, LatestWorker[ReceivedImage]] = {}
        self._preparation: Preparation[DecodedFrame | None] = Preparation(
            self._prepare, self._drop, self._resume, self._refuse, predictor.backend.max_prepared
        )
        self._meetings: Counter[tuple[int, int, int]] = Counter()

    def decode_aside(self, frame: ReceivedImage) -> None:
        """Decode a frame in its camera's own thread and `submit` it; the newest wins. Returns at once."""
        decoder = self._decoders.get(frame.camera)
        if decoder is None:
            decoder = self._context.run(LatestWorker, self._decode_all, self._drop, name='perception decoder')
            self._decoders[frame.camera] = decoder
        decoder.submit(frame.camera, frame)

    def handle(self, frames: Sequence[ReceivedImage | DecodedFrame]) -> None:
        """Answer what has arrived, one frame of each camera at most; those of a size may run together.

        Never raises: what goes wrong is counted as refused, with the cameras that it concerns.
        """
        decoded: list[DecodedFrame] = []
        for frame in frames:
            with self._guarded([frame.camera]):
                each = frame if isinstance(frame, DecodedFrame) else self._decode(frame)
                if self._predictor.is_prepared(*each.size) or not self._waits(each):
                    decoded.append(each)
        self._note_meetings(decoded)
        for indices in self._predictor.batches([each.size for each in decoded]):
            batch = [decoded[index] for index in indices]
            with self._guarded([each.frame.camera for each in batch]):
                self._answer(batch)

    def is_preparing(self, camera: Camera) -> bool:
        """Whether a frame of this camera waits for a preparation."""
        return self._preparation.is_waiting(camera)

    def forget(self) -> None:
        """Forget the frames that wait for a decoder or a preparation."""
        for decoder in self._decoders.values():
            decoder.clear()
        self._preparation.forget()

    def close(self) -> None:
        """End the decoders; wait for a preparation in hand. Once no more frames come to `handle`, none follows it."""
        for decoder in self._decoders.values():
            decoder.end()
        self._preparation.close()

    def _waits(self, frame: DecodedFrame) -> bool:
        """Let a frame wait until its size is prepared; False if it has just been."""
        try:
            self._preparation.wait(frame.camera, (*frame.size, 1), frame)
        except NoRoomError:
            if not self._predictor.is_prepared(*frame.size):
                raise
            return False
        return True

    @contextmanager
    def _guarded(self, cameras: Sequence[Camera]) -> Iterator[None]:
        """The worker's boundary: a frame that fails must not end the node, nor take others along."""
        try:
            yield
        except RefusedImageError as error:
            kind, reason = error.kind, str(error)
        except NoRoomError as error:
            kind, reason = 'memory', str(error)
        except Exception as error:  # noqa: BLE001 - see above
            if not rclpy.ok():
                return  # ROS was shut down under this frame
            kind, reason = 'failure', f'{type(error).__name__}: {error}'
            self._logger.debug(traceback.format_exc())
        else:
            return
        for camera in cameras:
            camera.refuse(kind, reason)

    def _decode_all(self, frames: Sequence[ReceivedImage]) -> None:
        for frame in frames:
            with self._guarded([frame.camera]):
                self.submit(frame.camera, self._decode(frame))

    def _decode(self, frame: ReceivedImage) -> DecodedFrame:
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
                self._publish(decoded, prediction, predicting_ms)

    def _publish(self, decoded: DecodedFrame, prediction: Prediction, predicting_ms: float) -> None:
        """Publish what is subscribed to of a frame; if that is anything, count it, and its milliseconds by stage."""
        started = time.monotonic()
        frame = decoded.frame
        prediction = frame.camera.rescale(prediction, decoded.intrinsics)
        products = Products(decoded.image, prediction, decoded.intrinsics, self._presentation())
        if not frame.camera.publishers.publish(products, frame.message.header):
            if not frame.camera.publishers.has_subscribers():
                frame.camera.monitor.forget()  # all have left: nobody waits for it
            return
        published = time.monotonic()
        frame.camera.monitor.answer()
        if frame.has_waited:
            return
        stages = dict(prediction.latency_ms)
        # What the predictor does around the backend (resizing, focal scale) belongs to the conversions.
        backend_ms = sum(stages.get(stage, 0.0) for stage in BACKEND_STAGES)
        stages['convert'] = decoded.convert_ms + predicting_ms - backend_ms
        stages['publish'] = (published - started) * 1e3
        stages['total'] = (published - frame.received) * 1e3
        stages['overhead'] = stages['total'] - backend_ms
        frame.camera.monitor.ledger.add(stages)

    def _note_meetings(self, decoded: Sequence[DecodedFrame]) -> None:
        """Have a batch prepared, for which no frame waits, where so many of one size have often come together."""
        if self._predictor.max_batch == 1:
            return
        sizes = Counter(self._predictor.working_size(*each.size) for each in decoded)
        for size, count in sizes.items():
            shape = (*size, count)
            self._meetings[shape] += 1
            is_due = count > 1 and self._meetings[shape] % MEETINGS == 0
            if is_due and not self._predictor.is_prepared(*shape):
                with suppress(PreparationError):  # a short while ago it failed, or was dropped
                    self._preparation.wait(shape, shape, None)

    def _drop(self, frame: ReceivedImage | DecodedFrame | None) -> None:
        if frame is not None:
            frame.camera.monitor.drop()

    # In the thread of preparations

    def _prepare(self, shape: tuple[int, int, int]) -> None:
        width, height, batch = shape
        self._logger.info(f'preparing for images of {width}x{height}' + (f', {batch} at a time' if batch > 1 else ''))
        self._predictor.prepare(width, height, batch)

    def _resume(self, decoded: DecodedFrame | None) -> None:
        if decoded is not None:
            decoded.camera.monitor.restart()
            self.resume(decoded.camera, replace(decoded, frame=replace(decoded.frame, has_waited=True)))

    def _refuse(self, frame: DecodedFrame | None, reason: str) -> None:
        if frame is not None:
            frame.camera.refuse('failure', reason)
        else:
            self._logger.warning(f'images run one by one: {reason}')


def _intrinsics(frame: ReceivedImage, image: np.ndarray) -> Intrinsics | None:
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
