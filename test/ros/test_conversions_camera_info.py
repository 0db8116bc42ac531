# SPDX-License-Identifier: Apache-2.0
import math

import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from mtperception.messages import RefusedCameraInfoError, intrinsics_from
from mtperception.ros.conversions import camera_info_from
from mtperception.types import Intrinsics

K = [500.0, 0.0, 319.0, 0.0, 504.0, 239.0, 0.0, 0.0, 1.0]
P = [480.0, 0.0, 321.0, 0.0, 0.0, 484.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
NO_P = [0.0] * 12


def info(width=640, height=480, k=K, p=NO_P, **fields):
    return CameraInfo(width=width, height=height, k=k, p=p, **fields)


def roi(x, y, width, height):
    return RegionOfInterest(x_offset=x, y_offset=y, width=width, height=height)


def k_with(index, value):
    return [value if i == index else number for i, number in enumerate(K)]


class TestIntrinsicsFrom:
    def test_k_without_p(self):
        assert intrinsics_from(info(), 640, 480) == Intrinsics(500, 504, 319, 239, 640, 480)

    def test_numbers_of_an_image_of_the_same_size_are_not_touched(self):
        # (0.1 + 0.5) - 0.5 is not 0.1.
        assert intrinsics_from(info(k=k_with(2, 0.1)), 640, 480).cx == 0.1

    def test_p_before_k(self):
        assert intrinsics_from(info(p=P), 640, 480) == Intrinsics(480, 484, 321, 241, 640, 480)

    def test_p_of_the_right_camera_of_a_stereo_pair(self):
        p = [480.0, 0.0, 321.0, -57.6, *P[4:]]
        assert intrinsics_from(info(p=p), 640, 480) == Intrinsics(480, 484, 321, 241, 640, 480)

    @pytest.mark.parametrize('fx', [0.0, -480.0, math.nan])
    def test_p_without_focal_length_is_not_used(self, fx):
        assert intrinsics_from(info(p=[fx, *P[1:]]), 640, 480).fx == 500

    def test_binning_of_one_is_none(self):
        assert intrinsics_from(info(binning_x=1, binning_y=1), 640, 480) == intrinsics_from(info(), 640, 480)

    def test_binning(self):
        # 500 / 2, 504 / 2, 319 / 2, 239 / 2: as image_geometry, without half pixels.
        camera = intrinsics_from(info(binning_x=2, binning_y=2), 320, 240)
        assert camera == Intrinsics(250, 252, 159.5, 119.5, 320, 240)

    def test_binning_of_one_axis(self):
        camera = intrinsics_from(info(binning_y=2), 640, 240)
        assert camera == Intrinsics(500, 252, 319, 119.5, 640, 240)

    def test_region_of_interest(self):
        camera = intrinsics_from(info(roi=roi(100, 50, 400, 200)), 400, 200)
        assert camera == Intrinsics(500, 504, 219, 189, 400, 200)

    @pytest.mark.parametrize(('k', 'p'), [(K, P), (NO_P[:9], P)])
    def test_region_of_interest_then_binning(self, k, p):
        # (321 - 100) / 2, (241 - 50) / 4; 400 / 2, 200 / 4
        camera = intrinsics_from(info(k=k, p=p, roi=roi(100, 50, 400, 200), binning_x=2, binning_y=4), 200, 50)
        assert camera == Intrinsics(240, 121, 110.5, 47.75, 200, 50)

    def test_region_of_the_full_image(self):
        assert intrinsics_from(info(roi=roi(0, 0, 640, 480)), 640, 480) == intrinsics_from(info(), 640, 480)

    def test_region_without_size_is_none(self):
        assert intrinsics_from(info(roi=roi(100, 50, 0, 0)), 640, 480) == intrinsics_from(info(), 640, 480)

    def test_smaller_image_of_the_same_aspect(self):
        # (319 + 0.5) / 2 - 0.5, (239 + 0.5) / 2 - 0.5
        assert intrinsics_from(info(), 320, 240) == Intrinsics(250, 252, 159.25, 119.25, 320, 240)

    def test_larger_image_of_the_same_aspect(self):
        assert intrinsics_from(info(), 1280, 960) == Intrinsics(1000, 1008, 638.5, 478.5, 1280, 960)

    def test_size_off_by_the_rounding_of_a_resize(self):
        # 1280x720 to a width of 427: 240.2 rows, so 240 columns and rows are not quite in proportion.
        k = [900.0, 0.0, 640.0, 0.0, 900.0, 360.0, 0.0, 0.0, 1.0]
        camera = intrinsics_from(info(1280, 720, k), 427, 240)
        assert camera.fx == pytest.approx(900 * 427 / 1280)
        assert camera.fy == pytest.approx(900 * 240 / 720)

    def test_no_size_means_that_of_the_image(self):
        """As gscam, usb_cam and others leave it beside a good calibration; image_geometry does not read the fields."""
        assert intrinsics_from(info(0, 0), 640, 480) == Intrinsics(500, 504, 319, 239, 640, 480)
        assert intrinsics_from(info(0, 0, p=P), 641, 479) == Intrinsics(480, 484, 321, 241, 641, 479)

    def test_no_size_under_binning_is_that_of_the_image_too(self):
        assert intrinsics_from(info(0, 0, binning_x=2, binning_y=2), 320, 240) == Intrinsics(
            250, 252, 159.5, 119.5, 320, 240
        )

    def test_no_size_beside_a_region_of_interest_is_that_of_the_region(self):
        camera = intrinsics_from(info(0, 0, roi=roi(100, 50, 400, 200)), 400, 200)
        assert camera == Intrinsics(500, 504, 219, 189, 400, 200)

    def test_binning_of_an_odd_size(self):
        assert intrinsics_from(info(641, 481, binning_x=2, binning_y=2), 320, 240).fx == 250

    def test_fields_are_plain_numbers(self):
        # json and yaml know no NumPy scalars.
        camera = intrinsics_from(info(p=P), 320, 240)
        assert {type(camera.fx), type(camera.fy), type(camera.cx), type(camera.cy)} == {float}


REFUSED = {
    'no width': (info(0, 480), r'0x480 \(width 0, height 480, .* expected at least one pixel: does the driver fill'),
    'no height': (info(640, 0), '640x0 .* expected at least one pixel'),
    'binned to nothing': (info(binning_x=1000), '0x480 .* expected at least one pixel'),
    'region of no height': (info(roi=roi(0, 0, 640, 0)), '640x0 .* expected at least one pixel'),
    'other aspect': (info(640, 360), 'for 640x360, expected the aspect of the images, which are 640x480'),
    'other aspect by two pixels': (info(642, 480), 'for 642x480, expected the aspect'),
    'upright': (info(480, 640), 'for 480x640, expected the aspect'),
    'aspect of the region': (info(roi=roi(0, 0, 640, 240)), 'for 640x240, expected the aspect'),
    'aspect of the binned': (info(binning_x=2), 'for 320x480, expected the aspect'),
    'identity': (
        info(k=[1.0, 0, 0, 0, 1, 0, 0, 0, 1]),
        'fx 1 and fy 1 for 640x480 .* is K the identity',
    ),
    'uncalibrated': (info(k=[0.0] * 9), 'fx 0, fy 0, .* is the camera calibrated'),
    'negative fx': (info(k=k_with(0, -500.0)), 'fx -500, '),
    'no fy': (info(k=k_with(4, 0.0)), 'fy 0, '),
    'fx is not a number': (info(k=k_with(0, math.nan)), 'fx nan, '),
    'infinite fy': (info(k=k_with(4, math.inf)), 'fy inf, '),
    'infinite fx of P': (info(p=[math.inf, *P[1:]]), 'fx inf, '),
    'cx is not a number': (info(k=k_with(2, math.nan)), 'cx nan, '),
    'infinite cy': (info(k=k_with(5, -math.inf)), 'cy -inf, '),
    'infinite when scaled': (info(320, 240, k=k_with(0, 1.5e308)), 'fx inf, '),
    'zero when binned': (info(1280, 960, k=k_with(4, 5e-324), binning_x=2, binning_y=2), 'fy 0, '),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(case):
    msg, reason = REFUSED[case]
    with pytest.raises(RefusedCameraInfoError, match=reason) as refused:
        intrinsics_from(msg, 640, 480)
    assert refused.value.kind == 'camera_info'


class TestCameraInfoFrom:
    camera = Intrinsics(480.5, 484.25, 321.0, 241.0, 640, 480)
    header = Header(stamp=Time(sec=12, nanosec=345678901), frame_id='camera_optical')

    def test_every_field(self):
        msg = camera_info_from(self.camera, self.header)
        assert msg.header == self.header
        assert (msg.width, msg.height, msg.distortion_model, list(msg.d)) == (640, 480, 'plumb_bob', [0.0] * 5)
        assert list(msg.k) == [480.5, 0, 321, 0, 484.25, 241, 0, 0, 1]
        assert list(msg.r) == [1, 0, 0, 0, 1, 0, 0, 0, 1]
        assert list(msg.p) == [480.5, 0, 321, 0, 0, 484.25, 241, 0, 0, 0, 1, 0]
        assert (msg.binning_x, msg.binning_y, msg.roi) == (0, 0, RegionOfInterest())

    def test_header_is_a_copy(self):
        msg = camera_info_from(self.camera, self.header)
        msg.header.stamp.sec = 0
        assert self.header.stamp.sec == 12

    def test_there_and_back(self):
        assert intrinsics_from(camera_info_from(self.camera, Header()), 640, 480) == self.camera
