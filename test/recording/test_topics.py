# SPDX-License-Identifier: Apache-2.0
"""Topics that are not named are found by what they carry."""

import cv2
import numpy as np
import pytest

from mtperception.errors import SourceError

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import make
from recordings import (
    compressed,
    depth_16u,
    depth_32f,
    depth_compressed_16u,
    image,
    info,
    odometry,
    png_bytes,
    posestamped,
    translation,
)

from mtperception.recording.topics import node_outputs
from mtperception.types import Intrinsics

COLOR = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
GREY = np.full((1, 2), 7, np.uint8)
METERS = np.ones((1, 2), np.float32)
CAMERA = Intrinsics(9.0, 9.0, 0.5, 0.0, 2, 1)


def test_everything_is_found(chosen):
    topics = chosen(
        ('/a/infra', image(GREY, 0, 'mono8')),
        ('/b/color/image_raw', image(COLOR, 0)),
        ('/b/color/camera_info', info(CAMERA)),
        ('/b/depth/image_raw', depth_16u(METERS, 0)),
        ('/b/depth/camera_info', info(CAMERA)),
        ('/odom', odometry(translation(), 0)),
        ('/pose', posestamped(translation(), 0)),
    )
    assert (topics.image, topics.camera_info) == ('/b/color/image_raw', '/b/color/camera_info')
    assert (topics.depth, topics.depth_camera_info) == ('/b/depth/image_raw', '/b/depth/camera_info')
    assert (topics.pose, topics.labels) == ('/odom', '')
    assert list(topics.lines())[-2:] == ['labels: none', 'pose: /odom']


def test_compressed_topics_have_their_camera_info_beside_the_raw_one(chosen):
    topics = chosen(
        ('/c/image/compressed', compressed(png_bytes(COLOR), 0, 'rgb8; png compressed bgr8')),
        ('/c/camera_info', info(CAMERA)),
        ('/d/image/compressedDepth', depth_compressed_16u(METERS, 0)),
        ('/d/camera_info', info(CAMERA)),
    )
    assert (topics.image, topics.camera_info) == ('/c/image/compressed', '/c/camera_info')
    assert (topics.depth, topics.depth_camera_info) == ('/d/image/compressedDepth', '/d/camera_info')


@pytest.mark.parametrize(
    ('names', 'expected'),
    [
        ((('/a/depth', 'elsewhere'), ('/b/depth', 'camera')), '/b/depth'),  # the one in the frame of the image
        ((('/a/range', 'camera'), ('/b/depth', 'camera')), '/b/depth'),  # the one that says so
        ((('/b/depth', 'camera'), ('/a/depth', 'camera')), '/a/depth'),  # the first by name
    ],
)
def test_of_several_depth_topics(chosen, names, expected):
    depths = [(topic, depth_32f(METERS, 0, frame)) for topic, frame in names]
    assert chosen(('/image', image(COLOR, 0)), *depths).depth == expected


def test_what_this_package_published_is_no_truth_and_no_input(chosen):
    outputs = [
        ('/a/perception/semantic/classes', make('std_msgs/msg/String', '{}')),
        ('/a/perception/overlay/image', image(COLOR, 0)),
        ('/a/perception/depth/image', depth_32f(METERS, 0)),
        ('/a/perception/depth/camera_info', info(CAMERA)),
    ]
    topics = chosen(*outputs, ('/cam/image', image(COLOR, 0)))
    assert (topics.image, topics.camera_info, topics.depth) == ('/cam/image', '', '')


def test_it_can_be_asked_for(chosen):
    outputs = [
        ('/perception/semantic/classes', make('std_msgs/msg/String', '{}')),
        ('/perception/depth/image', depth_32f(METERS, 0)),
    ]
    topics = chosen(*outputs, ('/image', image(COLOR, 0)), depth='/perception/depth/image')
    assert topics.depth == '/perception/depth/image'


def test_those_that_are_asked_for(chosen):
    messages = [(f'/{name}/image', image(COLOR, 0)) for name in 'ab']
    assert chosen(*messages, image='/b/image', labels='/a/image').image == '/b/image'


@pytest.mark.parametrize('role', ['image', 'camera_info', 'depth', 'labels', 'pose'])
def test_one_that_is_not_there_is_an_error_that_lists_what_is(chosen, role):
    with pytest.raises(SourceError, match=r"no topic '/nope' of type .*: the bag has /image \(sensor_msgs/msg/Image\)"):
        chosen(('/image', image(COLOR, 0)), **{role: '/nope'})


def test_a_name_may_lack_the_slash_that_all_have(chosen):
    messages = [('/a/image', image(COLOR, 0)), ('/b/image', image(COLOR, 0))]
    assert chosen(*messages, image='b/image').image == '/b/image'


def test_a_topic_of_another_type_is_an_error(chosen):
    with pytest.raises(SourceError, match=r"no topic '/image' of type sensor_msgs/msg/CameraInfo"):
        chosen(('/image', image(COLOR, 0)), camera_info='/image')


def test_a_bag_without_images_is_an_error_that_lists_what_is_there(chosen):
    with pytest.raises(
        SourceError, match=r'no topic with colour or grey images.*found /odom \(nav_msgs/msg/Odometry\)'
    ):
        chosen(('/odom', odometry(translation(), 0)))


@pytest.mark.parametrize('role', ['depth', 'labels'])
def test_an_image_is_not_its_own_truth(chosen, role):
    with pytest.raises(SourceError, match='topic /a: given both as images and as ground truth'):
        chosen(('/a', image(COLOR, 0)), image='/a', **{role: '/a'})


class TestSeveralRobots:
    def robot(self, name, image_only=False):
        yield f'{name}/camera/color/image_raw', image(COLOR, 0)
        if image_only:
            return
        yield f'{name}/camera/color/camera_info', info(CAMERA)
        yield f'{name}/camera/depth/image_raw', depth_16u(METERS, 0)
        yield f'{name}/odom', odometry(translation(), 0)
        yield f'{name}/pose', posestamped(translation(), 0)

    @pytest.mark.parametrize('name', ['/robot1', '/robot2', '/fleet/robot1', '/fleet/robot2'])
    def test_each_has_its_own_depth_camera_and_pose(self, chosen, name):
        robots = [
            message for each in ('/robot1', '/robot2', '/fleet/robot1', '/fleet/robot2') for message in self.robot(each)
        ]
        topics = chosen(*robots, image=f'{name}/camera/color/image_raw')
        assert topics.camera_info == f'{name}/camera/color/camera_info'
        assert (topics.depth, topics.pose) == (f'{name}/camera/depth/image_raw', f'{name}/odom')
        assert topics.notes == ()

    def test_what_is_of_another_robot_is_not_borrowed(self, chosen):
        image_topic = '/robot2/camera/color/image_raw'
        topics = chosen(*self.robot('/robot1'), *self.robot('/robot2', image_only=True), image=image_topic)
        assert (topics.camera_info, topics.depth, topics.pose) == ('', '', '')
        assert [note.partition(':')[0] for note in topics.notes] == ['depth', 'pose']
        assert '--depth-topic' in topics.notes[0]
        assert '/robot1/camera/depth/image_raw skipped: it is nearer to /robot1/camera' in topics.notes[0]

    def test_unless_it_is_asked_for(self, chosen):
        depth = '/robot1/camera/depth/image_raw'
        robots = [*self.robot('/robot1'), *self.robot('/robot2', image_only=True)]
        assert chosen(*robots, image='/robot2/camera/color/image_raw', depth=depth).depth == depth

    def test_what_is_global_is_of_all(self, chosen):
        topics = chosen(*self.robot('/robot1', image_only=True), ('/odom', odometry(translation(), 0)))
        assert topics.pose == '/odom'

    def test_odometry_of_a_namespace_without_images_serves_if_there_is_no_other(self, chosen):
        messages = [('/base/odom', odometry(translation(), 0)), ('/camera/image', image(COLOR, 0))]
        assert chosen(*messages).pose == '/base/odom'


class TestDamage:
    CUT = png_bytes(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8))[:300]

    def test_of_the_first_images_does_not_hide_the_topic(self, chosen):
        damaged = [('/c/compressed', compressed(self.CUT, index, 'png')) for index in range(40)]
        assert chosen(*damaged, ('/c/compressed', compressed(png_bytes(COLOR), 50, 'png'))).image == '/c/compressed'

    @pytest.mark.parametrize('count', [4, 130])
    @pytest.mark.parametrize('kind', ['damaged', 'unknown'])
    def test_however_much_there_is_of_it_a_colour_camera_goes_before_others(self, chosen, count, kind):
        odd = image(COLOR, 0)
        if kind == 'damaged':
            odd.step = 1
        else:
            odd.encoding = 'abc9'
        messages = [('/odd/image', odd)] * count
        topics = chosen(*messages, ('/odd/image', image(COLOR, 1)), ('/a/grey', image(GREY, 0, 'mono8')))
        assert topics.image == '/odd/image'

    def test_of_all_images_is_the_reason(self, chosen):
        with pytest.raises(SourceError, match=r'no topic with colour or grey images: /c/compressed: .*OpenCV'):
            chosen(('/c/compressed', compressed(self.CUT, 0, 'png')))

    def test_of_the_first_depth_does_not_hide_it(self, chosen):
        broken = depth_16u(METERS, 0)
        broken.step = 1
        assert (
            chosen(('/image', image(COLOR, 0)), ('/depth', broken), ('/depth', depth_16u(METERS, 1))).depth == '/depth'
        )


class TestReasons:
    def test_each_topic_that_is_passed_over_has_one(self, chosen):
        odd, depth = image(COLOR, 0), depth_16u(METERS, 0)
        odd.encoding = 'abc9'
        with pytest.raises(SourceError) as refused:
            chosen(
                ('/odd', odd),
                ('/depth', depth),
                ('/perception/semantic/classes', make('std_msgs/msg/String', '{}')),
                ('/perception/overlay/image', image(COLOR, 0)),
            )
        said = str(refused.value)
        assert "/odd: found encoding 'abc9'" in said
        assert '/depth: depth, not colour or grey' in said
        assert '/perception/overlay/image: an output of a node of this package' in said

    def test_beside_another_it_is_a_note(self, chosen):
        odd = image(COLOR, 0)
        odd.encoding = 'abc9'
        (note,) = chosen(('/odd', odd), ('/good', image(COLOR, 0))).notes
        assert note.startswith("/odd: no usable image, skipped: found encoding 'abc9'")

    def test_depth_that_only_its_encoding_makes_depth_is_told(self, chosen):
        (note,) = chosen(('/rgb/image', image(COLOR, 0)), ('/thermal/image', depth_16u(METERS, 0))).notes
        assert note.startswith('depth: /thermal/image was chosen by its encoding 16UC1 alone')
        assert '--depth-topic' in note


def test_a_camera_that_begins_in_the_dark_has_colours(chosen):
    dark = np.zeros((1, 2, 3), np.uint8)
    messages = [('/b/image', image(dark, 0)), ('/b/image', image(COLOR, 1)), ('/a/grey', image(GREY, 0, 'mono8'))]
    assert chosen(*messages).image == '/b/image'


@pytest.mark.parametrize('picture', ['depth/color', 'semantic/color', 'overlay/image'])
def test_pictures_of_the_node_are_told_by_their_names_too(chosen, picture):
    """`ros2 bag record` of some topics has no list of classes."""
    messages = [
        (f'/{picture}', image(COLOR, 0)),
        ('/depth/image', depth_32f(METERS, 0)),
        ('/usb_cam/image_raw', image(COLOR, 0)),
    ]
    topics = chosen(*messages)
    assert (topics.image, topics.depth) == ('/usb_cam/image_raw', '')
    assert topics.notes[-1] == (
        'depth: /depth/image skipped: it looks like an output of a node of this package; use --depth-topic to select it'
    )


def test_compressed_outputs_are_told_by_their_names_too():
    """`ros2 bag record` of what was republished."""
    ours = {'/overlay/image', '/depth/image/compressedDepth'}
    assert node_outputs([*ours, '/usb_cam/image_raw']) == ours
    assert node_outputs(['/overlay/image', '/overlay/image/compressed', '/usb_cam/image_raw']) == set()


def test_a_picture_alone_is_a_camera(chosen):
    """Another program's, with a name of the node's outputs."""
    messages = [('/detector/overlay/image', image(COLOR, 0)), ('/detector/depth', depth_32f(METERS, 0))]
    topics = chosen(*messages)
    assert (topics.image, topics.depth) == ('/detector/overlay/image', '/detector/depth')


@pytest.mark.parametrize('role', ['labels', 'depth'])
def test_what_is_asked_for_as_truth_is_not_taken_for_the_image(chosen, role):
    """Labels and mono16 depth look like pictures, and come first by name here."""
    truth = image(GREY, 0, 'mono8') if role == 'labels' else image(GREY.astype(np.uint16), 0, 'mono16')
    messages = (('/a/truth', truth), ('/b/image_raw', image(GREY, 0, 'mono8')), ('/a/odom', odometry(translation(), 0)))
    topics = chosen(*messages, **{role: '/a/truth'})
    assert (topics.image, getattr(topics, role)) == ('/b/image_raw', '/a/truth')
    # Nor for another camera, to which the poses beside it would belong.
    assert topics.pose == '/a/odom'


def test_depth_that_cannot_be_read_comes_last(chosen):
    """The plain `compressed` transport of depth as a JPEG, as older ROS writes it, beside a good one."""
    jpeg = cv2.imencode('.jpg', np.zeros((8, 8), np.uint8))[1].tobytes()
    topics = chosen(
        ('/c/image', image(COLOR, 0)),
        ('/c/depth/compressed', compressed(jpeg, 0, '16UC1; jpeg compressed mono8')),
        ('/c/depth/compressedDepth', depth_compressed_16u(METERS, 0)),
    )
    assert topics.depth == '/c/depth/compressedDepth'
