"""For tests over DDS: a node of the package as a process, and a node that listens."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

PATIENCE_S = 30.0
RELIABLE = QoSProfile(depth=200)


@contextmanager
def node_process(name, **parameters):
    """Runs the module `mtperception.ros.<name>`; ends it with SIGINT if it still runs."""
    arguments = [text for key, value in parameters.items() for text in ('-p', f'{key}:={json.dumps(value)}')]
    process = subprocess.Popen(
        [sys.executable, '-m', f'mtperception.ros.{name}', '--ros-args', *arguments],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'PYTHONUNBUFFERED': '1'},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
        finally:
            process.kill()


def said(process):
    """What an ended process wrote, line by line, without the remarks of the middleware."""
    return [line for line in process.stderr.read().splitlines() if '[rmw_' not in line]


class Listener:
    """A node of the test's own; it works while `until` runs."""

    def __init__(self, context):
        self.node = rclpy.create_node('listener', context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self.node)

    def close(self):
        """Leave the graph, so that no later node takes this one for a subscriber."""
        self._executor.shutdown()
        self.node.destroy_node()

    def collect(self, message_type, topic, qos=RELIABLE):
        """A list that grows by what comes in on a topic."""
        messages = []
        self.node.create_subscription(message_type, topic, messages.append, qos)
        return messages

    def until(self, condition, patience_s=PATIENCE_S):
        """Work until a condition holds; fails if it does not in time."""
        deadline = time.monotonic() + patience_s
        while not condition():
            assert time.monotonic() < deadline, 'waited in vain'
            self._executor.spin_once(timeout_sec=0.05)

    def work(self, seconds):
        """Work for some time."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)


@contextmanager
def listening():
    """A listener in a context of its own."""
    context = Context()
    rclpy.init(context=context)
    listener = Listener(context)
    try:
        yield listener
    finally:
        listener.close()
        context.try_shutdown()
