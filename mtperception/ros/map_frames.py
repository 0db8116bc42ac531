# SPDX-License-Identifier: Apache-2.0
"""Frames for a map, out of messages: parts of one stamp, and where the camera was then."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rclpy.impl.rcutils_logger import RcutilsLogger
from sensor_msgs.msg import CameraInfo, Image

from mtperception.mapping.stamped_sets import StampedSets
from mtperception.messages.names import frame_name
from mtperception.messages.stamps import stamp_of
from mtperception.ros.map_poses import PoseSource

DEPTH, LABELS, CONFIDENCE, INFO, IMAGE = (
    'depth/image',
    'semantic/image',
    'semantic/confidence',
    'depth/camera_info',
    'image',
)
NEEDED = (DEPTH, LABELS, CONFIDENCE, INFO)
TYPES = {DEPTH: Image, LABELS: Image, CONFIDENCE: Image, INFO: CameraInfo}
PATIENCE_NS = 1_000_000_000
"""That a frame waits for its pose, by the stamps of newer frames."""
IMAGE_PATIENCE_NS = 500_000_000
"""That a frame waits for its image, by the stamps of newer messages."""
GIVEN_UP_IMAGES = 1000
"""Whose stamps are kept."""

Parts = Mapping[str, Any]
"""Messages of one stamp by topic."""


class MapFrames:
    """Puts frames together, each with its image, if images come, and its pose. All in the executor's thread.

    Args:
        has_images: whether images are wanted, and somebody publishes them.
        is_refused: whether a frame cannot be fused because of its classes; it counts that itself.
        fuse: called with the parts of a frame and `T_map_camera`, float64 4,4.
        drop: called with the reason why a frame is not fused, and more of it.
        logger: is told that frames have no image.
    """

    def __init__(
        self,
        has_images: Callable[[], bool],
        is_refused: Callable[[], bool],
        fuse: Callable[[Parts, np.ndarray], None],
        drop: Callable[[str, str], None],
        logger: RcutilsLogger,
    ) -> None:
        self.poses: PoseSource | None = None
        """Where frames get their poses from; needed before the first message."""
        self._has_images, self._is_refused, self._fuse, self._drop = has_images, is_refused, fuse, drop
        self._logger = logger
        self._sets = StampedSets(self._take_incomplete)
        self._images_given_up: deque[int] = deque(maxlen=GIVEN_UP_IMAGES)
        """Stamps of images that waited in vain: what is made of them may still come, and is fused without colour."""
        self._misses_images = False
        """Whether a frame waited in vain since the newest image: those that follow do not wait, until one comes."""
        self._waiting: Parts | None = None
        """The frame whose pose is still to come: transforms may be late by more than a frame."""
        self._next: Parts | None = None
        """The newest one after it."""

    def take(self, topic: str, message: Any) -> None:
        """Add a message of one of the topics above."""
        stamp_ns = stamp_of(message)
        needed = (*NEEDED, IMAGE) if self._needs_image(stamp_ns) else NEEDED
        if topic == IMAGE:
            self._misses_images = False
        parts = self._sets.add(topic, stamp_ns, message, needed)
        if parts is not None:
            self._take_frame(parts)
        self._sets.give_up_lacking(NEEDED, stamp_ns - IMAGE_PATIENCE_NS)

    def fuse_waiting(self) -> None:
        """Fuse the frame that waits for its pose, if the pose is known or will not come any more."""
        while self._waiting is not None:
            parts, stamp_ns = self._waiting, stamp_of(self._waiting[DEPTH])
            newest_ns = stamp_of((self._next or parts)[DEPTH])
            pose, why = self.poses.find(frame_name(parts[DEPTH].header.frame_id), stamp_ns)
            may_wait = 0 <= newest_ns - stamp_ns <= PATIENCE_NS
            if may_wait and self.poses.may_improve(stamp_ns, is_known=pose is not None):
                return
            self._waiting, self._next = self._next, None
            if pose is None:
                self._drop('no pose', why)
            elif not self._is_refused():  # its classes may have changed while it waited
                self._fuse(parts, pose)

    def clear(self) -> None:
        """Forget all that waits."""
        self._sets.clear()
        self._waiting = self._next = None
        self._misses_images = False

    def _take_frame(self, parts: Parts) -> None:
        """Fuse a frame as soon as its pose is known."""
        if self._is_refused():
            return
        if self._waiting is None:
            self._waiting = parts
        else:
            if self._next is not None:
                self._drop('busy', 'a newer frame came while one before it waited for its pose')
            self._next = parts
        self.fuse_waiting()

    def _needs_image(self, stamp_ns: int) -> bool:
        """Whether a frame is to wait for its image: if images come, and this one has not been given up."""
        return not self._misses_images and stamp_ns not in self._images_given_up and self._has_images()

    def _take_incomplete(self, stamp_ns: int, parts: Parts) -> None:
        """Fuse a set whose image was lost without it, and count one that lacks other parts.

        An image alone is of a frame that is not answered, or not yet.
        """
        found = [name for name in NEEDED if name in parts]
        missing = [name for name in NEEDED if name not in parts]
        if not missing:
            self._logger.warning(f'no {IMAGE} comes for a frame: it is fused without colour', once=True)
            self._misses_images = True
            self._take_frame(dict(parts))
        elif found:
            self._drop('incomplete', f'found {", ".join(found)}, and no {", ".join(missing)} of the same stamp')
        else:
            self._images_given_up.append(stamp_ns)
