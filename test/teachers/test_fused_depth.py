# SPDX-License-Identifier: Apache-2.0
"""Depth of a model and other networks: fits by hand, and real networks."""

from contextlib import closing

import numpy as np
import pytest
from onnx import TensorProto
from rooms import rooms
from tiny_onnx import write_mean

from mtperception.teachers import TeacherError, TeacherOptions, open_teacher
from mtperception.teachers.depth_network import DepthNetwork
from mtperception.teachers.fused_depth import FusedDepthTeacher, fitted_depth, fitted_disparity, fused, without_jumps
from mtperception.types import Prediction

CPU = {'backend': 'onnxruntime', 'device': 'cpu'}


class Gives:
    """A model that gives a known depth."""

    tasks, name, sha256, gives_confidence, label_space = ('depth',), 'gives', '0', False, ()

    def __init__(self, depth):
        self._depth = depth

    def __call__(self, image, intrinsics):
        return Prediction(depth=self._depth, valid_mask=self._depth > 0)


def row(*values):
    return np.array([values], np.float32)


def test_depth_is_fitted_by_a_factor():
    own = row(1, 2, 4, 0)
    # Ratios 2, 4 and 4 where both have depth; their median is 4.
    np.testing.assert_allclose(fitted_depth(row(0.5, 0.5, 1, 3), own), row(2, 2, 4, 12))
    np.testing.assert_array_equal(fitted_depth(row(-1, 0, np.nan, 3), own), row(0, 0, 0, 0))
    np.testing.assert_allclose(fitted_depth(row(-1, np.inf, 2, 3), own), row(0, 0, 4, 6))


def test_disparity_is_fitted_by_scale_and_shift():
    own = row(1, 2, 4, 5, 0)
    # Exactly 1 / own = 0.02 x disparity - 0.1; so it is 0.4 in the last pixel, which has no depth of its own.
    disparity = row(55, 30, 17.5, 15, 25)
    np.testing.assert_allclose(fitted_disparity(disparity, own), row(1, 2, 4, 5, 2.5), rtol=1e-5)
    # 1 / 10 is half of the smallest inverse depth; what is farther has none.
    np.testing.assert_allclose(fitted_disparity(row(55, 30, 17.5, 15, 10.5), own)[0, 4], 1 / 0.11, rtol=1e-5)
    assert fitted_disparity(row(55, 30, 17.5, 15, 9.5), own)[0, 4] == 0
    assert fitted_disparity(row(55, 30, 17.5, 15, np.nan), own)[0, 4] == 0


def test_a_noisy_disparity_keeps_its_spread():
    """Least squares would flatten it."""
    # 1 / depth is 1, 0.5, 0.5, 0.25, 0.25: the median is 0.5, the mean deviation from it 0.2.
    own = row(1, 2, 2, 4, 4)
    # Here they are 3 and 0.6, so 1 / depth becomes 0.5 + (x - 3) / 3.
    np.testing.assert_allclose(fitted_disparity(row(4, 4, 3, 3, 2), own), row(1.2, 1.2, 2, 2, 6), rtol=1e-6)


def test_depth_and_disparity_that_rise_together_are_none():
    own = row(1, 2, 4)
    np.testing.assert_array_equal(fitted_depth(1 / own, own), row(0, 0, 0))
    np.testing.assert_array_equal(fitted_disparity(own, own), row(0, 0, 0))
    np.testing.assert_array_equal(fitted_disparity(row(7, 7, 7), own), row(0, 0, 0))
    np.testing.assert_array_equal(fitted_disparity(row(3, 2, 1), row(0, 0, 0)), row(0, 0, 0))


def test_the_mean_has_the_others_shape_and_the_own_median():
    own = row(1, 1, 1)
    # Logs of the others' mean 0, 0 and ln 2; times 0.8, and 0 for the own share: the median stays 1.
    np.testing.assert_allclose(fused(own, [row(1, 1, 2)]), row(1, 1, 2**0.8), rtol=1e-6)
    np.testing.assert_allclose(fused(own, [row(3, 3, 6)]), row(1, 1, 2**0.8), rtol=1e-6)
    # Two others count half as much each: sqrt(1.2 x 1.2) and sqrt(1 x 1.44) are the same.
    np.testing.assert_allclose(fused(own, [row(1, 1, 1.2), row(1, 1, 1.2)])[0, 2], 1.2**0.8, rtol=1e-6)
    np.testing.assert_allclose(fused(own, [row(1, 1, 1.25), row(1, 1, 1)])[0, 2], 1.25**0.4, rtol=1e-6)


def test_where_the_others_disagree_there_is_no_depth():
    own = row(1, 1, 1, 0)
    np.testing.assert_array_equal(
        fused(own, [row(1, 1, 2, 1), row(1, 1.39, 1.41, 1)]) > 0, [[True, True, False, False]]
    )
    np.testing.assert_array_equal(fused(own, [row(0, 1, 1, 1)]) > 0, [[False, True, True, False]])
    np.testing.assert_array_equal(fused(own, [row(0, 0, 0, 0)]), row(0, 0, 0, 0))


def test_jumps_are_left_out():
    """At 360 pixels a window is 9 wide and the margin 2, so 4 + 2 pixels on each side of a jump have none."""
    depth = np.ones((20, 360), np.float32)
    depth[:, 100:] = 2
    left = np.flatnonzero(without_jumps(depth)[10] == 0)
    np.testing.assert_array_equal(left, np.arange(94, 106))
    np.testing.assert_array_equal(without_jumps(depth)[10, 106:], 2)


def test_slopes_are_no_jumps():
    slope = np.broadcast_to(np.linspace(1, 10, 360, dtype=np.float32), (20, 360))
    # Within 9 pixels it rises by 0.2 m: more than a tenth of what is nearer than 2 m.
    kept = without_jumps(slope)[10] > 0
    assert kept[60:].all()
    assert not kept[:30].any()
    holes = slope.copy()
    holes[:, 200:210] = 0
    np.testing.assert_array_equal(without_jumps(holes) > 0, (without_jumps(slope) > 0) & (holes > 0))


def test_real_networks(tmp_path):
    """One takes what is bright for far, the other says that what is dark is near; the labels stay the model's."""
    sample = rooms(1, 192, 144)[0]
    takes = {'shape': (1, 36, 48, 3), 'kind': TensorProto.UINT8, 'axes': (3,)}
    bright = str(write_mean(tmp_path / 'bright.onnx', **takes))
    dark = str(write_mean(tmp_path / 'dark.onnx', **takes, negative=True))
    with (
        closing(open_teacher('nyuv2_indoor', TeacherOptions(**CPU))) as alone,
        closing(open_teacher('nyuv2_indoor', TeacherOptions(**CPU, depth_opinions=(bright,)))) as depth,
        closing(open_teacher('nyuv2_indoor', TeacherOptions(**CPU, disparity_opinions=(dark,)))) as disparity,
    ):
        assert depth.name == 'nyuv2_indoor with depth of bright'
        assert len({alone.sha256, depth.sha256, disparity.sha256}) == 3
        assert depth.tasks == alone.tasks
        before, after = (teacher(sample.image, sample.intrinsics) for teacher in (alone, depth))
        inverse = disparity(sample.image, sample.intrinsics)
    np.testing.assert_array_equal(before.labels, after.labels)
    np.testing.assert_array_equal(before.confidence, after.confidence)
    known = after.depth > 0
    np.testing.assert_array_equal(after.valid_mask, known)
    assert 0.3 < known.mean() < 0.9  # brightness jumps at the edges of things
    # Its scale is that of all pixels, of which these are some.
    assert np.median(after.depth[known]) == pytest.approx(np.median(before.depth[known]), rel=0.4)
    brightness = sample.image.mean(axis=2)

    def follows(prediction):
        there = prediction.depth > 0
        return np.corrcoef(brightness[there], np.log(prediction.depth[there]))[0, 1]

    assert follows(before) < 0.9 < min(follows(after), follows(inverse))


def test_a_network_that_contradicts_is_told_once(tmp_path, caplog):
    """Disparity given for depth, and the reverse: no depth, and a warning for all images."""
    own = np.broadcast_to(1 / np.linspace(1, 0.2, 8, dtype=np.float32), (6, 8))

    takes = {'shape': (1, 6, 8, 3), 'kind': TensorProto.UINT8, 'axes': (3,)}
    network = DepthNetwork(str(write_mean(tmp_path / 'bright.onnx', **takes)))
    image = np.broadcast_to(np.arange(80, 0, -10, dtype=np.uint8)[:, None], (6, 8, 3))
    teacher = FusedDepthTeacher(Gives(own), depth=[network])
    assert not any(teacher(image, None).depth.any() for _ in range(2))
    [record] = caplog.records
    assert record.getMessage().startswith('bright says farther where gives says nearer')
    fits = FusedDepthTeacher(Gives(own), disparity=[network])(image, None).depth
    np.testing.assert_allclose(fits, own, rtol=1e-5)
    assert len(caplog.records) == 1


def test_networks_of_the_same_name_are_two(tmp_path):
    own = np.broadcast_to(np.float32([1, 2, 2, 4, 4, 4, 4, 4]), (6, 8))

    takes = {'shape': (1, 6, 8, 3), 'kind': TensorProto.UINT8, 'axes': (3,)}
    paths = [tmp_path / name / 'model.onnx' for name in 'ab']
    for path, operator in zip(paths, ('ReduceMean', 'ReduceLogSum'), strict=True):
        path.parent.mkdir()
        write_mean(path, **takes, operator=operator)
    image = np.broadcast_to(np.uint8([10, 10, 10, 90, 90, 90, 90, 90])[:, None], (6, 8, 3))
    first, second = (DepthNetwork(str(path)) for path in paths)
    both = FusedDepthTeacher(Gives(own), depth=[first, second])(image, None).depth
    alone = FusedDepthTeacher(Gives(own), depth=[second])(image, None).depth
    # The first says 9 times, the second only ln 270 / ln 30 = 1.65 times as far: they differ too much.
    assert (alone > 0).all()
    assert not (both[:, :3] > 0).any()


def test_what_does_not_go_together_is_said(tmp_path):
    network = str(write_mean(tmp_path / 'bright.onnx'))
    with pytest.raises(TeacherError, match='depth by geometry, depth opinions correct that of a model: expected one'):
        open_teacher('street', TeacherOptions(**CPU, camera_height=1.5, depth_opinions=(network,)))

    class Labels:
        tasks = ('segmentation',)
        name = 'labels'

    with pytest.raises(TeacherError, match='labels gives only segmentation: expected a model with depth'):
        FusedDepthTeacher(Labels(), [])
