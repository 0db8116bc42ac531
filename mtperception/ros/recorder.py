# SPDX-License-Identifier: Apache-2.0
"""A node that records `overlay/image` and `depth/color` side by side: a video, and a picture from time to time."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from mtperception.media import RealTimeVideo, VideoWriter, write_image
from mtperception.messages import image_to_rgb
from mtperception.messages.stamps import stamp_of
from mtperception.ros.fixed_parameters import fixed, read_once
from mtperception.ros.frame_counter import FrameCounter
from mtperception.ros.process import run_until_told_to_end
from mtperception.visualization import side_by_side

NODE = 'recorder'
VIDEO = 'overlay_depth.mkv'
"""Matroska: what was written can be played if the process is killed. An MP4 file cannot, its index comes last."""
PICTURE = 'picture_{}.png'
PARAMETERS = (
    fixed('out', 'recording', f'Folder for {VIDEO} and the pictures; created if missing.'),
    fixed('rate', 10.0, 'Frames per second of the video, which plays in the time of the stamps.', limits=(0.1, 1000)),
    fixed('picture_period', 3.0, 'Seconds of the stream from one PNG to the next.', limits=(0.1, 1e6)),
)
MAX_WAITING = 16
"""Images that may wait for the one with the same stamp; the oldest is given up."""


class Pairs:
    """Brings together the two images of one stamp, in whatever order they come."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[str, np.ndarray]] = {}

    def add(self, stamp_ns: int, name: str, image: np.ndarray) -> dict[str, np.ndarray] | None:
        """Both images by name if this completes a pair."""
        other, waiting = self._waiting.pop(stamp_ns, (name, None))
        if other != name:
            return {name: image, other: waiting}
        self._waiting[stamp_ns] = (name, image)
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return None


class Recorder(Node):
    """Shows each pair in the video until the next one. `close` writes the last of it, and its index.

    Pictures that an earlier recording left in the folder are removed.

    Raises:
        OSError: if the folder cannot be made or tidied up.
        ValueError: for a parameter that cannot be.
    """

    def __init__(self) -> None:
        super().__init__(NODE)
        values = read_once(self, PARAMETERS)
        self._out = Path(values['out'])
        self._out.mkdir(parents=True, exist_ok=True)
        _remove_pictures(self._out)
        self._file = VideoWriter(self._out / VIDEO, values['rate'])
        self._video = RealTimeVideo(self._file)
        self._period_ns = round(values['picture_period'] * 1e9)
        self._next_picture_ns = 0
        self._pictures = 0
        self._pairs = Pairs()
        qos = QoSProfile(depth=MAX_WAITING)
        for name in ('overlay/image', 'depth/color'):
            self.create_subscription(Image, name, lambda message, name=name: self._receive(name, message), qos)
        self._counter = FrameCounter(self, 'recorded')

    def close(self) -> None:
        """Finish the video."""
        self._file.close()
        self.get_logger().info(f'recorded {self._counter.count} images in {self._out}')

    def _receive(self, name: str, message: Image) -> None:
        stamp_ns = stamp_of(message)
        pair = self._pairs.add(stamp_ns, name, image_to_rgb(message))
        if pair is None:
            return
        picture = side_by_side(pair['overlay/image'], pair['depth/color'])
        self._video.write(picture, stamp_ns)
        self._counter.add()
        if stamp_ns >= self._next_picture_ns:
            self._pictures += 1
            write_image(self._out / PICTURE.format(self._pictures), picture)
            self._next_picture_ns = stamp_ns + self._period_ns


def _remove_pictures(folder: Path) -> None:
    for path in folder.glob(PICTURE.format('*')):
        if path.stem.rpartition('_')[2].isdecimal():
            path.unlink()


def main(arguments: Sequence[str] | None = None) -> int:
    """Record until SIGINT or SIGTERM comes; the exit status."""
    return run_until_told_to_end(NODE, Recorder, arguments)


if __name__ == '__main__':
    sys.exit(main())
