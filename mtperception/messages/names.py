# SPDX-License-Identifier: Apache-2.0
"""Names of topics and frames."""

TRANSPORTS = ('/compressed', '/compressedDepth')
"""What image_transport adds to the name of an image topic."""


def sibling(topic: str, name: str) -> str:
    """A topic in the namespace of another: image -> camera_info, /camera/image_raw -> /camera/camera_info."""
    namespace, slash, _ = topic.rpartition('/')
    return f'{namespace}{slash}{name}'


def camera_info_topic(image_topic: str) -> str:
    """Where the camera of an image topic is by convention: beside it, whatever the transport."""
    for transport in TRANSPORTS:
        image_topic = image_topic.removesuffix(transport)
    return sibling(image_topic, 'camera_info')


def frame_name(frame: str) -> str:
    """A frame's name without the slash that ROS 1 put before it."""
    return frame.removeprefix('/')
