# SPDX-License-Identifier: Apache-2.0
"""For tests: what is in a video file, by OpenCV alone."""

import struct

import cv2


def read_video(path):
    """All RGB images, and how many are shown per second."""
    capture = cv2.VideoCapture(str(path))
    images = []
    found, image = capture.read()
    while found:
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        found, image = capture.read()
    return images, capture.get(cv2.CAP_PROP_FPS)


def with_durations(content, durations):
    """The bytes of an MP4 file that OpenCV wrote, with other durations of the images, in the units of its clock.

    The table of durations (stts; ISO 14496-12, 8.6.1.2) grows, and so do the boxes around it; the images are before it.
    """
    at = content.index(b'stts') - 4
    entries = b''.join(struct.pack('>II', 1, duration) for duration in durations)
    box = struct.pack('>I4sII', 16 + len(entries), b'stts', 0, len(durations)) + entries
    end = at + struct.unpack_from('>I', content, at)[0]
    grown = bytearray(content[:at] + box + content[end:])
    for name in (b'moov', b'trak', b'mdia', b'minf', b'stbl'):
        start = content.index(name, content.index(b'moov')) - 4
        size = struct.unpack_from('>I', content, start)[0]
        struct.pack_into('>I', grown, start, size + len(box) - (end - at))
    return bytes(grown).replace(b'edts', b'free')  # the edit list ends the video after its old duration


def turned_right(content, height):
    """The bytes of an MP4 file that OpenCV wrote, to be shown turned by a quarter clockwise (14496-12, 8.3.2)."""
    turned = bytearray(content)
    matrix = content.index(b'tkhd') + 44  # of version 0 of the box
    struct.pack_into('>9i', turned, matrix, 0, 1 << 16, 0, -1 << 16, 0, 0, height << 16, 0, 1 << 30)
    return bytes(turned)
