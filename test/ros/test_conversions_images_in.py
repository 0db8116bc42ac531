# SPDX-License-Identifier: Apache-2.0
import array

import numpy as np
import pytest
from sensor_msgs.msg import Image

from mtperception.messages import RefusedImageError, image_to_rgb
from mtperception.messages.image_decoding import DECODERS
from mtperception.types import MAX_IMAGE_SIDE as MAX_SIDE


def image(encoding, width, height, rows, padding=0, is_bigendian=0):
    """A message of rows of bytes, `padding` bytes of 171 behind each row, twice as many behind one twice as long."""
    lines = [bytes(row) + b'\xab' * (padding * len(row) // len(rows[0])) for row in rows]
    msg = Image(encoding=encoding, width=width, height=height, step=len(lines[0]), is_bigendian=is_bigendian)
    msg.data = array.array('B', b''.join(lines))
    return msg


def wide(rows, kind):
    """Rows of bytes as those of 16-bit values whose high bytes they are, and whose low bytes are anything."""
    return [((np.array(row, np.uint16) << 8) | 0x5A).astype(kind).tobytes() for row in rows]


RED, GREEN, BLUE, MIXED = (255, 0, 0), (0, 255, 0), (0, 0, 255), (1, 2, 3)
COLORS = [[RED, GREEN], [BLUE, MIXED]]
BGR_ROWS = [[0, 0, 255, 0, 255, 0], [255, 0, 0, 3, 2, 1]]
GRAYS = [[(0,) * 3, (255,) * 3], [(7,) * 3, (128,) * 3]]
GRAY_ROWS = [[0, 255], [7, 128]]

# Encoding, is_bigendian, rows of bytes, expected pixels of an image of 2x2.
EXACT = [
    ('rgb8', 0, [[255, 0, 0, 0, 255, 0], [0, 0, 255, 1, 2, 3]], COLORS),
    ('bgr8', 0, BGR_ROWS, COLORS),
    ('8UC3', 0, BGR_ROWS, COLORS),
    ('rgba8', 0, [[255, 0, 0, 9, 0, 255, 0, 0], [0, 0, 255, 255, 1, 2, 3, 7]], COLORS),
    ('bgra8', 0, [[0, 0, 255, 9, 0, 255, 0, 0], [255, 0, 0, 255, 3, 2, 1, 7]], COLORS),
    ('8UC4', 0, [[0, 0, 255, 9, 0, 255, 0, 0], [255, 0, 0, 255, 3, 2, 1, 7]], COLORS),
    ('mono8', 0, GRAY_ROWS, GRAYS),
    ('8UC1', 0, GRAY_ROWS, GRAYS),
    # 0x0012, 0xff34 / 0x07ff, 0x8000
    ('mono16', 0, [[0x12, 0x00, 0x34, 0xFF], [0xFF, 0x07, 0x00, 0x80]], GRAYS),
    ('mono16', 1, [[0x00, 0x12, 0xFF, 0x34], [0x07, 0xFF, 0x80, 0x00]], GRAYS),
    # Little-endian values such as 0xff12, then 0x0034: the high byte counts.
    ('rgb16', 0, wide([[255, 0, 0, 0, 255, 0], [0, 0, 255, 1, 2, 3]], '<u2'), COLORS),
    ('rgb16', 1, wide([[255, 0, 0, 0, 255, 0], [0, 0, 255, 1, 2, 3]], '>u2'), COLORS),
    ('bgr16', 0, wide(BGR_ROWS, '<u2'), COLORS),
    ('bgr16', 1, wide(BGR_ROWS, '>u2'), COLORS),
    # One-byte encodings have no byte order, whatever is_bigendian says.
    ('rgb8', 1, [[255, 0, 0, 0, 255, 0], [0, 0, 255, 1, 2, 3]], COLORS),
    ('mono8', 1, GRAY_ROWS, GRAYS),
]

# Y, U, V of pure red and pure blue (BT.601, limited range).
Y_RED, U_RED, V_RED = 81, 90, 240
Y_BLUE, U_BLUE, V_BLUE = 41, 240, 110
UYVY_ROW = [U_RED, Y_RED, V_RED, Y_RED, U_BLUE, Y_BLUE, V_BLUE, Y_BLUE]
YUYV_ROW = [Y_RED, U_RED, Y_RED, V_RED, Y_BLUE, U_BLUE, Y_BLUE, V_BLUE]
Y_ROW = [Y_RED, Y_RED, Y_BLUE, Y_BLUE]

# Encoding and rows of bytes of an image of 4x2, the left half red, the right half blue.
YUV = [
    ('uyvy', [UYVY_ROW, UYVY_ROW]),
    ('yuv422', [UYVY_ROW, UYVY_ROW]),
    ('yuyv', [YUYV_ROW, YUYV_ROW]),
    ('yuv422_yuy2', [YUYV_ROW, YUYV_ROW]),
    ('nv21', [Y_ROW, Y_ROW, [V_RED, U_RED, V_BLUE, U_BLUE]]),
    ('nv12', [Y_ROW, Y_ROW, [U_RED, V_RED, U_BLUE, V_BLUE]]),
    ('nv24', [Y_ROW, Y_ROW, *[[U_RED, V_RED] * 2 + [U_BLUE, V_BLUE] * 2] * 2]),
]

# The first two rows of a mosaic over the uniform colour 200, 100, 50.
R, G, B = 200, 100, 50
MOSAICS = {
    'bayer_rggb8': ([R, G, R, G, R, G], [G, B, G, B, G, B]),
    'bayer_bggr8': ([B, G, B, G, B, G], [G, R, G, R, G, R]),
    'bayer_gbrg8': ([G, B, G, B, G, B], [R, G, R, G, R, G]),
    'bayer_grbg8': ([G, R, G, R, G, R], [B, G, B, G, B, G]),
}


WIDE_MOSAICS = [name.replace('8', '16') for name in MOSAICS]


@pytest.mark.parametrize('padding', [0, 1, 6])
class TestEveryEncoding:
    @pytest.mark.parametrize(('encoding', 'is_bigendian', 'rows', 'expected'), EXACT)
    def test_exact_ones(self, encoding, is_bigendian, rows, expected, padding):
        rgb = image_to_rgb(image(encoding, 2, 2, rows, padding, is_bigendian))
        assert rgb.dtype == np.uint8
        assert rgb.flags.c_contiguous
        np.testing.assert_array_equal(rgb, expected)

    @pytest.mark.parametrize(('encoding', 'rows'), YUV)
    def test_yuv(self, encoding, rows, padding):
        rgb = image_to_rgb(image(encoding, 4, 2, rows, padding))
        np.testing.assert_allclose(rgb, [[RED, RED, BLUE, BLUE]] * 2, atol=2)

    @pytest.mark.parametrize('encoding', MOSAICS)
    def test_bayer(self, encoding, padding):
        rgb = image_to_rgb(image(encoding, 6, 6, MOSAICS[encoding] * 3, padding))
        np.testing.assert_array_equal(rgb, np.full((6, 6, 3), (R, G, B)))

    @pytest.mark.parametrize(('is_bigendian', 'kind'), [(0, '<u2'), (1, '>u2')])
    @pytest.mark.parametrize('encoding', WIDE_MOSAICS)
    def test_bayer_of_16_bits(self, encoding, is_bigendian, kind, padding):
        rows = wide(MOSAICS[encoding.replace('16', '8')] * 3, kind)
        rgb = image_to_rgb(image(encoding, 6, 6, rows, padding, is_bigendian))
        np.testing.assert_array_equal(rgb, np.full((6, 6, 3), (R, G, B)))


def test_all_encodings_are_tested():
    assert {case[0] for case in EXACT + YUV} | {*MOSAICS, *WIDE_MOSAICS} == set(DECODERS)


@pytest.mark.parametrize(
    ('y', 'u', 'v', 'expected'),
    [
        # BT.601, limited range: R = 1.164 (Y - 16) + 1.596 (V - 128), G = ... - 0.391 (U - 128) - 0.813 (V - 128),
        # B = ... + 2.018 (U - 128).
        (126, 128, 128, (128, 128, 128)),  # 1.164 * 110
        (126, 158, 108, (96, 133, 189)),  # 128.04 - 31.92, 128.04 - 11.73 + 16.26, 128.04 + 60.54
        (235, 128, 128, (255, 255, 255)),
        (3, 128, 128, (0, 0, 0)),
        (3, 128, 178, (80, 0, 0)),  # as if Y were 16: 1.596 * 50
        (250, 200, 60, (164, 255, 255)),  # 272.38 - 108.53, 272.38 - 28.15 + 55.28, 272.38 + 145.3
    ],
)
@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'nv24'])
def test_yuv_by_hand(encoding, y, u, v, expected):
    pair = [v, u] if encoding == 'nv21' else [u, v]
    chroma = [pair * 2] * 2 if encoding == 'nv24' else [pair]
    rgb = image_to_rgb(image(encoding, 2, 2, [[y, y]] * 2 + chroma))
    np.testing.assert_allclose(rgb.astype(int), np.full((2, 2, 3), expected), atol=1)


def test_nv24_has_a_colour_for_every_pixel_and_any_size():
    """One row of three pixels, red, blue, red."""
    luma, chroma = [Y_RED, Y_BLUE, Y_RED], [U_RED, V_RED, U_BLUE, V_BLUE, U_RED, V_RED]
    rgb = image_to_rgb(image('nv24', 3, 1, [luma, chroma], padding=5))
    np.testing.assert_allclose(rgb.astype(int), [[RED, BLUE, RED]], atol=2)


def test_bayer_of_odd_size():
    mosaic = [row[:5] for row in MOSAICS['bayer_rggb8'] * 3][:5]
    np.testing.assert_array_equal(image_to_rgb(image('bayer_rggb8', 5, 5, mosaic)), np.full((5, 5, 3), (R, G, B)))


class TestMemory:
    def test_unpadded_rgb8_is_a_read_only_view(self):
        msg = image('rgb8', 2, 1, [[1, 2, 3, 4, 5, 6]])
        rgb = image_to_rgb(msg)
        assert np.shares_memory(rgb, np.frombuffer(msg.data, np.uint8))
        with pytest.raises(ValueError, match='read-only'):
            rgb[0, 0, 0] = 0

    @pytest.mark.parametrize('encoding', [name for name in DECODERS if name != 'rgb8'])
    def test_the_others_do_not_hold_the_message(self, encoding):
        decoder = DECODERS[encoding]
        rows = [[100] * 4 * decoder.bytes_per_pixel] * int(4 * decoder.height_scaling)
        msg = image(encoding, 4, 4, rows)
        assert not np.shares_memory(image_to_rgb(msg), np.frombuffer(msg.data, np.uint8))


def sound():
    return image('bgr8', 4, 2, [[0] * 12] * 2)


def changed(**fields):
    msg = sound()
    for name, value in fields.items():
        setattr(msg, name, value)
    return msg


REFUSED = {
    'unknown encoding': (changed(encoding='32FC1'), 'encoding', "found encoding '32FC1'.*expected one of rgb8, bgr8"),
    'no encoding': (changed(encoding=''), 'encoding', "found encoding ''"),
    'other case': (changed(encoding='BGR8'), 'encoding', "found encoding 'BGR8'"),
    'no width': (changed(width=0), 'size', 'found 0x2 pixels, expected 1 to'),
    'no height': (changed(height=0), 'size', 'found 4x0 pixels, expected 1 to'),
    'too many pixels': (
        changed(width=8193, height=8192),
        'size',
        r'found 8193x8192 pixels, expected 1 to 67108864 ',
    ),
    'absurdly wide': (changed(width=MAX_SIDE + 1, height=1), 'size', 'found 16385x1'),
    'absurdly high': (changed(width=1, height=2**32 - 1), 'size', 'found 1x4294967295'),
    'odd 4:2:2': (image('uyvy', 3, 2, [[0] * 6] * 2), 'size', 'found uyvy of 3x2, expected multiples of 2x1'),
    'odd width of 4:2:0': (image('nv21', 3, 2, [[0] * 3] * 3), 'size', 'found nv21 of 3x2, expected multiples of 2x2'),
    'odd height of 4:2:0': (image('nv21', 4, 3, [[0] * 4] * 4), 'size', 'found nv21 of 4x3'),
    'mosaic of two rows': (image('bayer_rggb8', 4, 2, [[0] * 4] * 2), 'size', 'found bayer_rggb8 of 4x2.*least 3x3'),
    'step below the width': (changed(step=11), 'step', 'found step 11, expected 12 or more for 4 pixels of bgr8'),
    'step of mono': (changed(step=4), 'step', 'found step 4, expected 12'),
    'step zero': (changed(step=0), 'step', 'found step 0, expected 12'),
    'step larger than the data': (changed(step=13), 'data', 'found 24 bytes, expected 26: 2 rows of step 13'),
    'short data': (changed(data=array.array('B', bytes(23))), 'data', 'found 23 bytes, expected 24'),
    'long data': (changed(data=array.array('B', bytes(25))), 'data', 'found 25 bytes, expected 24'),
    'no data': (changed(data=array.array('B')), 'data', 'found 0 bytes, expected 24'),
    'nv21 without chroma': (image('nv21', 4, 2, [[0] * 4] * 2), 'data', 'found 8 bytes, expected 12: 3 rows'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(case):
    msg, kind, reason = REFUSED[case]
    with pytest.raises(RefusedImageError, match=reason) as refused:
        image_to_rgb(msg)
    assert refused.value.kind == kind


def test_the_message_that_the_refused_ones_are_made_of_is_sound():
    assert image_to_rgb(sound()).shape == (2, 4, 3)


@pytest.mark.parametrize(('width', 'height'), [(8192, 8192), (MAX_SIDE, 1), (1, MAX_SIDE), (1, 1)])
def test_largest_and_smallest_images_are_read(width, height):
    msg = Image(encoding='mono8', width=width, height=height, step=width)
    msg.data.frombytes(bytes(width * height))
    assert image_to_rgb(msg).shape == (height, width, 3)


def test_a_long_encoding_does_not_flood_the_log():
    with pytest.raises(RefusedImageError, match='of 100000 characters') as refused:
        image_to_rgb(changed(encoding='x' * 100_000))
    assert len(str(refused.value)) < 500
