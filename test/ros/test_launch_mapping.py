# SPDX-License-Identifier: Apache-2.0
"""`ros2 launch mtperception mapping.launch.py` on a camera that is played: both nodes, and a map in the end."""

import json
import subprocess
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from launched import ROS2, needs_launch

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)

import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo
from std_srvs.srv import Trigger

pytestmark = needs_launch
NAMES = {'pose', 'namespaced_tf', 'mapping_params_file', 'label_space', 'map_frame', 'pose_source', 'voxel_size'}


def fused(reports):
    """Frames, by the newest report of the map."""
    for array in reversed(reports):
        for status in array.status:
            if status.name == '/robot/mapping: map':
                return int({pair.key: pair.value for pair in status.values}['frames fused'])
    return 0


def test_a_played_camera_becomes_a_map(start, workspace, observer, tmp_path):
    saved, file = tmp_path / 'saved', tmp_path / 'mapping.yaml'
    parameters = {'save_folder': str(saved), 'min_views': 1, 'voxel_size': 0.5, 'max_depth': 10.0}
    file.write_text(yaml.safe_dump({'/**': {'ros__parameters': parameters}}), encoding='utf-8')
    given = {
        'namespace': 'robot',
        'image': '/camera/image_raw',
        'pose': '/slam/pose',
        'pose_source': 'pose_stamped',
        'map_frame': 'world',
        'voxel_size': '0.1',
        'mapping_params_file': file,
        'backend': 'onnxruntime',
        'device': 'cpu',
    }
    pairs = (f'{name}:={value}' for name, value in given.items())
    start(ROS2, 'launch', 'mtperception', 'mapping.launch.py', *pairs)
    for node in ('/robot/perception', '/robot/mapping'):
        observer.wait_for_state(node, 'active')
    expected = {'map_frame': 'world', 'voxel_size': 0.1, 'min_views': 1, 'label_space': 'nyuv2_40'}
    assert observer.parameters_of('/robot/mapping', *expected) == expected
    observer.wait_for_subscriptions('/robot/mapping', '/slam/pose', '/camera/image_raw', '/robot/depth/image')

    reports = observer.collect(DiagnosticArray, '/diagnostics')
    poses = observer.node.create_publisher(PoseStamped, '/slam/pose', 10)

    def stand_still(info):
        message = PoseStamped()
        message.header.stamp, message.header.frame_id = info.header.stamp, 'world'
        message.pose.orientation.w = 1.0
        poses.publish(message)

    observer.node.create_subscription(CameraInfo, '/camera/camera_info', stand_still, 10)
    player = workspace.prefix / 'lib' / 'mtperception' / 'camera_player'
    remaps = ('-r', 'image:=/camera/image_raw', '-r', 'camera_info:=/camera/camera_info')
    size = ('-p', 'width:=160', '-p', 'height:=120', '-p', 'rate:=2.0')
    start(player, '--ros-args', *remaps, *size)
    observer.spin_until(lambda: fused(reports) >= 3, 'frames in the map', timeout=120)
    answer = observer.request(Trigger, '/robot/map/save', Trigger.Request(), again_s=60)
    assert answer.success, answer.message
    summary = json.loads((saved / 'summary.json').read_text())
    assert summary['options']['voxel_size'] == 0.1
    assert summary['metrics']['vertices'] > 0
    assert summary['classes']


def given_to(program, namespace):
    """The command line of the process that runs this program of the package in a namespace."""
    for file in Path('/proc').glob('[0-9]*/cmdline'):
        with suppress(OSError):  # it has ended
            line = file.read_bytes().decode().split('\0')
            if f'__ns:=/{namespace}' in line and any(part.endswith(f'/mtperception/{program}') for part in line):
                return line
    return []


def test_transforms_and_images_of_a_robot_among_several(start, observer):
    """Both nodes take the compressed image; the map is told to take the transforms of its namespace."""
    name = f'robot_{uuid.uuid4().hex[:8]}'
    given = {
        'namespace': name,
        'image': '/camera/image_raw',
        'image_transport': 'compressed',
        'pose_source': 'pose_stamped',
        'namespaced_tf': 'true',
        'backend': 'onnxruntime',
        'device': 'cpu',
    }
    start(ROS2, 'launch', 'mtperception', 'mapping.launch.py', *(f'{key}:={value}' for key, value in given.items()))
    for node in (f'/{name}/perception', f'/{name}/mapping'):
        observer.wait_for_state(node, 'active')
        observer.wait_for_subscriptions(node, '/camera/image_raw/compressed')
    assert {'/tf:=tf', '/tf_static:=tf_static'} <= set(given_to('mapping_node', name))


def test_every_argument_is_described(workspace, tmp_path):
    command = workspace.command(ROS2, 'launch', 'mtperception', 'mapping.launch.py', '--show-args')
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    paragraphs = [paragraph.split('\n') for paragraph in shown.strip().split('\n\n')[1:]]
    described = {name.strip(" ':"): description.strip() for name, description, *_ in paragraphs}
    assert set(described) >= {*NAMES, 'image', 'model', 'namespace', 'use_sim_time', 'log_level'}
    assert all(len(description) > 5 for description in described.values())


def test_several_cameras_are_refused(workspace, tmp_path):
    """And no perception node is left running."""
    name = f'robot_{uuid.uuid4().hex[:8]}'
    arguments = (f'namespace:={name}', 'cameras:=[front, rear]')
    command = workspace.command(ROS2, 'launch', 'mtperception', 'mapping.launch.py', *arguments)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode
    said = done.stdout + done.stderr
    assert 'cameras:=[front, rear]: a map is made of one camera: expected the argument image' in said
    assert not given_to('perception_node', name)
