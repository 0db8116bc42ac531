# SPDX-License-Identifier: Apache-2.0
"""A node that plays a source of images as a camera would: `image` and `camera_info` with the same stamp."""

import re
import sys
import threading
import time
from collections.abc import Sequence

from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from mtperception.errors import SourceError
from mtperception.ros.conversions import camera_info_from, rgb8_image
from mtperception.ros.fixed_parameters import fixed, read_once
from mtperception.ros.frame_counter import ACKNOWLEDGED, FrameCounter
from mtperception.ros.process import ros_process, spinning
from mtperception.sources import Frame, images_only, open_source
from mtperception.sources.preloaded import Preloaded
from mtperception.sources.timeline import timeline

NODE = 'camera_player'
PARAMETERS = (
    fixed('source', 'synthetic', 'synthetic, webcam:N, or the path of an image, folder, video or ROS bag.'),
    fixed('rate', 0.0, "Images per second; 0: the source's own rate.", limits=(0, 1000)),
    fixed('loop', True, 'Start again at the end; otherwise the process exits.'),
    fixed('width', 640, 'Of the images of the synthetic source.', limits=(16, 8192)),
    fixed('height', 480, 'Of the images of the synthetic source.', limits=(16, 8192)),
    fixed('image_topic', '', 'Image topic of a bag; empty: the first in colour, else the first in grey.'),
    fixed('camera_file', '', 'ROS calibration file (camera_info YAML) for images without a camera.'),
    fixed('frame_id', 'camera_optical_frame', 'Of both messages.'),
    fixed(
        'preload',
        0,
        'Images read before the first is played, then played over and over; 0: read as they are due.',
        limits=(0, 100000),
    ),
    fixed('wait_for_subscriber', True, 'Wait for a subscriber before playing.'),
)
MAX_DELAY = 0.1
"""Seconds. What is later than this moves the schedule; smaller delays are made up for."""


class CameraPlayer(Node):
    """Publishes each frame when it is due; the stamp is the node's clock at that moment, as in a driver of a camera.

    A source that does not know its camera gives camera_info of zeros, which is how ROS says "not calibrated".

    Args:
        stop: set when it is to end; it reads no more images then, either.

    Raises:
        SourceError: if there is no such source, or an image to preload cannot be read.
        ValueError: for a parameter that cannot be.
    """

    def __init__(self, stop: threading.Event) -> None:
        super().__init__(NODE)
        self._stop = stop
        self._values = read_once(self, PARAMETERS)
        options = {name: self._values[name] for name in ('width', 'height', 'rate', 'image_topic', 'camera_file')}
        self._source = open_source(self._values['source'], images_only(**options))
        if self._values['preload']:
            self._source = Preloaded(self._source, self._values['preload'], stop.is_set)
        self._said: set[str] = set()
        reliable = QoSProfile(depth=5)
        self._images = self.create_publisher(Image, 'image', reliable)
        self._infos = self.create_publisher(CameraInfo, 'camera_info', reliable)
        self._counter = FrameCounter(self, 'published')

    def play(self) -> None:
        """Publish until it is to stop, or the source ends and is not looped.

        Raises:
            SourceError: if no frame can be read.
        """
        self.get_logger().info(f'playing {self._source.description}')
        self._say_notes()
        if self._values['wait_for_subscriber']:
            self._wait_for_subscriber()
        start = time.monotonic()
        for due, frame in timeline(self._source, self._values['rate'], self._values['loop']):
            delay = time.monotonic() - start - due
            start += delay if delay > MAX_DELAY else 0.0
            if self._stop.wait(max(0.0, -delay)):
                break
            self._publish(frame)
            self._say_notes()
        self._say_notes()
        self._images.wait_for_all_acked(ACKNOWLEDGED)
        self._counter.close()
        self.get_logger().info(f'published {self._counter.count} frames')

    def _say_notes(self) -> None:
        """Say what the source tells, each kind of thing once."""
        for note in self._source.notes:
            kind = re.sub(r'\d+', '', note)  # how many there are of it grows
            if kind not in self._said:
                self.get_logger().warning(note)
            self._said.add(kind)

    def _wait_for_subscriber(self) -> None:
        while self._images.get_subscription_count() == 0 and not self._stop.wait(0.02):
            pass

    def _publish(self, frame: Frame) -> None:
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._values['frame_id'])
        height, width = frame.image.shape[:2]
        info = CameraInfo(header=header, width=width, height=height)
        if frame.intrinsics is not None:
            info = camera_info_from(frame.intrinsics, header)
        self._infos.publish(info)
        self._images.publish(rgb8_image(frame.image, header))
        self._counter.add()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until its source ends or SIGINT or SIGTERM comes; the exit status."""
    with ros_process(arguments) as stop:
        try:
            player = CameraPlayer(stop)
            with spinning(player, stop):
                player.play()
        except (SourceError, ValueError) as error:
            get_logger(NODE).fatal(str(error))
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
