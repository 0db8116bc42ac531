"""A perception node in a process of its own, and a peer that talks to it over DDS."""

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.srv import DescribeParameters, GetParameters, ListParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from mtperception.ros.conversions import camera_info_from, rgb8_image
from mtperception.ros.outputs import OUTPUTS

TIMEOUT_S = 60
RELIABLE = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Peer:
    """A node beside the perception node, in its namespace: publishes images, collects what comes back."""

    def __init__(self, namespace):
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('peer', namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.name = f'{namespace}/perception'
        self.received = {}
        self._publishers = {}
        self._clients = {}
        self._subscriptions = {}
        self._stamp = 0

    def close(self):
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def spin_until(self, condition, what, timeout=TIMEOUT_S):
        """Handle messages until `condition()`; its value."""
        deadline = time.monotonic() + timeout
        while not (value := condition()):
            assert time.monotonic() < deadline, f'waited {timeout} s for {what}'
            self.executor.spin_once(timeout_sec=0.05)
        return value

    def spin_for(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.05)

    # Topics

    def subscribe(self, *topics, qos=RELIABLE):
        """Collect messages of some of the node's outputs in `received`."""
        types = {output.topic: output.message_type for output in OUTPUTS}
        for topic in topics:
            self.collect(types[topic], topic, qos)
        for topic in topics:
            subscription = self._subscriptions[topic]
            self.spin_until(
                lambda subscription=subscription: self.node.count_publishers(subscription.topic_name),
                f'{topic} to exist',
            )
        self.spin_for(0.3)

    def collect(self, message_type, topic, qos=RELIABLE):
        self.received[topic] = []
        if topic not in self._subscriptions:
            self._subscriptions[topic] = self.node.create_subscription(
                message_type, topic, lambda message: self.received[topic].append(message), qos
            )

    def unsubscribe(self, *topics):
        for topic in topics:
            self.node.destroy_subscription(self._subscriptions.pop(topic))
        self.spin_for(0.5)

    def publish(self, message, topic='image'):
        """Publish once the node listens."""
        if topic not in self._publishers:
            publisher = self.node.create_publisher(type(message), topic, RELIABLE)
            self._publishers[topic] = publisher
            self.spin_until(publisher.get_subscription_count, f'a subscription to {topic}')
            self.spin_for(0.3)
        self._publishers[topic].publish(message)

    def header(self):
        """A new stamp, a nanosecond that no rounding keeps, and a frame."""
        self._stamp += 1
        header = Header(frame_id='camera_optical')
        header.stamp.sec, header.stamp.nanosec = 1_700_000_000 + self._stamp, 123_456_789
        return header

    def send(self, image, intrinsics=None, header=None):
        """Publish an rgb8 image, after its camera_info; the header."""
        header = header or self.header()
        if intrinsics is not None:
            self.publish(camera_info_from(intrinsics, header), 'camera_info')
            self.spin_for(0.1)
        self.publish(rgb8_image(image, header))
        return header

    def answer(self, topic, header, timeout=TIMEOUT_S):
        """The message on `topic` with the stamp of `header`."""
        return self.spin_until(
            lambda: next((m for m in self.received[topic] if m.header.stamp == header.stamp), None),
            f'an answer on {topic}',
            timeout,
        )

    def ask(self, image, *topics, intrinsics=None):
        """Send an image until all `topics` answer it; their messages. Best effort may lose one."""
        for _ in range(5):
            header = self.send(image, intrinsics)
            try:
                return [self.answer(topic, header, timeout=10) for topic in topics]
            except AssertionError:
                continue
        raise AssertionError(f'no answer on {topics}')

    # Services

    def call(self, service_type, name, request, timeout=TIMEOUT_S):
        if name not in self._clients:
            self._clients[name] = self.node.create_client(service_type, f'{self.name}/{name}')
        client = self._clients[name]
        self.spin_until(client.service_is_ready, f'service {name}')
        future = client.call_async(request)
        self.spin_until(future.done, f'an answer of {name}', timeout)
        return future.result()

    def state(self):
        return self.call(GetState, 'get_state', GetState.Request()).current_state.label

    def wait_for_state(self, label):
        self.spin_until(lambda: self.state() == label, f'state {label}')

    def transition(self, label):
        """Whether the node could make it."""
        request = ChangeState.Request()
        request.transition.label = label
        request.transition.id = {'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4}[label]
        return self.call(ChangeState, 'change_state', request).success

    def set(self, **values):
        """Set parameters; the reason if it was refused, else ''."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        results = self.call(SetParameters, 'set_parameters', SetParameters.Request(parameters=parameters)).results
        return '; '.join(result.reason for result in results if not result.successful)

    def get(self, name):
        (value,) = self.call(GetParameters, 'get_parameters', GetParameters.Request(names=[name])).values
        return Parameter.from_parameter_msg(ParameterMessage(name=name, value=value)).value

    def descriptors(self):
        listed = self.call(ListParameters, 'list_parameters', ListParameters.Request()).result.names
        request = DescribeParameters.Request(names=listed)
        return {d.name: d for d in self.call(DescribeParameters, 'describe_parameters', request).descriptors}

    def status(self, part):
        """The next diagnostics: (level, message, values) of input, processing or model."""
        self.collect(DiagnosticArray, '/diagnostics')

        def found():
            for array in self.received['/diagnostics']:
                for status in array.status:
                    if status.name == f'{self.name}: {part}':
                        return status.level, status.message, {pair.key: pair.value for pair in status.values}
            return None

        return self.spin_until(found, f'diagnostics of {part}')


class NodeProcess:
    """A running perception node."""

    def __init__(self, namespace, parameters, remaps, log):
        arguments = [f'__ns:={namespace}', *(f'{name}:={to}' for name, to in remaps.items())]
        values = [f'{name}:={_yaml(value)}' for name, value in parameters.items()]
        command = [sys.executable, '-m', 'mtperception.ros.perception_node', '--ros-args']
        command += [part for argument in arguments for part in ('-r', argument)]
        command += [part for value in values for part in ('-p', value)]
        self._log = log
        self.process = subprocess.Popen(command, stdout=log.open('w'), stderr=subprocess.STDOUT, env=os.environ.copy())

    @property
    def log(self):
        return self._log.read_text()

    def resident_mb(self):
        pages = int(Path(f'/proc/{self.process.pid}/statm').read_text().split()[1])
        return pages * os.sysconf('SC_PAGESIZE') / 1e6

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def _yaml(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def running_node(folder, remaps=None, **parameters):
    """A node and its peer, in a namespace of their own."""
    namespace = f'/test_{uuid.uuid4().hex[:8]}'
    parameters = {'backend': 'onnxruntime', 'device': 'cpu', 'warm_up_iterations': 1, **parameters}
    node = NodeProcess(namespace, parameters, remaps or {}, folder / f'{namespace[1:]}.log')
    peer = Peer(namespace)
    try:
        yield node, peer
    except BaseException:
        print(node.log)
        raise
    finally:
        peer.close()
        if node.process.poll() is None:
            node.stop()


@contextmanager
def active_node(folder, remaps=None, **parameters):
    """The same, once the node is active."""
    with running_node(folder, remaps, **parameters) as (node, peer):
        peer.wait_for_state('active')
        yield node, peer
