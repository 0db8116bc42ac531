# SPDX-License-Identifier: Apache-2.0
"""For tests: messages of images of noise, and what is read of a bag of them."""

from contextlib import closing

import numpy as np
from bags import STORE, raw

from mtperception.recording.bag_reader import BagReader

COUNT = 150
"""Images of 14.4 kB of noise: with 2.2 MB, MCAP has three chunks of 768 KiB."""
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
IMAGE_DEFINITION = STORE.generate_msgdef('sensor_msgs/msg/Image', ros_version=2)[0].encode()
ALL = list(range(1, COUNT + 1))


def images(count=COUNT):
    return [('/image', raw(NOISE, stamp_ns=index + 1)) for index in range(count)]


def small_images(count=5):
    return [('/image', raw(NOISE[:2, :4], stamp_ns=index + 1)) for index in range(count)]


def read(path, topic='/image'):
    """Stamps of the images on a topic, and the notes."""
    with closing(BagReader(path)) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        stamps = [
            reader.deserialized(data, connection.kind).header.stamp.nanosec
            for connection, _, data in reader.messages(connections)
        ]
        return stamps, list(reader.notes)


def storage(bag):
    """The one storage file of a bag."""
    (file,) = (path for path in bag.iterdir() if path.suffix != '.yaml')
    return file
