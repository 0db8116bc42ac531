# SPDX-License-Identifier: Apache-2.0
"""What tests share: a node of this process; programs in the installed workspace, and a node that watches them."""

import signal
import subprocess
from contextlib import closing

import pytest
import rclpy
from launched import ROS2, LaunchObserver
from rclpy.lifecycle import LifecycleNode


@pytest.fixture
def node():
    """A lifecycle node of this process, for what a node owns."""
    rclpy.init()
    node = LifecycleNode('owner')
    yield node
    node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def observer():
    with closing(LaunchObserver()) as observer:
        yield observer


@pytest.fixture
def start(workspace, tmp_path):
    """Starts a program in the sourced workspace; at the end it gets Ctrl-C and must end in order."""
    processes = []

    def start_process(*arguments):
        process = subprocess.Popen(
            workspace.command(*arguments),
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        processes.append(process)

    yield start_process
    for process in processes:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert 'Traceback' not in said, said
        assert 'process has died' not in said, said


@pytest.fixture
def launch_file(start):
    """Starts a launch file; the model runs in ONNX Runtime on the CPU, which is everywhere."""

    def start_file(name, **arguments):
        given = {'backend': 'onnxruntime', 'device': 'cpu', **arguments}
        start(ROS2, 'launch', 'mtperception', name, *(f'{key}:={value}' for key, value in given.items()))

    return start_file
