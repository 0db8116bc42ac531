# SPDX-License-Identifier: Apache-2.0
"""The components beside the node: what a container is asked to load, by the real launch_ros over DDS.

image_pipeline itself is not here; a container that only writes down what it is asked for stands in.
"""

import json
import sys
from functools import partial
from importlib.util import find_spec

import pytest
from launched import needs_launch, stand_in

needs_container = pytest.mark.skipif(not find_spec('composition_interfaces'), reason='needs composition_interfaces')
pytestmark = [needs_launch, needs_container]

CONTAINER = """#!{python}
import json, sys
import rclpy
from composition_interfaces.srv import LoadNode
from rclpy.executors import ExternalShutdownException
from rclpy.parameter import parameter_value_to_python

def load(request, response):
    entry = {{name: getattr(request, name) for name in ('package_name', 'plugin_name', 'node_name', 'node_namespace')}}
    entry['remaps'] = sorted(request.remap_rules)
    entry['parameters'] = {{p.name: parameter_value_to_python(p.value) for p in request.parameters}}
    entry['extra'] = {{p.name: parameter_value_to_python(p.value) for p in request.extra_arguments}}
    with open({log!r}, 'a') as file:
        file.write(json.dumps(entry) + '\\n')
    response.success = True
    response.full_node_name = request.node_namespace.rstrip('/') + '/' + request.node_name
    return response

rclpy.init(args=sys.argv)
node = rclpy.create_node('any')
node.create_service(LoadNode, '~/_container/load_node', load)
try:
    rclpy.spin(node)
except (KeyboardInterrupt, ExternalShutdownException):
    pass
"""


@pytest.fixture
def asked(tmp_path, monkeypatch):
    """A container that loads nothing; what it was asked to load."""
    log = tmp_path / 'asked'
    log.touch()
    script = CONTAINER.format(python=sys.executable, log=str(log))
    stand_in(monkeypatch, tmp_path / 'container', 'rclcpp_components', 'component_container_mt', script)
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


@pytest.fixture
def launch(launch_file):
    return partial(launch_file, 'image_pipeline.launch.py')


def by_plugin(requests):
    return {(request['plugin_name'], request['node_namespace']): request for request in requests}


def test_the_node_stands_between_rectification_and_cloud(launch, observer, asked):
    launch(image='/camera/image_raw', use_sim_time='true')
    observer.spin_until(lambda: len(asked()) == 2, 'two components')
    rectify, cloud = asked()
    assert rectify == {
        'package_name': 'image_proc',
        'plugin_name': 'image_proc::RectifyNode',
        'node_name': 'rectify',
        'node_namespace': '/',
        'remaps': [
            '/camera/camera_info:=/camera/camera_info',
            'image:=/camera/image_raw',
            'image_rect:=/camera/image_rect',
        ],
        'parameters': {'image_transport': 'raw', 'use_sim_time': True},
        'extra': {'use_intra_process_comms': True},
    }
    assert cloud == {
        'package_name': 'depth_image_proc',
        'plugin_name': 'depth_image_proc::PointCloudXyzrgbNode',
        'node_name': 'depth_cloud',
        'node_namespace': '/',
        'remaps': [
            'depth_registered/image_rect:=depth/image',
            'overlay/camera_info:=depth/camera_info',
            'points:=depth/points',
            'rgb/image_rect_color:=overlay/image',
        ],
        'parameters': {'exact_sync': True, 'use_sim_time': True},
        'extra': {},
    }
    observer.wait_for_state('/perception', 'active')
    observer.wait_for_subscriptions('/perception', '/camera/image_rect', '/camera/camera_info')


def test_a_compressed_image_is_decoded_once_and_a_calibration_elsewhere_is_found(launch, observer, asked):
    launch(image='camera/image', image_transport='compressed', camera_info='/calibration', cloud='false')
    observer.spin_until(asked, 'a component')
    observer.wait_for_state('/perception', 'active')
    (rectify,) = asked()
    assert rectify['parameters']['image_transport'] == 'compressed'
    assert 'camera/camera_info:=/calibration' in rectify['remaps']
    observer.wait_for_subscriptions('/perception', '/camera/image_rect', '/calibration')
    assert observer.parameters_of('/perception', 'image_transport') == {'image_transport': 'raw'}


def test_each_camera_has_its_components_in_its_namespace(launch, observer, asked):
    launch(namespace='robot', cameras='[front, rear]', image='image_raw', cloud_color='semantic/color')
    observer.spin_until(lambda: len(asked()) == 4, 'four components')
    assert set(by_plugin(asked())) == {
        (plugin, f'/robot/{camera}')
        for plugin in ('image_proc::RectifyNode', 'depth_image_proc::PointCloudXyzrgbNode')
        for camera in ('front', 'rear')
    }
    cloud = by_plugin(asked())['depth_image_proc::PointCloudXyzrgbNode', '/robot/rear']
    assert 'semantic/camera_info:=depth/camera_info' in cloud['remaps']
    observer.wait_for_subscriptions('/robot/perception', '/robot/front/image_rect', '/robot/rear/image_rect')


def test_without_rectification_the_node_takes_the_image_itself_and_a_running_container_serves(
    launch, start, observer, asked, tmp_path
):
    container = tmp_path / 'container' / 'lib' / 'rclcpp_components' / 'component_container_mt'
    start(container, '--ros-args', '-r', '__node:=container', '-r', '__ns:=/camera')
    launch(image='/camera/image_raw', rectify='false', container='/camera/container')
    observer.spin_until(asked, 'a component')
    observer.wait_for_state('/perception', 'active')
    assert [request['plugin_name'] for request in asked()] == ['depth_image_proc::PointCloudXyzrgbNode']
    observer.wait_for_subscriptions('/perception', '/camera/image_raw', '/camera/camera_info')
    assert 'image_pipeline' not in observer.node.get_node_names()
