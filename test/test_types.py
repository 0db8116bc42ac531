# SPDX-License-Identifier: Apache-2.0
"""By which cameras images are taken."""

import pytest

from mtperception.types import Intrinsics

CAMERA = Intrinsics(720.0, 710.0, 600.0, 180.0, 1242, 375)


@pytest.mark.parametrize('size', [(621, 188), (621, 187), (1226, 370), (2484, 750), (414, 125)])
def test_a_camera_fits_its_images_resized_whatever_the_rounding(size):
    """1226x370 is 1242x375 to a width of 1226 (370.2 rows)."""
    fitted = CAMERA.for_image(*size)
    assert (fitted.width, fitted.height) == size
    assert fitted.fx == pytest.approx(720 * size[0] / 1242)
    assert fitted.fy == pytest.approx(710 * size[1] / 375)
    assert fitted.cx == pytest.approx(600.5 * size[0] / 1242 - 0.5)


@pytest.mark.parametrize('size', [(1242, 376), (1241, 373), (1224, 371), (375, 1242), (640, 480), (1216, 352)])
def test_a_camera_fits_no_image_of_another_shape(size):
    assert CAMERA.for_image(*size) is None


def test_numbers_are_untouched_at_the_cameras_own_size():
    assert Intrinsics(1.1, 1.2, 0.1, 0.2, 640, 480).for_image(640, 480) == Intrinsics(1.1, 1.2, 0.1, 0.2, 640, 480)
