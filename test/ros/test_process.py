"""How processes with a node end."""

import subprocess
import sys

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
