import numpy as np
import pytest

pytest.importorskip('rosbags', reason='messages are made with the extra `bags`')

from recordings import quaternion, transforms, translation

from mtperception.recording.transform_tree import Trajectory, TransformTree, pose_matrix
from mtperception.synthetic import pose

QUARTER = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""A quarter turn about z: x becomes y."""


def test_a_quaternion_becomes_its_rotation():
    half = np.sqrt(0.5)  # of a quarter turn: cos and sin of 45 degrees
    np.testing.assert_allclose(pose_matrix(np.array([0, 0, 0, 0, 0, half, half])), QUARTER, atol=1e-12)


@pytest.mark.parametrize('seconds', [0.0, 7.0, 21.0])
def test_any_pose_comes_back(seconds):
    expected = pose(seconds)
    got = pose_matrix(np.concatenate([expected[:3, 3], quaternion(expected[:3, :3])]))
    np.testing.assert_allclose(got, expected, atol=1e-9)


class TestTrajectory:
    def poses(self):
        turned = np.array([2.0, 0, 0, 0, 0, np.sqrt(0.5), np.sqrt(0.5)])
        return Trajectory([100, 0], np.array([turned, [0, 0, 0, 0, 0, 0, 1]]))

    def test_half_way(self):
        """Half of the way, and half of the quarter turn: 45 degrees."""
        matrix = self.poses().at(50)
        np.testing.assert_allclose(matrix[:3, 3], [1, 0, 0])
        np.testing.assert_allclose(matrix[:2, 0], np.sqrt([0.5, 0.5]))

    def test_quaternions_of_other_sign_are_the_same_rotation(self):
        straight = Trajectory([0, 100], np.array([[0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, -1.0]]))
        np.testing.assert_allclose(straight.at(30), np.eye(4), atol=1e-12)
        half = np.sqrt(0.5)
        quarter_turn = Trajectory([0, 100], np.array([[0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, -half, -half]]))
        np.testing.assert_allclose(quarter_turn.at(50)[:2, 0], [half, half])

    def test_turns_evenly(self):
        half, angle = np.sqrt(0.5), np.radians(22.5)
        quarter_turn = Trajectory([0, 100], np.array([[0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, half, half]]))
        np.testing.assert_allclose(quarter_turn.at(25)[:2, 0], [np.cos(angle), np.sin(angle)])

    def test_at_its_ends(self):
        np.testing.assert_allclose(self.poses().at(0), np.eye(4))
        np.testing.assert_allclose(self.poses().at(100)[:3, 3], [2, 0, 0])

    def test_nothing_is_made_up_outside(self):
        assert self.poses().at(-1) is None
        assert self.poses().at(101) is None

    def test_nothing_is_made_up_in_long_gaps(self):
        still = np.tile([0, 0, 0, 0, 0, 0, 1.0], (2, 1))
        assert Trajectory([0, 1_000_000_000], still).at(5) is not None
        assert Trajectory([0, 1_000_000_001], still).at(5) is None


class TestTransformTree:
    @pytest.fixture
    def tree(self):
        """odom > base (moves 1 m/s) > mast > colour, depth."""
        tree = TransformTree()
        tree.add(transforms(('base', 'mast', translation(z=1), 0), ('mast', 'color', QUARTER, 0)), static=True)
        tree.add(transforms(('/mast', '/depth', translation(y=0.5), 0)), static=True)
        tree.add(transforms(('odom', 'base', translation(), 0)), static=False)
        tree.add(transforms(('odom', 'base', translation(x=1), 10**9)), static=False)
        return tree

    def test_between_siblings(self, tree):
        """The depth camera is 0.5 m along the mast's y, which is the colour camera's x."""
        np.testing.assert_allclose(tree.find('color', 'depth', None)[:3, 3], [0.5, 0, 0], atol=1e-12)

    def test_there_and_back(self, tree):
        there, back = tree.find('color', 'depth', None), tree.find('depth', 'color', None)
        np.testing.assert_allclose(there @ back, np.eye(4), atol=1e-12)

    def test_over_time(self, tree):
        np.testing.assert_allclose(tree.find('odom', 'color', 250_000_000)[:3, 3], [0.25, 0, 1])
        assert tree.find('odom', 'color', 2 * 10**9) is None

    def test_what_moves_is_not_static(self, tree):
        assert tree.find('odom', 'color', None) is None

    def test_frames_that_are_not_connected(self, tree):
        assert tree.find('color', 'gps', 0) is None

    def test_the_root_and_what_moves_in_it(self, tree):
        assert tree.root('/color') == 'odom'
        assert tree.moves('color')
        assert not tree.moves('gps')
        assert tree.root('gps') == 'gps'

    def test_a_loop_ends(self):
        tree = TransformTree()
        tree.add(transforms(('a', 'b', translation(x=1), 0), ('b', 'a', translation(x=1), 0)), static=True)
        assert tree.find('a', 'c', None) is None
        assert tree.root('a') in ('a', 'b')


def test_stamps_have_nanoseconds():
    tree = TransformTree()
    for x, stamp_ns in ((0.0, 0), (1.0, 500_000_000)):
        tree.add(transforms(('odom', 'base', translation(x=x), stamp_ns)), static=False)
    np.testing.assert_allclose(tree.find('odom', 'base', 250_000_000)[:3, 3], [0.5, 0, 0])


def test_the_newest_static_transform_counts():
    tree = TransformTree()
    for x in (1.0, 2.0):
        tree.add(transforms(('a', 'b', translation(x=x), 0)), static=True)
    assert tree.find('a', 'b', None)[0, 3] == 2
