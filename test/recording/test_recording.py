# SPDX-License-Identifier: Apache-2.0
"""Bags as frames: everything in order, nothing dropped, and what is wrong is said."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import make
from recordings import (
    DEPTH,
    DEPTH_INFO,
    IMAGE,
    INFO,
    LABELS,
    MS,
    color,
    compressed,
    depth_16u,
    depth_32f,
    depth_compressed_16u,
    depth_compressed_32f,
    frames_of,
    image,
    info,
    odometry,
    png_bytes,
    posestamped,
    room_messages,
    transforms,
    translation,
    write_recording,
)
from rosbags.rosbag2 import StoragePlugin

from mtperception.recording.recording import Recording
from mtperception.recording.topics import TopicRequest
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics

SIZE = 48, 36


@pytest.mark.parametrize(
    ('plugin', 'compression'),
    [
        (StoragePlugin.SQLITE3, None),
        (StoragePlugin.SQLITE3, 'MESSAGE'),
        (StoragePlugin.SQLITE3, 'FILE'),
        (StoragePlugin.MCAP, None),
        (StoragePlugin.MCAP, 'STORAGE'),
        (StoragePlugin.MCAP, 'FILE'),
    ],
)
def test_every_storage_gives_the_scene_back(tmp_path, plugin, compression):
    path = write_recording(tmp_path / 'walk', room_messages(3, *SIZE), plugin, compression)
    frames, notes, facts = frames_of(path, TopicRequest(labels=LABELS))
    assert notes == ()
    assert [frame.index for frame in frames] == [0, 1, 2]
    room = SyntheticRoom(*SIZE)
    for frame in frames:
        seconds = frame.index * 0.1
        expected = room.frame(seconds)
        assert frame.stamp_ns == 10**12 + frame.index * 100 * MS
        np.testing.assert_array_equal(frame.image, expected.image)
        np.testing.assert_array_equal(frame.labels, expected.labels)
        np.testing.assert_allclose(frame.depth, expected.depth, atol=0.0006)  # millimetres, rounded
        assert frame.intrinsics == room.intrinsics
        np.testing.assert_allclose(frame.T_world_camera, pose(seconds), atol=1e-9)
    assert facts[f'pairs_{DEPTH}'] == '3 of 3 images, of 3 there'


@pytest.mark.parametrize(
    ('encode', 'tolerance'),
    [(depth_16u, 0.0006), (depth_32f, 0), (depth_compressed_16u, 0.0006), (depth_compressed_32f, 0.006)],
)
def test_every_kind_of_depth(tmp_path, encode, tolerance):
    """Inverse depth has steps of z^2 / 10100: 5 mm at the 7 m that the room has at most."""
    path = write_recording(tmp_path / 'walk', room_messages(1, *SIZE, encode_depth=encode))
    ((frame,), _, _) = frames_of(path)
    np.testing.assert_allclose(frame.depth, SyntheticRoom(*SIZE).frame(0.0).depth, atol=tolerance)


def test_frames_keep_the_order_of_the_recording_and_none_is_dropped(tmp_path):
    """Stamps that jump back, and two that are equal."""
    stamps = [500, 100, 300, 300]
    path = write_recording(tmp_path / 'bag', [(IMAGE, image(color(i), s * MS)) for i, s in enumerate(stamps)])
    frames, _, _ = frames_of(path)
    assert [frame.stamp_ns // MS for frame in frames] == stamps
    assert [frame.image[0, 0, 0] for frame in frames] == [0, 1, 2, 3]


def test_depth_that_was_recorded_before_or_after_its_image(tmp_path):
    meters = [np.full((2, 4), value, np.float32) for value in (1, 2, 3)]
    messages = [
        (DEPTH, depth_32f(meters[0], 103 * MS)),
        (IMAGE, image(color(0), 100 * MS)),
        (IMAGE, image(color(1), 200 * MS)),
        (IMAGE, image(color(2), 300 * MS)),  # nothing within 20 ms
        (DEPTH, depth_32f(meters[2], 400 * MS)),  # nor for this one
        (DEPTH, depth_32f(meters[1], 181 * MS)),
    ]
    frames, _, facts = frames_of(write_recording(tmp_path / 'bag', messages))
    assert [frame.depth is not None and frame.depth[0, 0] for frame in frames] == [1, 2, False]
    assert facts[f'pairs_{DEPTH}'] == '2 of 3 images, of 3 there'


def test_the_tolerance_can_be_chosen(tmp_path):
    depth = np.ones((2, 4), np.float32)
    path = write_recording(
        tmp_path / 'bag', [(IMAGE, image(color(0), 10**9)), (DEPTH, depth_32f(depth, 10**9 + 50 * MS))]
    )
    assert frames_of(path)[0][0].depth is None
    assert frames_of(path, tolerance=0.06)[0][0].depth is not None


def test_depth_elsewhere_without_transforms_is_said_to_be_of_no_use(tmp_path):
    depth = np.ones((2, 4), np.float32)
    messages = [(IMAGE, image(color(0), 10**9)), (DEPTH, depth_32f(depth, 10**9, 'depth_optical'))]
    path = write_recording(tmp_path / 'bag', messages)
    ((frame,), (note,), _) = frames_of(path)
    assert frame.depth is None
    assert "transforms that do not move between 'camera' and 'depth_optical'" in note
    assert '--depth-registered' in note
    ((frame,), notes, _) = frames_of(path, depth_registered=True)
    np.testing.assert_array_equal(frame.depth, depth)
    assert notes == ()


def test_labels_as_png_with_another_offset(tmp_path):
    ids = np.array([[10, 11, 0, 255], [12, 10, 10, 9]], np.uint8)
    messages = [(IMAGE, image(color(0), 10**9)), ('/ids', compressed(png_bytes(ids), 10**9, 'png'))]
    path = write_recording(tmp_path / 'bag', messages)
    ((frame,), _, _) = frames_of(path, TopicRequest(labels='/ids'), label_offset=10)
    np.testing.assert_array_equal(frame.labels, [[0, 1, 255, 255], [2, 0, 0, 255]])


def test_labels_of_another_size_are_resized_but_not_stretched(tmp_path):
    """As 512x512 beside 640x480: the class of a pixel would be that of another place."""
    messages = [
        (IMAGE, image(color(0), 1 * MS)),
        (LABELS, image(np.array([[1, 2], [3, 4]], np.uint8), 1 * MS, 'mono8')),
        (IMAGE, image(color(1), 100 * MS)),
        (LABELS, image(np.array([[1, 2]], np.uint8), 100 * MS, 'mono8')),
    ]
    frames, notes, _ = frames_of(write_recording(tmp_path / 'bag', messages), TopicRequest(labels=LABELS))
    assert frames[0].labels is None
    assert frames[1].labels.tolist() == [[0, 0, 1, 1]] * 2
    assert notes == ('labels: 1 refused, the first: found labels of 2x2, expected the aspect of 4x2',)


class TestTheCameraInfoOfDepth:
    """Two cameras in one place: with half the focal length, the image shows the middle of the depth, which is 4 m."""

    CAMERA, WIDE = Intrinsics(100.0, 100.0, 19.5, 14.5, 40, 30), Intrinsics(50.0, 50.0, 19.5, 14.5, 40, 30)
    SAME, MIDDLE = [2.0, 4.0], [4.0, 4.0]

    def nothing(self):
        empty = info(self.CAMERA)
        empty.k[:] = 0
        return empty

    def recorded(self, tmp_path, *depth_infos):
        """Frames and notes of a bag with an image and depth after each list of camera_infos of the depth."""
        depth = np.full((30, 40), 4, np.float32)
        depth[:, :10] = 2
        messages = [
            ('/tf_static', transforms(('camera', 'depth_optical', translation(), 0))),
            (INFO, info(self.CAMERA)),
        ]
        for index, infos in enumerate(depth_infos):
            messages += [(DEPTH_INFO, each) for each in infos]
            messages.append((IMAGE, image(np.full((30, 40, 3), (index, 2, 3), np.uint8), (1 + index) * 100 * MS)))
            messages.append((DEPTH, depth_32f(depth, (1 + index) * 100 * MS, 'depth_optical')))
        return write_recording(tmp_path / 'bag', messages)

    def seen(self, frame):
        """Depth at the left and in the middle."""
        return None if frame.depth is None else frame.depth[15, [2, 20]].tolist()

    @pytest.mark.parametrize('last', [SAME, MIDDLE], ids=['same', 'another'])
    def test_the_newest_usable_one_counts_and_the_first_usable_one_before(self, tmp_path, last):
        first, second = info(self.CAMERA), info(self.CAMERA if last == self.SAME else self.WIDE)
        path = self.recorded(tmp_path, [], [self.nothing()], [first], [self.nothing()], [first, second], [second])
        frames, notes, _ = frames_of(path)
        assert [self.seen(frame) for frame in frames] == [self.SAME] * 4 + [last] * 2
        assert notes == ()

    def test_whichever_frames_are_read(self, tmp_path):
        path = self.recorded(tmp_path, [self.nothing()], [info(self.CAMERA)], [info(self.WIDE)])
        with Recording(path) as recording:
            seen = [self.seen(frame) for index in range(3) for frame in recording.frames(positions=[index])]
        assert seen == [self.SAME, self.SAME, self.MIDDLE]

    def test_without_a_usable_one_it_is_said_why(self, tmp_path):
        frames, (note,), _ = frames_of(self.recorded(tmp_path, [self.nothing()], []))
        assert [frame.depth for frame in frames] == [None, None]
        assert note.startswith('depth: 2 refused, the first: found fx 0')


def test_the_newest_camera_info_counts_and_a_broken_one_does_not(tmp_path):
    camera = SyntheticRoom(4, 2).intrinsics
    nothing = info(camera)
    nothing.k[:] = 0
    messages = [
        (IMAGE, image(color(0), 1 * MS)),
        (INFO, info(camera)),
        (IMAGE, image(color(1), 2 * MS)),
        (INFO, nothing),
        (IMAGE, image(color(2), 3 * MS)),
    ]
    frames, notes, _ = frames_of(write_recording(tmp_path / 'bag', messages))
    assert [frame.intrinsics for frame in frames] == [camera, camera, None]
    assert 'is the camera calibrated?' in notes[0]


def test_a_pose_outside_of_the_recorded_time_is_not_known(tmp_path):
    messages = [('/pose', posestamped(translation(), 10**9)), (IMAGE, image(color(0), 10**9 + 1))]
    ((frame,), _, _) = frames_of(write_recording(tmp_path / 'bag', messages))
    assert frame.T_world_camera is None


def test_an_image_without_a_stamp_has_the_time_of_its_reception(tmp_path):
    path = write_recording(tmp_path / 'bag', [(IMAGE, image(np.zeros((2, 4, 3), np.uint8), 0))])
    with Recording(path) as recording:
        (frame,) = recording.frames()
    assert frame.stamp_ns == frame.received_ns == 10**12


class TestWhatIsMissingIsTold:
    """Each figure that cannot be given has a reason."""

    def notes(self, tmp_path, *messages, **options):
        return frames_of(write_recording(tmp_path / 'bag', messages), **options)[1]

    @pytest.mark.parametrize(('late_ms', 'said'), [(33, '0.033 s'), (1_700_000_000_000, '1.7e+09 s')])
    def test_depth_without_a_pair(self, tmp_path, late_ms, said):
        pairs = [
            message
            for index in range(1, 4)
            for message in (
                (IMAGE, image(color(index), index * 100 * MS)),
                (DEPTH, depth_16u(np.ones((2, 4), np.float32), (index * 100 + late_ms) * MS)),
            )
        ]
        (note,) = self.notes(tmp_path, *pairs)
        assert note == (
            f'depth: none of 3 images has a partner on {DEPTH} within 0.02 s; the nearest are {said} away: '
            'see --tolerance'
        )

    def test_odometry_without_a_child_frame(self, tmp_path):
        messages = [('/odom', odometry(translation(), stamp * MS, child='')) for stamp in (100, 200)]
        (note,) = self.notes(tmp_path, (IMAGE, image(color(1), 150 * MS)), *messages)
        assert note.startswith('camera motion: odometry without child_frame_id')

    def test_odometry_of_an_unknown_mount(self, tmp_path):
        messages = [('/odom', odometry(translation(), stamp * MS)) for stamp in (100, 200)]
        (note,) = self.notes(tmp_path, (IMAGE, image(color(1), 150 * MS)), *messages)
        assert note.startswith("camera motion: odometry of 'base', but no static transform from there to 'camera'")

    def test_poses_of_another_clock(self, tmp_path):
        messages = [('/odom', odometry(translation(), stamp * MS, child='camera')) for stamp in (9100, 9200)]
        (note,) = self.notes(tmp_path, (IMAGE, image(color(1), 150 * MS)), *messages)
        assert note == (
            'camera motion: odometry of camera gives no pose at the time of any of 1 images, which are 8.95 s apart '
            'from all poses: figures that need the motion are missing'
        )

    def test_another_robots_transforms(self, tmp_path):
        """robot2 drives about; the camera of robot1 stands still."""
        still = [('/robot1/tf', transforms(('odom', 'camera', translation(), s * MS))) for s in (100, 200)]
        driving = [('/robot2/tf', transforms(('odom', 'camera', translation(x=s), s * MS))) for s in (100, 200)]
        messages = [('/robot1/camera/image', image(color(1), 150 * MS)), *still, *driving]
        ((frame,), (note,), _) = frames_of(write_recording(tmp_path / 'bag', messages))
        np.testing.assert_allclose(frame.T_world_camera, np.eye(4))
        assert note.startswith('transforms: camera on /robot1/tf and on /robot2/tf')

    def test_a_topic_that_cannot_be_read(self, tmp_path):
        path = write_recording(
            tmp_path / 'bag', [(IMAGE, image(color(1), 1)), ('/pose', posestamped(translation(), 1))]
        )
        with closing(sqlite3.connect(path / 'bag.db3')) as database:
            database.execute("UPDATE topics SET type = 'robot/msg/Battery' WHERE name = '/pose'")
            database.commit()
        _, (note,), _ = frames_of(path)
        assert note == (
            'skipped (unreadable and not needed): /pose (robot/msg/Battery, whose definition is not in the recording)'
        )


def test_saturated_depth_is_no_measurement(tmp_path):
    depth = np.full((2, 4), 2000, np.uint16)
    depth[0, :2] = 65535
    messages = [(IMAGE, image(color(0), 10**9)), (DEPTH, image(depth, 10**9, '16UC1'))]
    ((frame,), _, _) = frames_of(write_recording(tmp_path / 'bag', messages))
    assert frame.depth.tolist() == [[0, 0, 2, 2], [2, 2, 2, 2]]


def test_depth_is_registered_by_transforms_that_are_on_tf_and_do_not_change(tmp_path):
    """A depth camera at the place of the image, whose frame its driver publishes ten times a second."""
    camera = SyntheticRoom(4, 2).intrinsics
    depth = np.full((2, 4), 3, np.float32)
    frames = [('/tf', transforms(('camera', 'depth_optical', translation(), index * 100 * MS))) for index in range(5)]
    messages = [
        *frames,
        (INFO, info(camera)),
        (DEPTH_INFO, info(camera)),
        (IMAGE, image(color(0), 150 * MS)),
        (DEPTH, depth_32f(depth, 150 * MS, 'depth_optical')),
    ]
    ((frame,), notes, _) = frames_of(write_recording(tmp_path / 'bag', messages))
    np.testing.assert_array_equal(frame.depth, depth)
    assert frame.T_world_camera is None  # the frames of a camera that does not move in itself are no motion
    assert notes == ()


def test_another_type_on_a_topic_is_not_taken_for_an_image(tmp_path):
    path = write_recording(
        tmp_path / 'bag', [(IMAGE, image(color(0), 1)), ('/other', make('std_msgs/msg/String', 'x'))]
    )
    with closing(sqlite3.connect(path / 'bag.db3')) as database:
        database.execute('UPDATE topics SET name = ? WHERE name = ?', (IMAGE, '/other'))
        database.commit()
    frames, notes, _ = frames_of(path)
    assert (len(frames), notes) == (1, ())
