# SPDX-License-Identifier: Apache-2.0
"""A live camera over DDS, as `mtperception doctor --topic` sees it."""

from graph import node_process, observing
from std_msgs.msg import String

from mtperception.card import ModelCard, TrainingCamera
from mtperception.doctor.stream import judge
from mtperception.ros.topic_inspection import describe_ros, observe

CARD = ModelCard('any', 'joint_lw_refinenet', 0, ('depth',), '', (0, 0), (0.3, 10.0), TrainingCamera(300.0, 480, 360))


def test_the_player_is_a_healthy_camera():
    with node_process('camera_player', source='synthetic', width=64, height=48, rate=10.0, frame_id='left'):
        seen = observe('image', 2.0, patience_s=30.0)
    found = {finding.name: finding for finding in judge(seen, CARD, 20.0)}
    assert seen.topic == '/image'
    assert '/camera_player publishes reliable, volatile' in found['QoS'].found
    assert 5 < found['rate'].values['rate'] < 15
    assert found['encoding'].values == {'encoding': 'rgb8', 'width': 64, 'height': 48}
    assert found['stamps'].state == 'ok'
    assert found['stamps'].values['frame_id'] == 'left'
    assert found['camera_info'].state == 'ok'


def test_without_a_publisher_the_image_topics_are_named():
    with node_process('camera_player', source='synthetic', width=64, height=48), observing() as observer:
        observer.spin_until(lambda: observer.node.count_publishers('/image'))
        # Whoever was missed is heard of again after 3 s.
        (finding,) = judge(observe('/nonesuch', 0.5, patience_s=8.0), CARD, None)
    assert finding.state == 'problem'
    assert '/image' in finding.advice


def test_a_topic_of_another_type():
    with observing() as observer:
        observer.node.create_publisher(String, '/words', 10)
        (finding,) = judge(observe('/words', 0.5), CARD, None)
    assert finding.state == 'problem'
    assert 'std_msgs/msg/String' in finding.found


def test_the_middleware_is_named(ros_domain):
    assert describe_ros().startswith('rmw_')
    assert f'domain {ros_domain}' in describe_ros()
