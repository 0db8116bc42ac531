# SPDX-License-Identifier: Apache-2.0
"""Depth as sensors send it: millimetres, metres, and compressed_depth_image_transport's two kinds of PNG."""

import struct

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='messages are made with the extra `bags`')

from recordings import compressed, depth_compressed_32f, image, png_bytes

from mtperception.messages import RefusedImageError, compressed_to_depth, image_to_depth

MILLIMETERS = np.array([[0, 1, 1500], [65534, 65535, 2]], np.uint16)
"""65535 is what a sensor says that is saturated."""
METERS = np.array([[0, 0.001, 1.5], [65.534, 0, 0.002]], np.float32)


def test_integers_are_millimetres():
    depth = image_to_depth(image(MILLIMETERS, 0, '16UC1'))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, METERS, rtol=1e-6)


def test_big_endian_integers():
    message = image(MILLIMETERS.astype('>u2'), 0, '16UC1')
    message.is_bigendian = 1
    np.testing.assert_allclose(image_to_depth(message), METERS, rtol=1e-6)


def test_padded_rows():
    padded = np.full((2, 5), 999, np.uint16)
    padded[:, :3] = MILLIMETERS
    message = image(padded, 0, '16UC1')
    message.width = 3
    np.testing.assert_allclose(image_to_depth(message), METERS, rtol=1e-6)


def test_floats_are_metres_and_what_is_no_distance_is_zero():
    values = np.array([[1.25, np.nan, np.inf, -np.inf, -1, 0]], np.float32)
    np.testing.assert_array_equal(image_to_depth(image(values, 0, '32FC1')), [[1.25, 0, 0, 0, 0, 0]])


def test_the_message_is_not_written_to():
    values = np.array([[np.nan, 1]], np.float32)
    message = image(values, 0, '32FC1')
    before = message.data.copy()
    image_to_depth(message)
    np.testing.assert_array_equal(message.data, before)


@pytest.mark.parametrize('text', ['16UC1; compressedDepth png', '16UC1; compressedDepth', '16UC1'])
def test_compressed_integers_come_behind_a_header(text):
    data = struct.pack('<iff', 0, 7.0, 8.0) + png_bytes(MILLIMETERS)
    np.testing.assert_allclose(compressed_to_depth(compressed(data, 0, text)), METERS, rtol=1e-6)


def test_the_plain_compressed_transport_has_no_header():
    message = compressed(png_bytes(MILLIMETERS), 0, '16UC1; png compressed ')
    np.testing.assert_allclose(compressed_to_depth(message), METERS, rtol=1e-6)


def test_compressed_floats_are_inverse_depths():
    """depth = A / (q - B). With A = 20 and B = -2: q = 8 is 20 / 10 = 2 m, q = 3 is 20 / 5 = 4 m, q = 0 is none."""
    data = struct.pack('<iff', 0, 20.0, -2.0) + png_bytes(np.array([[8, 3, 0]], np.uint16))
    depth = compressed_to_depth(compressed(data, 0, '32FC1; compressedDepth png'))
    np.testing.assert_allclose(depth, [[2, 4, 0]], rtol=1e-6)


def test_an_inverse_depth_at_or_beyond_infinity_is_none():
    """B = 5: q = 5 would be infinitely far, q = 4 behind the camera, q = 9 is 20 / 4 = 5 m."""
    data = struct.pack('<iff', 0, 20.0, 5.0) + png_bytes(np.array([[5, 4, 9]], np.uint16))
    depth = compressed_to_depth(compressed(data, 0, '32FC1; compressedDepth png'))
    np.testing.assert_allclose(depth, [[0, 0, 5]], rtol=1e-6)


def test_the_transports_own_quantisation_comes_back():
    """By its default, 100, steps of inverse depth are 1 / (100 * 101): at 3 m that is 9 / 10100 = 0.9 mm."""
    depth = np.linspace(0.5, 9, 60, dtype=np.float32).reshape(6, 10)
    depth[0, 0] = 0
    got = compressed_to_depth(depth_compressed_32f(depth, 0))
    assert got[0, 0] == 0
    assert (np.abs(got - depth) <= depth**2 / 10100 * 1.01 + 1e-6).all()


def rvl_bytes(image):
    """RVL data by the description in Wilson's paper, nibble by nibble, behind width and height as in messages."""
    numbers, pixels, at, previous = [], [int(value) for value in image.ravel()], 0, 0
    while at < len(pixels):
        zeros = next((i for i, value in enumerate(pixels[at:]) if value), len(pixels) - at)
        known = next((i for i, value in enumerate(pixels[at + zeros :]) if not value), len(pixels) - at - zeros)
        numbers += [zeros, known]
        for value in pixels[at + zeros : at + zeros + known]:
            delta = value - previous
            numbers.append(2 * delta if delta >= 0 else -2 * delta - 1)
            previous = value
        at += zeros + known
    nibbles = ''
    for number in numbers:
        groups = [number & 7]
        while number := number >> 3:
            groups[-1] |= 8
            groups.append(number & 7)
        nibbles += ''.join(f'{group:x}' for group in groups)
    nibbles += '0' * (-len(nibbles) % 8)
    words = [int(nibbles[i : i + 8], 16) for i in range(0, len(nibbles), 8)]
    return struct.pack('<II', image.shape[1], image.shape[0]) + struct.pack(f'<{len(words)}I', *words)


def rvl_message(data, encoding='16UC1', header=(0, 0.0, 0.0)):
    return compressed(struct.pack('<iff', *header) + data, 0, f'{encoding}; compressedDepth rvl')


def test_rvl_by_hand():
    """Of 0, 0, 5, 3: two zeros, two values, +5 = 10 = 1 010, -2 = 3: nibbles 2 2 a 1 3."""
    data = struct.pack('<II', 2, 2) + struct.pack('<I', 0x22A13000)
    np.testing.assert_allclose(compressed_to_depth(rvl_message(data)), [[0, 0], [0.005, 0.003]], rtol=1e-6)
    assert rvl_bytes(np.array([[0, 0], [5, 3]], np.uint16)) == data


@pytest.mark.parametrize(
    'values',
    [
        np.random.default_rng(0).integers(0, 65535, (7, 9)),
        np.random.default_rng(1).integers(0, 2, (24, 31)) * 65534,
        np.zeros((3, 5)),
        np.full((3, 5), 65534),
        1000 + np.arange(480 * 640).reshape(480, 640) % 640,
    ],
    ids=['noise', 'holes', 'none', 'far', 'a wall'],
)
def test_rvl_gives_every_millimetre(values):
    depth = compressed_to_depth(rvl_message(rvl_bytes(values)))
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, values / 1000, rtol=1e-6)


def test_rvl_of_floats_has_inverse_depths():
    """As of PNG: A = 20, B = -2: q = 8 is 2 m, q = 3 is 4 m, q = 0 is none."""
    message = rvl_message(rvl_bytes(np.array([[8, 3, 0]])), '32FC1', (0, 20.0, -2.0))
    np.testing.assert_allclose(compressed_to_depth(message), [[2, 4, 0]], rtol=1e-6)


@pytest.mark.parametrize(
    ('data', 'kind', 'text'),
    [
        (bytes(3), 'data', 'found 3 bytes of RVL data'),
        (struct.pack('<II', 0, 4), 'size', 'found 0x4'),
        (struct.pack('<II', 100_000, 100_000), 'size', 'found 100000x100000'),
        (rvl_bytes(np.full((4, 4), 900))[:-4], 'compressed', 'cut off: .* of 16 pixels'),
        (struct.pack('<II', 2, 2), 'compressed', 'cut off: 0 of 4 pixels'),
        (struct.pack('<III', 2, 2, 0), 'compressed', 'at pixel 0 of 4 a run of 0'),
        (struct.pack('<III', 2, 2, 0x50000000), 'compressed', 'a run of 5 without'),
        (struct.pack('<IIII', 2, 2, 0xFFFFFFFF, 0xFFFFFFF0), 'compressed', 'a number of more than'),
        (struct.pack('<III', 1, 1, 0x01100000), 'compressed', 'depths from -1 to -1'),
    ],
)
def test_damaged_rvl_is_refused(data, kind, text):
    with pytest.raises(RefusedImageError, match=text) as refused:
        compressed_to_depth(rvl_message(data))
    assert refused.value.kind == kind


@pytest.mark.parametrize(
    ('message', 'kind', 'text'),
    [
        (image(np.zeros((2, 2, 3), np.uint8), 0, 'rgb8'), 'encoding', "found 'rgb8', expected depth as 16UC1"),
        (compressed(b'', 0, 'jpeg'), 'encoding', "found 'jpeg'"),
        (compressed(bytes(5), 0, '16UC1; compressedDepth png'), 'data', 'found 5 bytes'),
        (compressed(bytes(40), 0, '16UC1; compressedDepth png'), 'compressed', 'expected a PNG file'),
        (
            compressed(bytes(12) + png_bytes(np.zeros((2, 2), np.uint8)), 0, '16UC1; compressedDepth png'),
            'compressed',
            'one channel of 16 bits',
        ),
    ],
)
def test_what_is_no_depth_is_refused(message, kind, text):
    decode = compressed_to_depth if hasattr(message, 'format') else image_to_depth
    with pytest.raises(RefusedImageError, match=text) as refused:
        decode(message)
    assert refused.value.kind == kind


def test_a_short_image_is_refused():
    message = image(MILLIMETERS, 0, '16UC1')
    message.data = message.data[:-1]
    with pytest.raises(RefusedImageError, match='found 11 bytes, expected 12'):
        image_to_depth(message)


def test_big_endian_floats_and_other_names_of_integers():
    message = image(np.array([[1.5]], '>f4'), 0, '32FC1')
    message.is_bigendian = 1
    assert image_to_depth(message)[0, 0] == 1.5
    assert image_to_depth(image(np.array([[1500]], np.uint16), 0, 'mono16'))[0, 0] == 1.5


def test_rows_too_short_for_their_pixels_are_refused():
    message = image(np.zeros((2, 3), np.uint16), 0, '16UC1')
    message.width = 4
    with pytest.raises(RefusedImageError, match='found step 6, expected 8'):
        image_to_depth(message)
