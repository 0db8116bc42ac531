# SPDX-License-Identifier: Apache-2.0
import array
import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image

from mtperception.messages import RefusedImageError, compressed_to_rgb, image_to_rgb

RGB = np.zeros((16, 48, 3), np.uint8)
RGB[:, :16], RGB[:, 16:32], RGB[:, 32:] = (200, 30, 60), (20, 180, 90), (10, 40, 220)


def encoded(extension, pixels, *options):
    return bytes(cv2.imencode(extension, pixels, list(options))[1])


PNG = encoded('.png', RGB[..., ::-1])
JPEG = encoded('.jpg', RGB[..., ::-1])


def message(data, text='jpeg'):
    msg = CompressedImage(format=text)
    msg.data = array.array('B', data)
    return msg


def with_segment(jpeg, marker, content):
    """A JPEG with one more segment behind its first two bytes."""
    return jpeg[:2] + struct.pack('>BBH', 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def png_of_size(width, height):
    """A PNG whose header, checksum and all, states a size that its data do not have."""
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    return PNG[:12] + header + struct.pack('>I', zlib.crc32(header)) + PNG[33:]


def jpeg_of_size(width, height):
    """A JPEG whose frame header states a size that its data do not have."""
    at = JPEG.index(b'\xff\xc0') + 5
    return JPEG[:at] + struct.pack('>HH', height, width) + JPEG[at + 4 :]


class TestRead:
    def test_png(self):
        np.testing.assert_array_equal(compressed_to_rgb(message(PNG)), RGB)

    def test_jpeg(self):
        rgb = compressed_to_rgb(message(JPEG))
        assert rgb.shape == (16, 48, 3)
        # In the middle of each colour, as a JPEG keeps colours at half the resolution.
        np.testing.assert_allclose(rgb[:, 8::16].astype(int), RGB[:, 8::16], atol=4)

    def test_progressive_jpeg(self):
        jpeg = encoded('.jpg', RGB[..., ::-1], cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        assert b'\xff\xc2' in jpeg
        assert compressed_to_rgb(message(jpeg)).shape == (16, 48, 3)

    @pytest.mark.parametrize('extension', ['.jpg', '.png'])
    def test_gray_is_repeated(self, extension):
        rgb = compressed_to_rgb(message(encoded(extension, np.full((8, 8), 77, np.uint8))))
        np.testing.assert_array_equal(rgb, np.full((8, 8, 3), 77))

    def test_alpha_is_dropped(self):
        bgra = np.dstack([RGB[..., ::-1], np.zeros((16, 48), np.uint8)])
        np.testing.assert_array_equal(compressed_to_rgb(message(encoded('.png', bgra))), RGB)

    def test_sixteen_bits_are_reduced_to_the_high_byte(self):
        deep = RGB[..., ::-1].astype(np.uint16) * 256 + 255
        np.testing.assert_array_equal(compressed_to_rgb(message(encoded('.png', deep))), RGB)

    @pytest.mark.parametrize('text', ['', 'png', 'rgb8; png compressed bgr8', 'nonsense'])
    def test_format_is_not_needed(self, text):
        np.testing.assert_array_equal(compressed_to_rgb(message(PNG, text)), RGB)

    def test_exif_rotation_is_not_applied(self):
        # Little-endian TIFF with one entry: orientation (0x0112), a short, 6 (rotated by a quarter turn).
        tiff = b'II*\0' + struct.pack('<IHHHIII', 8, 1, 0x0112, 3, 1, 6, 0)
        jpeg = with_segment(JPEG, 0xE1, b'Exif\0\0' + tiff)
        assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape == (48, 16, 3)
        assert compressed_to_rgb(message(jpeg)).shape == (16, 48, 3)

    def test_padding_between_segments(self):
        assert compressed_to_rgb(message(JPEG[:2] + b'\xff\xff' + JPEG[2:])).shape == (16, 48, 3)

    def test_bytes_behind_the_end(self):
        # As drivers send it that round an MJPEG frame up to the size of their buffer.
        np.testing.assert_array_equal(compressed_to_rgb(message(JPEG + bytes(100))), compressed_to_rgb(message(JPEG)))


def detailed(seed, *options, gray=False):
    """A JPEG with something to see in all of its blocks, and its pixels."""
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    pixels = cv2.resize(noise[..., 0] if gray else noise, (160, 120), interpolation=cv2.INTER_CUBIC)
    jpeg = encoded('.jpg', pixels, *options)
    return jpeg, compressed_to_rgb(message(jpeg))


KINDS_OF_JPEG = {
    'baseline': (),
    'progressive': (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    'with restart markers': (cv2.IMWRITE_JPEG_RST_INTERVAL, 3),
}


@pytest.mark.parametrize('gray', [False, True])
@pytest.mark.parametrize('kind', KINDS_OF_JPEG)
class TestJpegWithoutItsEnd:
    @pytest.mark.parametrize('tail', [b'', b'\xff', bytes(5), b'\r\n', b'\xff\x00\x12'])
    def test_is_read_where_all_of_the_picture_is_there(self, kind, gray, tail):
        """Some cameras leave the two bytes out, or write others."""
        for seed in range(3):
            jpeg, pixels = detailed(seed, *KINDS_OF_JPEG[kind], gray=gray)
            np.testing.assert_array_equal(compressed_to_rgb(message(jpeg[:-2] + tail)), pixels)

    def test_is_refused_where_some_of_it_is_missing(self, kind, gray):
        for seed in range(3):
            jpeg, _ = detailed(seed, *KINDS_OF_JPEG[kind], gray=gray)
            for missing in (10, 25, 60, 150, 400, len(jpeg) // 2):
                with pytest.raises(RefusedImageError, match='cut off'):
                    compressed_to_rgb(message(jpeg[:-missing]))


REFUSED = {
    'no bytes': (b'', 'data', 'found no bytes'),
    'text': (b'not a picture', 'compressed', 'found neither: 13 bytes starting 6e 6f 74'),
    'bitmap': (encoded('.bmp', RGB), 'compressed', 'found neither: .* bytes starting 42 4d'),
    'start of a jpeg': (JPEG[:3], 'compressed', 'without a frame header'),
    'start of a png': (PNG[:20], 'compressed', 'found neither: 20 bytes starting 89 50'),
    'jpeg of noise': (JPEG[:3] + bytes(range(200)), 'compressed', 'without a frame header'),
    'jpeg of segments only': (JPEG[:2] + b'\xff\xe0\0\0' * 50, 'compressed', 'without a frame header'),
    'cut-off jpeg': (JPEG[:-40], 'compressed', 'cut off'),
    'cut-off jpeg with a thumbnail': (with_segment(JPEG, 0xE1, JPEG)[:-40], 'compressed', 'cut off'),
    'cut-off png': (PNG[:-40], 'compressed', 'cannot decode'),
    'jpeg without tables': (JPEG[:2] + JPEG[JPEG.index(b'\xff\xc0') :], 'compressed', 'cannot decode'),
    'png with a wrong checksum': (PNG[:40] + b'\0\0\0' + PNG[43:], 'compressed', 'cannot decode'),
    'huge png': (png_of_size(100_000, 100_000), 'size', 'found 100000x100000 pixels, expected 1 to 67108864'),
    'long png': (png_of_size(1, 2**31 - 1), 'size', 'found 1x2147483647'),
    'png without pixels': (png_of_size(0, 16), 'size', 'found 0x16'),
    'huge jpeg': (jpeg_of_size(65535, 65535), 'size', 'found 65535x65535'),
    'jpeg without pixels': (jpeg_of_size(48, 0), 'size', 'found 48x0'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(case):
    data, kind, reason = REFUSED[case]
    with pytest.raises(RefusedImageError, match=reason) as refused:
        compressed_to_rgb(message(data))
    assert refused.value.kind == kind
    assert 'expected' in str(refused.value)


def test_limit_of_opencv_is_a_refusal_too():
    # OpenCV reads its limits when it is loaded, hence a process of its own.
    script = f"""
import array
from sensor_msgs.msg import CompressedImage, Image
from mtperception.messages import RefusedImageError, compressed_to_rgb, image_to_rgb
msg = CompressedImage()
msg.data = array.array('B', {PNG!r})
try:
    compressed_to_rgb(msg)
except RefusedImageError as error:
    print(error.kind, error)
"""
    environment = os.environ | {'OPENCV_IO_MAX_IMAGE_PIXELS': '100'}
    done = subprocess.run([sys.executable, '-c', script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith('compressed OpenCV refuses')


@pytest.mark.parametrize(
    ('encoding', 'text'),
    [('bayer_rggb8', 'bayer_rggb8; png compressed '), ('bayer_gbrg16', 'bayer_gbrg16; png compressed')],
)
def test_a_mosaic_that_the_transport_left_as_it_is(encoding, text):
    """As compressed_image_transport compresses bayer images: the pixels as they are, the pattern in `format`."""
    kind = np.uint16 if encoding.endswith('16') else np.uint8
    mosaic = np.random.default_rng(0).integers(0, np.iinfo(kind).max, (16, 48)).astype(kind)
    step = 48 * mosaic.itemsize
    raw = Image(height=16, width=48, encoding=encoding, step=step, data=array.array('B', mosaic.tobytes()))
    found = compressed_to_rgb(message(encoded('.png', mosaic), text))
    np.testing.assert_array_equal(found, image_to_rgb(raw))
    assert (found != found[..., :1]).any()


def test_a_mosaic_that_was_converted_or_is_none():
    """The transport names what it made of the mosaic; a colour image cannot be one."""
    grey = np.full((16, 48), 90, np.uint8)
    np.testing.assert_array_equal(
        compressed_to_rgb(message(encoded('.png', grey), 'bayer_rggb8; jpeg compressed mono8')), cv2.merge([grey] * 3)
    )
    with pytest.raises(RefusedImageError, match=r'found a bayer_rggb image of uint8 \(16, 48, 3\), expected one'):
        compressed_to_rgb(message(PNG, 'bayer_rggb8; png compressed '))
