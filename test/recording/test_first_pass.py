# SPDX-License-Identifier: Apache-2.0
"""What the first pass over a bag finds: stamps without decoding, and how the camera moves."""

from contextlib import closing

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import STORE
from recordings import IMAGE, image, odometry, posestamped, transforms, translation, write_recording

from mtperception.recording.bag_reader import BagReader
from mtperception.recording.camera_motion import camera_motion
from mtperception.recording.first_pass import first_pass, raw_header, used_connections
from mtperception.recording.topics import TopicRequest, choose_topics

COLOR = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
SECOND = 10**9


@pytest.mark.parametrize('little_endian', [True, False])
def test_the_header_is_read_off_the_bytes(little_endian):
    stamp_ns = 1_790_000_000_123_456_789
    message = image(COLOR, stamp_ns, frame='/front_optical')
    data = STORE.serialize_cdr(message, message.__msgtype__, little_endian=little_endian)
    assert raw_header(data) == (stamp_ns, 'front_optical')


def test_bytes_that_are_no_header_have_no_stamp():
    assert raw_header(b'') == (0, '')
    assert raw_header(bytes(15)) == (0, '')


@pytest.fixture
def motion(tmp_path):
    """(the camera's position at some seconds, description) of a bag with an image in `camera` and some messages."""

    def find(*messages, seconds=(0.0,), pose=''):
        path = write_recording(tmp_path / 'bag', [(IMAGE, image(COLOR, SECOND)), *messages])
        with closing(BagReader(path)) as reader:
            topics = choose_topics(reader, TopicRequest(pose=pose))
            found = first_pass(reader, topics, reader.messages(used_connections(reader, topics)))
        found_motion = camera_motion(found, IMAGE, pose_asked_for=bool(pose))
        at = [found_motion.at(round(SECOND * (1 + x))) for x in seconds]
        return [None if T is None else T[:3, 3].tolist() for T in at], found_motion.description

    return find


def moving(kind, *xs, **frames):
    return [kind(translation(x=x), SECOND * (1 + second), **frames) for second, x in enumerate(xs)]


MOUNT = ('/tf_static', transforms(('base', 'camera', translation(z=0.5), 0)))


def test_odometry_and_where_the_camera_is_mounted(motion):
    messages = [('/odom', message) for message in moving(odometry, 0.0, 1.0)]
    positions, text = motion(MOUNT, *messages, seconds=(0, 0.25, 1.5))
    assert positions[:2] == [pytest.approx([0, 0, 0.5]), pytest.approx([0.25, 0, 0.5])]
    assert positions[2] is None
    assert text == 'odometry of base'


def test_odometry_of_an_unknown_mount_is_said_to_be_of_no_use(motion):
    positions, text = motion(*(('/odom', message) for message in moving(odometry, 0.0, 1.0)))
    assert positions == [None]
    assert text == "not known: odometry of 'base', but no static transform from there to 'camera'"


def test_transforms_that_move(motion):
    steps = [('/tf', transforms(('map', 'base', translation(x=x), SECOND * (1 + x)))) for x in (0, 1)]
    positions, text = motion(MOUNT, *steps, seconds=(0.5,))
    assert positions == [pytest.approx([0.5, 0, 0.5])]
    assert text == 'transforms from camera to map'


def test_transforms_that_stand_still_are_no_motion(motion):
    assert motion(MOUNT) == ([None], 'not known: no poses in the bag')


def test_a_pose_is_taken_for_the_camera(motion):
    messages = [('/pose', message) for message in moving(posestamped, 0.0, 1.0)]
    positions, text = motion(*messages, seconds=(0.5,))
    assert positions == [pytest.approx([0.5, 0, 0])]
    assert text.startswith('PoseStamped')


def test_transforms_go_before_a_pose_unless_it_is_asked_for(motion, tmp_path):
    poses = [('/pose', message) for message in moving(posestamped, 7.0, 8.0)]
    steps = [('/tf', transforms(('map', 'camera', translation(x=x), SECOND * (1 + x)))) for x in (0, 1)]
    assert motion(*poses, *steps)[1] == 'transforms from camera to map'
    (tmp_path / 'bag').rename(tmp_path / 'other')
    assert motion(*poses, *steps, pose='/pose')[0] == [[7, 0, 0]]
