# SPDX-License-Identifier: Apache-2.0
"""A perception node in a process of its own, and a peer that talks to it over DDS."""

import uuid
from contextlib import closing, contextmanager

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from graph import RELIABLE, TIMEOUT_S, NodeProcess, Observer
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import DescribeParameters, ListParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header

from mtperception.messages.outputs import OUTPUTS, camera_topic
from mtperception.ros.conversions import MESSAGE_TYPES, camera_info_from, rgb8_image

LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Peer(Observer):
    """A node beside the perception node, in its namespace: publishes images, collects what comes back."""

    def __init__(self, namespace):
        super().__init__('peer', namespace)
        self.name = f'{namespace}/perception'
        self._publishers = {}
        self._stamp = 0

    # Topics

    def subscribe(self, *topics, qos=RELIABLE):
        """Collect messages of some of the node's outputs, with or without the name of a camera, in `received`."""
        for topic in topics:
            (kind,) = {output.kind for output in OUTPUTS if f'/{topic}'.endswith(f'/{output.topic}')}
            self.collect(MESSAGE_TYPES[kind], topic, qos)
        for topic in topics:
            subscription = self._subscriptions[topic]
            self.spin_until(
                lambda subscription=subscription: self.node.count_publishers(subscription.topic_name),
                f'{topic} to exist',
            )
        self.spin_for(0.3)

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

    def send(self, image, intrinsics=None, header=None, camera=''):
        """Publish an rgb8 image of a camera, after its camera_info; the header."""
        header = header or self.header()
        if intrinsics is not None:
            self.publish(camera_info_from(intrinsics, header), camera_topic(camera, 'camera_info'))
            self.spin_for(0.1)
        self.publish(rgb8_image(image, header), camera_topic(camera, 'image'))
        return header

    def answer(self, topic, header, timeout=TIMEOUT_S):
        """The message on `topic` with the stamp of `header`."""
        return self.spin_until(
            lambda: next((m for m in self.received[topic] if m.header.stamp == header.stamp), None),
            f'an answer on {topic}',
            timeout,
        )

    def ask(self, image, *topics, intrinsics=None, camera=''):
        """Send an image of a camera until all its `topics` answer it; their messages.

        Best effort may lose one, and the node makes none before it has discovered who subscribes.
        """
        for _ in range(5):
            header = self.send(image, intrinsics, camera=camera)
            try:
                return [self.answer(camera_topic(camera, topic), header, timeout=10) for topic in topics]
            except AssertionError:
                continue
        raise AssertionError(f'no answer on {topics}')

    # Services

    def call(self, service_type, name, request):
        return self.request(service_type, f'{self.name}/{name}', request)

    def state(self):
        return self.state_of(self.name)

    def request_transition(self, id_, again_s=TIMEOUT_S):
        """Whether the node could make the transition of an id; asked without a label, as lifecycle managers do."""
        service = f'{self.name}/change_state'
        self.client(ChangeState, service)
        self.until_discovered(self.name)
        request = ChangeState.Request(transition=Transition(id=id_))
        return self.request(ChangeState, service, request, again_s).success

    def wait_for_state(self, label):
        self.spin_until(lambda: self.state() == label, f'state {label}')

    def transition(self, label):
        """Whether the node could make it."""
        return self.request_transition({'configure': 1, 'cleanup': 2, 'activate': 3, 'deactivate': 4}[label])

    def set(self, **values):
        """Set parameters; the reason if it was refused, else ''."""
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        results = self.call(SetParameters, 'set_parameters', SetParameters.Request(parameters=parameters)).results
        return '; '.join(result.reason for result in results if not result.successful)

    def get(self, name):
        return self.parameters_of(self.name, name)[name]

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


@contextmanager
def running_node(folder, remaps=None, reliable=True, overrides=None, program='perception_node', **parameters):
    """A node and its peer, in a namespace of their own.

    Unless told otherwise the node subscribes reliably, so that a test that sends one message can wait for its effect.
    """
    namespace = f'/test_{uuid.uuid4().hex[:8]}'
    parameters = {'backend': 'onnxruntime', 'device': 'cpu', 'warm_up_iterations': 1, **parameters}
    for name, value in (overrides or {}).items():
        parameters[f'qos_overrides.{namespace}/{name}'] = value
    if reliable:
        for topic in ('image', 'image/compressed', 'camera_info'):
            parameters[f'qos_overrides.{namespace}/{topic}.subscription.reliability'] = 'reliable'
            parameters[f'qos_overrides.{namespace}/{topic}.subscription.depth'] = 10
    log = folder / f'{namespace[1:]}.log'
    with (
        NodeProcess(program, parameters, {'__ns': namespace, **(remaps or {})}, log) as node,
        closing(Peer(namespace)) as peer,
    ):
        yield node, peer


@contextmanager
def active_node(folder, *args, **parameters):
    """The same, once the node is active."""
    with running_node(folder, *args, **parameters) as (node, peer):
        peer.wait_for_state('active')
        yield node, peer


def pixels(message, dtype=np.uint8, channels=()):
    """An image message as an array."""
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, *channels)


def endpoints(peer, topic):
    """Reliability and durability of the node's end of a topic, once it is discovered."""
    name = f'{peer.node.get_namespace()}/{topic}'

    def found():
        ends = peer.node.get_publishers_info_by_topic(name) + peer.node.get_subscriptions_info_by_topic(name)
        return [end.qos_profile for end in ends if end.node_name == 'perception']

    profiles = peer.spin_until(found, f'the end of {topic}')
    return {(profile.reliability.name, profile.durability.name) for profile in profiles}
