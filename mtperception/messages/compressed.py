# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CompressedImage to RGB, by its fields."""

import re
import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np

from mtperception.messages.decoder_messages import logged_decoder_messages
from mtperception.messages.errors import RefusedImageError
from mtperception.messages.image_decoding import DECODERS, check_size
from mtperception.messages.protocols import CompressedImage

_PNG_START = b'\x89PNG\r\n\x1a\n'
_PNG_SIZE_END, _PNG_HEADER_END = 24, 33
_PNG_GREY, _PNG_PALETTE = 0, 3
"""Colour types."""
_JPEG_START = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
_PROBES = tuple(
    b''.join(bytes([*piece, 0xFF, 0xD0 + number]) for number in (*range(8), *range(8)))
    for piece in ([(step * count) % 255 for count in range(1, 256)] for step in (37, 101, 218, 254))
)
"""Bytes that would be more of a picture, where its data are not complete: between all restart markers, one of which the
decoder may be waiting for."""
_MOSAIC = re.compile(r'(bayer_(?:rggb|bggr|gbrg|grbg))(?:8|16); *(?:jpeg|png) compressed *')
"""`format` of a mosaic; where another encoding follows, the transport has converted it."""
_PNG_NEEDED = frozenset((b'IHDR', b'PLTE', b'tRNS', b'eXIf', b'IDAT', b'IEND'))
"""Types of the chunks that pixels are made of, or turned by. Others are passed over: a text of a kilobyte can unpack to
megabytes."""
_PNG_CHUNK_FRAME = 12
"""Bytes of a chunk beside its data: length, type and check sum."""
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""
MAX_SEGMENTS = 20_000
"""Most segments of a file: a PNG of 12 megapixels has some thousand chunks, a JPEG some dozen segments."""
MAX_SCANS = 32
"""Most scans of a progressive JPEG. Encoders make 10, some up to 15; each is another pass over the whole picture."""
_JPEG_SCAN = 0xDA
_JPEG_MARKER = re.compile(b'\xff[^\x00\x01\xd0-\xd8\xff]')
"""One that ends a picture or begins a segment with a length; of the others, restart markers are inside of scans."""
_JPEG_PADDING = re.compile(b'\xff*')
# SOF0 to SOF15 (ITU-T T.81, table B.1); C4, C8 and CC between them are tables and an extension.
_JPEG_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def compressed_to_rgb(msg: CompressedImage) -> np.ndarray:
    """uint8 H,W,3, RGB, of a JPEG or PNG; gray is repeated in the three channels, alpha is dropped.

    What the file is, its first bytes say; drivers put many things into `format`, which is read for a mosaic alone:
    compressed_image_transport writes bayer images as they are, and their pattern there. The size is taken from the
    file's header first, so that a small file cannot ask for gigabytes. A rotation in EXIF is not applied: the
    camera_info is that of the pixels as they are.

    Raises:
        RefusedImageError: of kind `data` (none), `size` or `compressed`.
    """
    data = bytes(msg.data)
    if not data:
        raise RefusedImageError('data', 'found no bytes, expected a JPEG or PNG file')
    if mosaic := _MOSAIC.fullmatch(msg.format):
        return _demosaicked(_decoded(data, cv2.IMREAD_UNCHANGED), mosaic[1])
    return cv2.cvtColor(_decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION), cv2.COLOR_BGR2RGB)


def _demosaicked(pixels: np.ndarray, pattern: str) -> np.ndarray:
    """uint8 H,W,3, RGB, of a mosaic of 8 or 16 bits: bayer_rggb or its like."""
    decoder = DECODERS[f'{pattern}8']
    if pixels.ndim != 2 or min(pixels.shape) < decoder.min_side:
        raise RefusedImageError(
            'compressed',
            f'found a {pattern} image of {pixels.dtype} {pixels.shape}, expected one channel and at least '
            f'{decoder.min_side}x{decoder.min_side}',
        )
    high_bytes = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return decoder.to_rgb(high_bytes[..., None], False)


def upright_rgb(data: bytes) -> np.ndarray:
    """uint8 H,W,3, RGB, of an image file of any format that OpenCV reads, turned upright as its EXIF data say.

    Raises:
        RefusedImageError: of kind `data` (none), `size` or `compressed`.
    """
    if not data:
        raise RefusedImageError('data', 'the file is empty: expected a complete image file')
    return cv2.cvtColor(_pixels(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def unchanged_png(data: bytes) -> np.ndarray:
    """H,W or H,W,C: the pixels of a PNG as they are, for values that are no colours; of a palette the colours' numbers.

    Raises:
        RefusedImageError: of kind `data` (none), `size` or `compressed`.
    """
    if not data:
        raise RefusedImageError('data', 'found no bytes, expected a PNG file')
    if not data.startswith(_PNG_START):
        start = data[:8].hex(' ')
        raise RefusedImageError('compressed', f'found {len(data)} bytes starting {start}, expected a PNG file')
    return unchanged_image(data)


def unchanged_image(data: bytes) -> np.ndarray:
    """H,W or H,W,C: as `unchanged_png`, of any format that OpenCV reads.

    Raises:
        RefusedImageError: of kind `size` or `compressed`.
    """
    if not data.startswith(_PNG_START) or len(data) <= _PNG_HEADER_END:
        return _pixels(data, cv2.IMREAD_UNCHANGED)
    bits, colours = data[24], data[25]
    if colours == _PNG_PALETTE:  # read as grey: else the decoder would look the colours up
        header = data[12:25] + bytes([_PNG_GREY]) + data[26:29]
        data = data[:12] + header + struct.pack('>I', zlib.crc32(header)) + data[_PNG_HEADER_END:]
    pixels = _pixels(data, cv2.IMREAD_UNCHANGED)
    # The decoder stretches grey of fewer than 8 bits to 0..255.
    is_stretched = colours in (_PNG_GREY, _PNG_PALETTE) and bits < 8
    return pixels // np.uint8(255 // (2**bits - 1)) if is_stretched else pixels


def completed(data: bytes) -> bytes:
    """What to decode instead of the bytes of an image file: the same, with the end marker that a JPEG may lack.

    Some cameras and grabbers leave the marker out, or half of it, though all of the picture is there. Without it OpenCV
    does not decode the last rows; and of a file that is cut off it makes a whole image with a part that is gray.

    Raises:
        RefusedImageError: of kind `size` for a JPEG or PNG with no or too many pixels, of kind `compressed` for a JPEG
            that is cut off or has no frame header.
    """
    if data.startswith(_PNG_START) and len(data) >= _PNG_SIZE_END:
        check_size(*_size(data))
    if not data.startswith(_JPEG_START):
        return data
    width, height, at = _jpeg_frame(data)
    check_size(width, height)
    if _has_many_scans(data, at):
        raise RefusedImageError('compressed', f'found a JPEG of more than {MAX_SCANS} scans, expected no more')
    # Looked for behind the frame header, since a thumbnail before it has an end of its own.
    if data.rfind(_JPEG_END, at) >= 0:
        return data
    if not _is_scan_complete(data):
        raise _broken(data, 'cut off')
    return data.removesuffix(b'\xff') + _JPEG_END


def _has_many_scans(data: bytes, at: int) -> bool:
    """Whether a JPEG has more than `MAX_SCANS` from its frame header on, up to its own end: phones put a video behind
    that.
    """
    scans = 0
    for _ in range(MAX_SEGMENTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None or data[found.end() - 1] == _JPEG_END[1]:
            return False
        scans += data[found.end() - 1] == _JPEG_SCAN
        if scans > MAX_SCANS:
            return True
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], 'big')
    return True


def _is_scan_complete(data: bytes) -> bool:
    """Whether the data of a JPEG without an end are all there: then what is put behind them changes no pixel."""
    alone, *followed = (data.removesuffix(b'\xff') + probe + _JPEG_END for probe in (b'', *_PROBES))
    picture = _opencv_pixels(alone, cv2.IMREAD_COLOR)
    return picture is not None and all(
        np.array_equal(picture, _opencv_pixels(other, cv2.IMREAD_COLOR)) for other in followed
    )


def _opencv_pixels(data: bytes, flags: int) -> np.ndarray | None:
    with logged_decoder_messages():
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)


def _decoded(data: bytes, flags: int) -> np.ndarray:
    """The pixels of a JPEG or PNG."""
    _size(data)
    return _pixels(data, flags)


def _pixels(data: bytes, flags: int) -> np.ndarray:
    """The pixels of an image file."""
    try:
        pixels = _opencv_pixels(_needed_chunks(completed(data)), flags)
    except cv2.error as error:  # OPENCV_IO_MAX_IMAGE_PIXELS and its like can set lower limits than ours
        raise _broken(data, f'OpenCV refuses: {error.err}') from error
    if pixels is None:
        raise _broken(data, 'OpenCV cannot decode it: damaged, cut off, or no image')
    check_size(pixels.shape[1], pixels.shape[0])
    return pixels


def _size(data: bytes) -> tuple[int, int]:
    """Width and height that a JPEG or PNG file states."""
    if data.startswith(_JPEG_START):
        return _jpeg_frame(data)[:2]
    if data.startswith(_PNG_START) and len(data) >= _PNG_SIZE_END:
        return struct.unpack_from('>II', data, 16)  # in IHDR, which comes first
    raise _broken(data, 'found neither')


def _jpeg_frame(data: bytes) -> tuple[int, int, int]:
    """Width and height in the frame header, reached by stepping over the segments before it, and where that is."""
    at = 2
    for _ in range(MAX_SEGMENTS):
        at = max(at, _JPEG_PADDING.match(data, at).end() - 1)  # FF before a marker is padding
        if at + 9 > len(data) or data[at] != 0xFF:
            break
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], 'big')
        if marker in _JPEG_FRAME_HEADERS:
            height, width = struct.unpack_from('>HH', data, at + 5)
            return width, height, at
        at += 2 + length
    raise _broken(data, 'found a JPEG without a frame header')


def _needed_chunks(data: bytes) -> bytes:
    """A PNG of those chunks alone that its pixels need; other files as they are.

    Raises:
        RefusedImageError: of kind `compressed`, for more chunks, or more compressed pixels, than its size explains.
    """
    if not data.startswith(_PNG_START) or len(data) < _PNG_SIZE_END + 2:
        return data
    width, height, depth, colours = struct.unpack_from('>IIBB', data, 16)
    unpacked = height * (1 + (width * depth * _PNG_CHANNELS.get(colours, 4) + 7) // 8)
    parts, packed = [_PNG_START], 0
    for kind, start, end in _png_chunks(data):
        if kind in _PNG_NEEDED:
            parts.append(data[start:end])
            packed += end - start if kind == b'IDAT' else 0
    # Data that cannot be compressed grow by less than this, each chunk by its frame.
    if packed > 2 * unpacked + 2**16:
        raise RefusedImageError(
            'compressed', f'found a PNG with {packed} bytes of compressed pixels, expected {unpacked} at most'
        )
    return b''.join(parts)


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Type, start and end of each chunk; the last may be cut off."""
    at = len(_PNG_START)
    for _ in range(MAX_SEGMENTS):
        if at + _PNG_CHUNK_FRAME > len(data):
            return
        end = at + _PNG_CHUNK_FRAME + int.from_bytes(data[at : at + 4], 'big')
        yield data[at + 4 : at + 8], at, end
        at = end
    raise RefusedImageError('compressed', f'found a PNG of more than {MAX_SEGMENTS} chunks')


def _broken(data: bytes, problem: str) -> RefusedImageError:
    start = data[:8].hex(' ')
    return RefusedImageError(
        'compressed', f'{problem}: {len(data)} bytes starting {start}, expected a complete JPEG or PNG file'
    )
