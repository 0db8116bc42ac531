# SPDX-License-Identifier: Apache-2.0
"""For tests over DDS: a node of the test's own, and nodes of the package as processes."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import parameter_value_to_python
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

TIMEOUT_S = 60
RELIABLE = QoSProfile(depth=200, reliability=ReliabilityPolicy.RELIABLE)


class Observer:
    """A node of the test's own, in a context of its own; it works while one of its methods waits."""

    def __init__(self, name='observer', namespace=''):
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(name, namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.received = {}
        self._subscriptions = {}
        self._clients = {}

    def close(self):
        """Leave the graph, so that no later node takes this one for a subscriber."""
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def spin_until(self, condition, what='what the test expects', timeout=TIMEOUT_S):
        """Handle messages until `condition()`; its value."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, f'waited {timeout} s for {what}'
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def spin_for(self, seconds):
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def collect(self, message_type, topic, qos=RELIABLE):
        """Collect what comes in on a topic from now on in `received[topic]`; that list."""
        self.received[topic] = []
        if topic not in self._subscriptions:
            self._subscriptions[topic] = self.node.create_subscription(
                message_type, topic, lambda message: self.received[topic].append(message), qos
            )
        return self.received[topic]

    def request(self, service_type, service, request, again_s=5):
        """The answer of a service, once it is there. Asked again, for one that has not discovered us cannot answer."""
        client = self.client(service_type, service)
        self.spin_until(client.service_is_ready, f'service {service}')
        asked = []

        def answer():
            if not asked or time.monotonic() - asked[-1][0] > again_s:
                asked.append((time.monotonic(), client.call_async(request)))
            return next((future for _, future in asked if future.done()), None)

        return self.spin_until(answer, f'an answer of {service}').result()

    def client(self, service_type, service):
        """The client of a service, which the service discovers from now on."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(service_type, service)
        return self._clients[service]

    def until_discovered(self, name):
        """Wait until a lifecycle node knows all that this observer has made so far.

        It is announced in the order in which it was made: a node that answers the newest client knows the others.
        """
        service = f'{name}/get_state'
        if service in self._clients:
            self.node.destroy_client(self._clients.pop(service))
        self.state_of(name)

    def state_of(self, name):
        """The state of a lifecycle node."""
        return self.request(GetState, f'{name}/get_state', GetState.Request()).current_state.label

    def parameters_of(self, name, *names):
        """Values of parameters of a node, by name."""
        values = self.request(GetParameters, f'{name}/get_parameters', GetParameters.Request(names=names)).values
        return dict(zip(names, map(parameter_value_to_python, values), strict=True))


@contextmanager
def observing():
    """An observer that leaves the graph with this context."""
    with closing(Observer()) as observer:
        yield observer


class Feeder:
    """Publishes images to a node that counts what it made of them, and knows its count."""

    def __init__(self, observer, topics):
        self._observer = observer
        self._publishers = {topic: observer.node.create_publisher(Image, topic, RELIABLE) for topic in topics}
        self._reports = observer.collect(DiagnosticArray, '/diagnostics')

    def connect(self):
        self._observer.spin_until(lambda: all(p.get_subscription_count() for p in self._publishers.values()))

    def publish(self, topic, message):
        self._publishers[topic].publish(message)

    def until_counted(self, count):
        """Wait for a count; the name of its status and its key."""
        self._observer.spin_until(
            lambda: [str(count)] == [report.status[0].values[0].value for report in self._reports[-1:]]
        )
        status = self._reports[-1].status[0]
        return status.name, status.values[0].key


class NodeProcess:
    """The module `mtperception.ros.<name>`, or a script of the tests, running; it is ended with this context."""

    def __init__(self, name, parameters, remaps, log):
        program = [name] if isinstance(name, Path) else ['-m', f'mtperception.ros.{name}']
        command = [sys.executable, *program, '--ros-args']
        for key, value in parameters.items():
            command += ['-p', f'{key}:={json.dumps(value)}']
        for key, value in remaps.items():
            command += ['-r', f'{key}:={value}']
        self._log = log
        with log.open('w') as file:
            environment = os.environ | {'PYTHONUNBUFFERED': '1'}
            self.process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind:
            print(self.log)
        self.stop()

    @property
    def log(self):
        """What it said."""
        return self._log.read_text()

    @property
    def lines(self):
        """What it said, line by line, without the remarks of the middleware."""
        return [line for line in self.log.splitlines() if '[rmw_' not in line]

    def has_ended(self):
        return self.process.poll() is not None

    def resident_mb(self):
        pages = int(Path(f'/proc/{self.process.pid}/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGESIZE') / 1e6

    def limit_growth(self, size):
        """Let its address space grow by so many bytes at most; None: without limit."""
        pages = int(Path(f'/proc/{self.process.pid}/statm').read_text().split()[0])
        limit = resource.RLIM_INFINITY if size is None else pages * resource.getpagesize() + int(size)
        resource.prlimit(self.process.pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))

    def stop(self, number=signal.SIGINT):
        """Send a signal, if it still runs; its exit status."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        """The exit status, once it has ended."""
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@contextmanager
def node_process(name, **parameters):
    """Runs a node of the package."""
    with TemporaryDirectory() as folder, NodeProcess(name, parameters, {}, Path(folder) / 'log') as node:
        yield node
