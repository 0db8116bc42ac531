# SPDX-License-Identifier: Apache-2.0
"""How processes with a node end."""

import gc
import subprocess
import sys
import threading
import time

import pytest
import rclpy
from rclpy.clock import Clock, ClockType

from mtperception.ros.process import ros_context, spinning

QUIET = """
import time
import rclpy
from mtperception.ros.process import ros_process, spinning
with ros_process([]) as stop, spinning(rclpy.create_node('quiet', start_parameter_services=False), stop):
    time.sleep(0.5)
"""


def test_a_node_with_nothing_to_do_ends():
    """No timer and no message wakes its executor then."""
    subprocess.run([sys.executable, '-c', QUIET], check=True, timeout=30)


def objects_after(turns, count):
    """How many objects Python keeps once the executor has taken so many turns."""
    while len(turns) < count:
        time.sleep(0.01)
    gc.collect()
    return len(gc.get_objects())


def test_a_thousand_turns_of_the_executor_leave_nothing_behind():
    turns = bytearray()
    with ros_context() as context:
        node = rclpy.create_node('busy', context=context)
        node.create_timer(0.0005, lambda: turns.append(0), clock=Clock(clock_type=ClockType.STEADY_TIME))
        with spinning(node, threading.Event()):
            before = objects_after(turns, 200)
            after = objects_after(turns, len(turns) + 1000)
    assert after - before < 100


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (None, 'Error opening YAML file'),
        ('perception:\n  device: cpu\n', 'Cannot have a value before ros__parameters at line 2'),
    ],
    ids=['missing', 'without ros__parameters'],
)
@pytest.mark.parametrize('node', ['perception_node', 'camera_player'])
def test_a_file_of_parameters_that_is_none_is_said_in_a_line(tmp_path, node, content, reason):
    path = tmp_path / 'params.yaml'
    if content is not None:
        path.write_text(content)
    command = [sys.executable, '-m', f'mtperception.ros.{node}', '--ros-args', '--params-file', path]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert 'Traceback' not in result.stderr
    last = result.stderr.splitlines()[-1]
    assert last.startswith('error: ROS cannot start: ')
    assert str(path) in last
    assert reason in last
