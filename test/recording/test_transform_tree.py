# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

pytest.importorskip('rosbags', reason='messages are made with the extra `bags`')

from recordings import quaternion, transforms, translation

from mtperception.recording.nearest_transforms import nearest_tree
from mtperception.recording.transform_tree import Trajectory, TransformTree, pose_matrix
from mtperception.synthetic import pose

QUARTER = np.array([[0.0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
"""A quarter turn about z: x becomes y."""


@pytest.mark.parametrize('length', [1.0, 1e-200, 1e200])
def test_a_quaternion_becomes_its_rotation(length):
    half = length * np.sqrt(0.5)  # of a quarter turn: cos and sin of 45 degrees
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

    def test_near_its_ends_the_nearest_pose_holds(self):
        np.testing.assert_array_equal(self.poses().near(105, 5), self.poses().at(100))
        np.testing.assert_array_equal(self.poses().near(-5, 5), self.poses().at(0))
        np.testing.assert_array_equal(self.poses().near(50, 5), self.poses().at(50))
        assert self.poses().near(106, 5) is None

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

    def test_transforms_that_are_none_are_passed_over(self, tree):
        before = tree.find('odom', 'color', 250_000_000)
        tree.add(transforms(('odom', 'base', np.zeros((4, 4)), 5 * 10**8)), static=False)
        tree.add(transforms(('base', 'mast', np.zeros((4, 4)), 0)), static=True)
        np.testing.assert_array_equal(tree.find('odom', 'color', 250_000_000), before)

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


class TestOneFrameWithTwoParents:
    """As tf2 has it: the newest one holds; poses in the other are never mixed with those in it."""

    def tree(self, *entries):
        tree = TransformTree()
        for parent, x, seconds in entries:
            tree.add(transforms((parent, 'base', translation(x=x), round(seconds * 10**9))), static=False)
        return tree

    def test_one_after_the_other(self):
        """A localisation that starts again gives the robot a new origin, 100 m away."""
        tree = self.tree(('odom', 0, 0), ('odom', 1, 1), ('map', 101, 1.5), ('map', 102, 2))
        assert tree.root('base') == 'map'
        assert tree.find('map', 'base', 500_000_000) is None
        assert tree.find('map', 'base', 1_250_000_000) is None
        np.testing.assert_allclose(tree.find('map', 'base', 1_750_000_000)[:3, 3], [101.5, 0, 0])
        np.testing.assert_allclose(tree.find('odom', 'base', 500_000_000)[:3, 3], [0.5, 0, 0])

    def test_one_beside_the_other(self):
        """Odometry and a localisation both publish it, in turn."""
        tree = self.tree(*(entry for t in range(4) for entry in (('odom', t, t / 10), ('map', 50 + t, t / 10 + 0.05))))
        assert tree.root('base') == 'map'
        np.testing.assert_allclose(tree.find('map', 'base', 100_000_000)[:3, 3], [50.5, 0, 0])

    def test_in_a_tree_that_connects_both_nothing_is_lost(self):
        tree = self.tree(('odom', 0, 0), ('odom', 1, 1), ('dock', 2, 1.5), ('dock', 2, 2))
        tree.add(transforms(('map', 'odom', translation(), 0), ('map', 'dock', translation(y=3), 0)), static=True)
        np.testing.assert_allclose(tree.find('map', 'base', 500_000_000)[:3, 3], [0.5, 0, 0])
        np.testing.assert_allclose(tree.find('map', 'base', 1_700_000_000)[:3, 3], [2, 3, 0])

    def test_of_static_ones_too(self):
        tree = TransformTree()
        for parent in ('odom', 'map'):
            tree.add(transforms((parent, 'base', translation(x=1), 0)), static=True)
        assert tree.find('odom', 'base', None) is None
        assert tree.find('map', 'base', None)[0, 3] == 1


class TestTransformsThatNeverChange:
    """Drivers that publish the frames of their camera on /tf, ten times a second."""

    def tree(self, *xs, parent='link', quaternion_sign=1):
        tree = TransformTree()
        for index, x in enumerate(xs):
            message = transforms((parent, 'color', translation(x=x) @ QUARTER, index * 10**8))
            turned = message.transforms[0].transform.rotation
            for name in 'xyzw':  # q and -q are one rotation
                setattr(turned, name, getattr(turned, name) * quaternion_sign**index)
            tree.add(message, static=False)
        tree.add(transforms(('link', 'depth', translation(), 0)), static=True)
        return tree

    @pytest.mark.parametrize('sign', [1, -1])
    def test_serve_as_static_ones(self, sign):
        tree = self.tree(0.05, 0.05, 0.05, quaternion_sign=sign)
        np.testing.assert_allclose(tree.find('depth', 'color', None), translation(x=0.05) @ QUARTER, atol=1e-9)

    def test_but_not_if_they_change(self):
        assert self.tree(0.05, 0.05, 0.06).find('depth', 'color', None) is None

    def test_are_no_motion(self):
        assert not self.tree(0.05, 0.05).moves('color')

    @pytest.mark.parametrize('parent', ['odom', 'map', 'robot1/odom', 'world'])
    def test_but_standing_still_in_the_world_is(self, parent):
        assert self.tree(1, 1, parent=parent).moves('color')


class TestSeveralRobots:
    """They use the same names of frames, each on topics of its own."""

    IMAGES = '/robot1/camera/image'

    def nearest(self, **x_by_topic):
        trees = {}
        for topic, x in x_by_topic.items():
            tree = trees[topic.replace('__', '/')] = TransformTree()
            tree.add(transforms(('base', 'camera', translation(x=x), 0)), static=True)
        tree, notes = nearest_tree(trees, self.IMAGES)
        found = tree.find('base', 'camera', None)
        return None if found is None else found[0, 3], notes

    def test_the_nearest_counts_and_the_choice_is_told(self):
        x, notes = self.nearest(__robot2__tf_static=2, __tf_static=3, __robot1__tf_static=1)
        assert x == 1
        assert notes == [
            f'transforms: camera on /robot1/tf_static and on {other}: the first, nearer to the images, is used'
            for other in ('/tf_static', '/robot2/tf_static')
        ]

    def test_else_the_global_one(self):
        x, notes = self.nearest(__robot2__tf_static=2, __tf_static=3)
        assert (x, len(notes)) == (3, 1)

    def test_else_the_only_one(self):
        assert self.nearest(__robot__tf_static=2) == (2, [])

    def test_of_two_others_none(self):
        x, (note,) = self.nearest(__robot3__tf_static=2, __robot2__tf_static=3)
        assert x is None
        assert '/robot3/tf_static' in note

    def test_those_of_another_camera_are_not_borrowed(self):
        other = TransformTree()
        other.add(transforms(('base', 'camera', translation(x=1), 0)), static=True)
        tree, (note,) = nearest_tree({'/robot2/tf_static': other}, self.IMAGES, ['/robot2/camera/image'])
        assert tree.find('base', 'camera', None) is None
        assert note == f'transforms: none of /robot2/tf_static belongs to {self.IMAGES}: none is used'

    def test_what_the_nearest_does_not_know_others_above_say(self):
        own, shared = TransformTree(), TransformTree()
        own.add(transforms(('base', 'camera', translation(x=1), 0)), static=True)
        shared.add(transforms(('map', 'base', translation(y=2), 0)), static=True)
        tree, notes = nearest_tree({'/robot1/tf_static': own, '/tf_static': shared}, self.IMAGES)
        np.testing.assert_allclose(tree.find('map', 'camera', None)[:3, 3], [1, 2, 0])
        assert notes == []

    def test_moving_and_static_transforms_of_one_robot_are_one_tree(self):
        static, moving = TransformTree(), TransformTree()
        static.add(transforms(('base', 'camera', translation(x=1), 0)), static=True)
        for seconds in (0, 1):
            moving.add(transforms(('odom', 'base', translation(y=seconds), seconds * 10**9)), static=False)
        tree, notes = nearest_tree({'/robot1/tf': moving, '/robot1/tf_static': static}, self.IMAGES)
        np.testing.assert_allclose(tree.find('odom', 'camera', 500_000_000)[:3, 3], [1, 0.5, 0])
        assert notes == []
