# SPDX-License-Identifier: Apache-2.0
"""Images serialised as they go over the wire: CDR, little-endian.

rclpy publishes bytes as they are. A message object costs two more copies of the pixels: into its own array, and from
there into the middleware's message, which is then serialised.
"""

import struct

from std_msgs.msg import Header

from mtperception.messages.message import Message

_CDR_LITTLE_ENDIAN = b'\x00\x01\x00\x00'
_ALIGNMENT = 4
"""Alignment of numbers of four bytes, counted from the end of the mark above."""


def serialized_image(message: Message, header: Header) -> bytes:
    """The bytes of a sensor_msgs/Image with a header of its own, as `serialize_message` gives them.

    The one copy of the pixels that is left here is the one that puts them behind the other fields.
    """
    fields, stamp = message.fields, header.stamp
    start = struct.pack('<iI', stamp.sec, stamp.nanosec) + _text(header.frame_id)
    start = _aligned(start) + struct.pack('<II', fields['height'], fields['width']) + _text(fields['encoding'])
    start = _aligned(start + struct.pack('<B', fields['is_bigendian']))
    start += struct.pack('<II', fields['step'], fields['data'].size)
    return b''.join((_CDR_LITTLE_ENDIAN, start, memoryview(fields['data'])))


def _text(text: str) -> bytes:
    """Its length with the closing zero, then both."""
    encoded = text.encode() + b'\0'
    return struct.pack('<I', len(encoded)) + encoded


def _aligned(data: bytes) -> bytes:
    """Padded up to the next number of four bytes."""
    return data + bytes(-len(data) % _ALIGNMENT)
