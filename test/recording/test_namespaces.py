# SPDX-License-Identifier: Apache-2.0
"""Whose topics these are is told by their names."""

import pytest

from mtperception.recording.namespaces import distance, owner, shared


@pytest.mark.parametrize(
    ('first', 'second', 'expected'),
    [
        ('/image', '/depth', 0),
        ('/robot1/camera/image', '/robot1/depth/image', 1),
        ('/robot1/camera/image', '/robot1/camera/image', 2),
        ('/robot1/camera/image', '/robot10/camera/image', 0),
        ('/fleet/robot1/image', '/fleet/robot2/image', 1),
        ('/tf', '/robot1/camera/image', 0),
    ],
)
def test_what_two_topics_share(first, second, expected):
    assert shared(first, second) == shared(second, first) == expected


def test_what_is_near_goes_first_and_what_is_global_before_what_is_of_others():
    topics = ['/robot1/odom', '/odom', '/robot2/arm/odom', '/robot2/odom', '/robot2/camera/odom']
    assert sorted(topics, key=lambda topic: distance(topic, '/robot2/camera/image')) == [
        '/robot2/camera/odom',
        '/robot2/odom',
        '/robot2/arm/odom',
        '/odom',
        '/robot1/odom',
    ]


def test_what_is_nearer_to_another_camera_belongs_to_that():
    cameras = ['/robot1/camera/image', '/robot3/image']
    assert owner('/robot1/camera/depth', '/robot2/camera/image', cameras) == '/robot1/camera/image'
    assert owner('/robot2/depth', '/robot2/camera/image', cameras) == ''
    assert owner('/robot4/depth', '/robot2/camera/image', cameras) == ''
    assert owner('/odom', '/robot2/camera/image', cameras) == ''
