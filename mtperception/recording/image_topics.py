# SPDX-License-Identifier: Apache-2.0
"""What is on a topic of images, by its first usable messages."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from mtperception.messages import RefusedMessageError, compressed_to_rgb, image_to_rgb
from mtperception.messages.depth_decoding import compressed_to_depth, image_to_depth, is_depth_encoding
from mtperception.messages.message import COMPRESSED_IMAGE, IMAGE
from mtperception.messages.names import frame_name
from mtperception.recording.bag_reader import BagReader

DECODERS: dict[str, Callable[[Any], np.ndarray]] = {IMAGE: image_to_rgb, COMPRESSED_IMAGE: compressed_to_rgb}
"""By the type of an image topic."""
DEPTH_DECODERS: dict[str, Callable[[Any], np.ndarray]] = {IMAGE: image_to_depth, COMPRESSED_IMAGE: compressed_to_depth}
"""Likewise, of one with depth."""
ENCODINGS: dict[str, Callable[[Any], str]] = {
    IMAGE: lambda message: message.encoding,
    COMPRESSED_IMAGE: lambda message: message.format,
}
"""What a message says of its pixels."""
COLOR, GREY, DEPTH, UNUSABLE = 'colour', 'grey', 'depth', 'unusable'
LOOKED_AT = 100
"""Messages: the first ones of a camera that starts can be damaged. More is looked at only if no other topic will do."""
GREY_LOOKED_AT = 10
"""Images: a camera of colours may see none at first, behind a lid or in the dark."""
OF_NO_USE = 3
"""Messages in an encoding that is not read: the others will not be in another."""


@dataclass(frozen=True)
class ImageTopic:
    """A topic of images."""

    topic: str
    content: str
    """`COLOR`, `GREY`, `DEPTH` or `UNUSABLE`."""
    frame_id: str = ''
    encoding: str = ''
    refusal: str = ''
    """Why its first refused message was refused; empty if none was, and for depth if one could be read."""


def look_at(reader: BagReader, topic: str, *, to_the_end: bool = False) -> ImageTopic:
    """Look at messages of a topic until it is clear what they are; those that are damaged are passed over.

    Args:
        reader: of the recording.
        topic: its name.
        to_the_end: whether to look for a usable image however many before it are not, which can take long.
    """
    connections = [x for x in reader.connections if x.topic == topic and x.kind in DECODERS]
    frame_id, encoding, refusal, greys, of_no_use = '', '', '', 0, 0
    depth: ImageTopic | None = None
    for connection, _, data in islice(reader.messages(connections), None if to_the_end else LOOKED_AT):
        try:
            message = reader.deserialized(data, connection.kind)
            encoding = ENCODINGS[connection.kind](message)
            frame_id = frame_id or frame_name(message.header.frame_id)
            if is_depth_encoding(encoding):
                depth = ImageTopic(topic, DEPTH, frame_id, encoding, refusal)
                DEPTH_DECODERS[connection.kind](message)
                return replace(depth, refusal='')
            if _has_color(DECODERS[connection.kind](message)):
                return ImageTopic(topic, COLOR, frame_id, encoding, refusal)
            greys += 1
        except RefusedMessageError as error:
            refusal = refusal or str(error)
            of_no_use += error.kind == 'encoding'
        if greys == GREY_LOOKED_AT or (of_no_use == OF_NO_USE and not to_the_end):
            break
    if depth:
        return replace(depth, refusal=refusal)
    if greys:
        return ImageTopic(topic, GREY, frame_id, encoding, refusal)
    return ImageTopic(topic, UNUSABLE, frame_id, encoding, refusal or 'no messages')


def _has_color(image: np.ndarray) -> bool:
    return bool((image != image[..., :1]).any())
