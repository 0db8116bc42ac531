# SPDX-License-Identifier: Apache-2.0
"""Names of topics."""


def sibling(topic: str, name: str) -> str:
    """A topic in the namespace of another: image -> camera_info, /camera/image_raw -> /camera/camera_info."""
    namespace, slash, _ = topic.rpartition('/')
    return f'{namespace}{slash}{name}'
