# SPDX-License-Identifier: Apache-2.0
"""Small files that take seconds to decode are refused before, or decoded without what takes the time."""

import struct
import time
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mtperception.messages.compressed import compressed_to_rgb, unchanged_png
from mtperception.messages.errors import RefusedImageError

PATIENCE_S = 1.0
"""Far more than refusing takes, far less than decoding did."""


def picture(width=640, height=480):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows % 256, columns % 256, (rows + columns) % 256], axis=2).astype(np.uint8)


def message(data):
    return SimpleNamespace(data=data, format='')


def encoded(extension, image, *options):
    return cv2.imencode(extension, image, options)[1].tobytes()


def with_repeated_scans(width, height, times):
    """A progressive JPEG whose last scan comes again and again."""
    data = encoded('.jpg', np.full((height, width, 3), 90, np.uint8), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    last = data[data.rindex(b'\xff\xda') : -2]
    return data[:-2] + times * last + b'\xff\xd9'


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def refused_at_once(data, decode=lambda data: compressed_to_rgb(message(data))):
    start = time.perf_counter()
    with pytest.raises(RefusedImageError) as refused:
        decode(data)
    assert time.perf_counter() - start < PATIENCE_S
    return refused.value


@pytest.mark.parametrize(('width', 'height'), [(640, 480), (4096, 3072)])
def test_a_jpeg_of_many_scans_is_refused(width, height):
    error = refused_at_once(with_repeated_scans(width, height, 2000))
    assert error.kind == 'compressed'
    assert str(error) == 'found a JPEG of more than 32 scans, expected no more'


@pytest.mark.parametrize('progressive', [0, 1])
def test_a_jpeg_as_encoders_make_it_is_decoded(progressive):
    image = picture()
    data = encoded('.jpg', image, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_QUALITY, 95)
    assert np.abs(compressed_to_rgb(message(data)).astype(int) - image[..., ::-1]).mean() < 3


def test_what_a_phone_puts_behind_the_picture_does_not_count():
    """A video of some megabytes, in which the bytes that begin a scan occur by chance."""
    data = encoded('.jpg', picture(64, 48), cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    video = 40 * b'\xff\xda' + np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
    expected = compressed_to_rgb(message(data))
    np.testing.assert_array_equal(compressed_to_rgb(message(data + video)), expected)
    # An end inside of a comment is none: what comes after it counts.
    many = with_repeated_scans(64, 48, 40)
    comment = b'\xff\xfe\x00\x04\xff\xd9'
    at = many.index(b'\xff\xda')
    assert refused_at_once(many[:at] + comment + many[at:]).kind == 'compressed'


def test_scans_of_a_thumbnail_do_not_count():
    thumbnail = 40 * b'\xff\xda\x00\x00'
    data = encoded('.jpg', picture(64, 48))
    data = data[:2] + b'\xff\xe1' + struct.pack('>H', 2 + len(thumbnail)) + thumbnail + data[2:]
    assert compressed_to_rgb(message(data)).shape == (48, 64, 3)


@pytest.mark.parametrize(
    'filler', [b'\xff', b'\xff\xfe\x00\x02', b'\xff\xfe\x00\x00'], ids=['padding', 'empty', 'short']
)
def test_what_comes_before_the_picture_of_a_jpeg_takes_no_time(filler):
    refused_at_once(b'\xff\xd8\xff' + 10_000_000 // len(filler) * filler)


def test_padding_before_a_marker_is_passed_over():
    data = encoded('.jpg', picture(64, 48))
    assert np.array_equal(
        compressed_to_rgb(message(data[:2] + 1000 * b'\xff' + data[2:])), compressed_to_rgb(message(data))
    )


@pytest.mark.parametrize('kind', [b'zTXt', b'iTXt', b'iCCP'])
def test_texts_of_a_png_that_unpack_to_gigabytes_are_not_unpacked(kind):
    image = picture(64, 48)
    data = encoded('.png', image)
    packed = zlib.compress(7_900_000 * b'a', 9)
    text = chunk(kind, b'key\0' + {b'zTXt': b'\0', b'iTXt': b'\1\0\0\0', b'iCCP': b'\0'}[kind] + packed)
    start = time.perf_counter()
    found = compressed_to_rgb(message(data[:33] + 300 * text + data[33:]))
    assert time.perf_counter() - start < PATIENCE_S
    assert np.array_equal(found, image[..., ::-1])


def test_a_png_of_more_data_than_pixels_is_refused():
    data = encoded('.png', picture(64, 48))
    bomb = zlib.compress(400_000_000 * b'\0', 9)
    error = refused_at_once(data[:33] + chunk(b'IDAT', bomb) + chunk(b'IEND', b''))
    assert 'compressed pixels, expected 9264 at most' in str(error)


def test_a_png_that_ends_in_its_header_is_refused():
    data = encoded('.png', picture(64, 48))
    for length in range(8, 33):
        assert refused_at_once(data[:length]).kind in ('compressed', 'size')


def test_a_png_of_countless_chunks_is_refused():
    data = encoded('.png', picture(64, 48))
    refused_at_once(data[:33] + 1_000_000 * chunk(b'IDAT', b'') + data[33:])


@pytest.mark.parametrize(
    'image',
    [
        np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8),  # does not compress
        np.random.default_rng(0).integers(0, 256, (48, 64, 4), np.uint8),
        np.random.default_rng(0).integers(0, 65536, (48, 64), np.uint16),
        np.random.default_rng(0).integers(0, 256, (1, 1), np.uint8),
    ],
    ids=['colour', 'alpha', 'depth', 'one pixel'],
)
def test_pngs_as_encoders_make_them_keep_every_value(image):
    assert np.array_equal(unchanged_png(encoded('.png', image)), image)


def test_a_palette_is_kept():
    palette = bytes([255, 0, 0, 0, 255, 0])
    rows = b''.join(b'\0' + bytes([0, 1]) for _ in range(2))
    data = b'\x89PNG\r\n\x1a\n' + b''.join(
        chunk(kind, content)
        for kind, content in [
            (b'IHDR', struct.pack('>IIBBBBB', 2, 2, 8, 3, 0, 0, 0)),
            (b'PLTE', palette),
            (b'tEXt', b'key\0value'),
            (b'tRNS', bytes([255, 128])),
            (b'IDAT', zlib.compress(rows)),
            (b'IEND', b''),
        ]
    )
    assert compressed_to_rgb(message(data))[0].tolist() == [[255, 0, 0], [0, 255, 0]]
    assert unchanged_png(data)[0].tolist() == [0, 1], 'of a palette the numbers of its colours'
