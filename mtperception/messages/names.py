# SPDX-License-Identifier: Apache-2.0
"""Names of topics and frames."""

from collections.abc import Mapping, Sequence

from mtperception.errors import InputError

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


def check_below_cameras(cameras: Sequence[str], topics: Mapping[str, str]) -> None:
    """Check that topics can stand behind the names of cameras.

    Args:
        cameras: names; an empty one has its topics without a name before them.
        topics: by the argument that gives each; empty ones are not given.

    Raises:
        InputError: for an absolute topic.
    """
    absolute = next((name for name, topic in topics.items() if topic.startswith('/')), '')
    if any(cameras) and absolute:
        raise InputError(
            f'{absolute}:={topics[absolute]} with cameras {list(cameras)}: expected the part after the names of the '
            'cameras, such as image_raw'
        )


def frame_name(frame: str) -> str:
    """A frame's name without the slash that ROS 1 put before it."""
    return frame.removeprefix('/')
