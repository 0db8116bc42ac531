# SPDX-License-Identifier: Apache-2.0
"""The installed package under the real launch system, and its executable by itself: processes, seen over DDS."""

import subprocess
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from launched import ROS2, needs_launch, stand_in


@pytest.fixture
def launch(launch_file):
    return partial(launch_file, 'perception.launch.py')


def test_the_installed_executable_becomes_active_by_itself(start, workspace, observer):
    start(workspace.prefix / 'lib' / 'mtperception' / 'perception_node', '--ros-args', '-p', 'device:=cpu')
    observer.wait_for_state('/perception', 'active')


@needs_launch
def test_one_argument_is_enough(launch, observer):
    launch(image='/camera/image_raw')
    observer.wait_for_state('/perception', 'active')
    observer.wait_for_subscriptions('/perception', '/camera/image_raw', '/camera/camera_info')
    observer.wait_for_publishers('/perception', '/depth/image', '/semantic/image', '/overlay/image')


@needs_launch
def test_a_namespace_takes_relative_topics_along(launch, observer):
    launch(namespace='front')
    observer.wait_for_state('/front/perception', 'active')
    observer.wait_for_subscriptions('/front/perception', '/front/image', '/front/camera_info')
    observer.wait_for_publishers('/front/perception', '/front/depth/image', '/diagnostics')


@needs_launch
def test_several_cameras_have_topics_below_their_names(launch, observer):
    launch(namespace='robot', cameras='[front, rear]', image='image_raw')
    observer.wait_for_state('/robot/perception', 'active')
    cameras = [f'/robot/{name}' for name in ('front', 'rear')]
    inputs = [f'{camera}/{topic}' for camera in cameras for topic in ('image_raw', 'camera_info')]
    observer.wait_for_subscriptions('/robot/perception', *inputs)
    observer.wait_for_publishers('/robot/perception', *(f'{camera}/depth/image' for camera in cameras))


@needs_launch
@pytest.mark.parametrize('file', ['perception.launch.py', 'image_pipeline.launch.py'])
@pytest.mark.parametrize('argument', ['image', 'camera_info'])
def test_an_absolute_topic_of_several_cameras_is_refused_before_anything_is_started(
    workspace, tmp_path, file, argument
):
    given = [f'{argument}:=/camera/topic', 'cameras:=[front, rear]']
    command = workspace.command(ROS2, 'launch', 'mtperception', file, *given)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode
    assert 'process started' not in said
    assert f"{argument}:=/camera/topic with cameras ['front', 'rear']: expected the part after the names" in said


@needs_launch
def test_arguments_arrive(launch, observer):
    launch(
        image='/camera/image_raw',
        camera_info='/calibration',
        image_transport='compressed',
        precision='fp32',
        use_sim_time='true',
    )
    observer.wait_for_state('/perception', 'active')
    observer.wait_for_subscriptions('/perception', '/camera/image_raw/compressed', '/calibration')
    expected = {
        'image_transport': 'compressed',
        'backend': 'onnxruntime',
        'device': 'cpu',
        'precision': 'fp32',
        'use_sim_time': True,
    }
    assert observer.parameters_of('/perception', *expected) == expected


@needs_launch
def test_arguments_go_before_the_parameter_file_and_only_where_given(launch, observer, tmp_path):
    file = tmp_path / 'mine.yaml'
    mine = {'autostart': False, 'backend': 'openvino', 'precision': 'fp16', 'label_offset': 0, 'use_sim_time': True}
    file.write_text(yaml.safe_dump({'/front/perception': {'ros__parameters': mine}}), encoding='utf-8')
    launch(params_file=file, namespace='front', model='elsewhere')
    observer.wait_for_state('/front/perception', 'unconfigured')
    expected = {**mine, 'backend': 'onnxruntime', 'device': 'cpu', 'model': 'elsewhere'}
    assert observer.parameters_of('/front/perception', *expected) == expected


@needs_launch
def test_without_autostart_the_node_waits(launch, observer):
    launch(autostart='false')
    observer.wait_for_state('/perception', 'unconfigured')
    observer.spin_for(1)
    assert observer.state_of('/perception') == 'unconfigured'


@pytest.fixture
def rviz(tmp_path, monkeypatch):
    """In place of rviz2, which needs a screen: a program that writes down its arguments; the file, once it is there."""
    called = tmp_path / 'called'
    script = f'#!/bin/sh\nprintf "%s\\n" "$@" > {called}.part\nmv {called}.part {called}\n'
    stand_in(monkeypatch, tmp_path / 'rviz', 'rviz2', 'rviz2', script)
    return called


@needs_launch
def test_rviz_is_told_the_frame_the_camera_and_the_clock(launch, observer, rviz):
    launch(rviz='true', fixed_frame='map', namespace='front', image='/camera/image_raw', use_sim_time='true')
    observer.spin_until(rviz.exists, 'rviz')
    arguments = rviz.read_text().splitlines()
    options = list(pairwise(arguments))
    assert {('-f', 'map'), ('-r', '__ns:=/front'), ('-r', 'image:=/camera/image_raw')} <= set(options)
    assert Path(dict(options)['-d']).name == 'perception.rviz'
    parameters = yaml.safe_load(Path(dict(options)['--params-file']).read_text(encoding='utf-8'))
    assert [node['ros__parameters'] for node in parameters.values()] == [{'use_sim_time': True}]
    observer.wait_for_state('/front/perception', 'active')


@needs_launch
def test_every_argument_is_described(workspace, tmp_path):
    command = workspace.command(ROS2, 'launch', 'mtperception', 'perception.launch.py', '--show-args')
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
    paragraphs = [paragraph.split('\n') for paragraph in shown.strip().split('\n\n')[1:]]
    names = {name.strip(" ':"): description.strip() for name, description, *_ in paragraphs}
    assert set(names) == {
        *('image', 'camera_info', 'image_transport', 'model', 'backend', 'device', 'precision', 'params_file'),
        *('namespace', 'autostart', 'use_sim_time', 'log_level', 'rviz', 'fixed_frame', 'cameras'),
    }
    assert all(len(description) > 10 for description in names.values())
