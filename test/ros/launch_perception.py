# SPDX-License-Identifier: Apache-2.0
"""For `launch_test`: the launch file, an image, and an answer of the node; then Ctrl-C, and an orderly end."""

import unittest

import launch
import launch_testing.actions
import launch_testing.asserts
from graph import observing
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from sensor_msgs.msg import Image

from mtperception import resources

WIDTH, HEIGHT = 160, 120


def generate_test_description():
    perception = PythonLaunchDescriptionSource(str(resources.find('launch', 'perception.launch.py')))
    arguments = {'image': '/camera/image_raw', 'backend': 'onnxruntime', 'device': 'cpu'}
    node = IncludeLaunchDescription(perception, launch_arguments=arguments.items())
    return launch.LaunchDescription([node, launch_testing.actions.ReadyToTest()])


class TestTheNode(unittest.TestCase):
    def test_an_image_is_answered_with_depth_of_its_size_and_stamp(self):
        with observing() as observer:
            answers = observer.collect(Image, '/depth/image')
            publisher = observer.node.create_publisher(Image, '/camera/image_raw', 1)
            observer.spin_until(publisher.get_subscription_count, 'the node to subscribe')
            image = Image(width=WIDTH, height=HEIGHT, step=3 * WIDTH, encoding='rgb8', data=bytes(3 * WIDTH * HEIGHT))
            image.header.stamp.sec, image.header.frame_id = 7, 'camera'

            def answer():
                publisher.publish(image)
                observer.spin_for(0.2)
                return answers

            (depth, *_) = observer.spin_until(answer, 'depth')
        assert (depth.width, depth.height, depth.encoding) == (WIDTH, HEIGHT, '32FC1')
        assert depth.header == image.header


@launch_testing.post_shutdown_test()
class TestTheEnd(unittest.TestCase):
    def test_every_process_ended_in_order(self, proc_info):
        launch_testing.asserts.assertExitCodes(proc_info)
