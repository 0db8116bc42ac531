# SPDX-License-Identifier: Apache-2.0
"""Listen to a live image topic for a while and note what comes."""

import time
from collections.abc import Sequence
from typing import Any

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtperception.doctor.stream import Observed
from mtperception.messages.message import COMPRESSED_IMAGE, IMAGE
from mtperception.messages.names import camera_info_topic
from mtperception.messages.stamps import stamp_of
from mtperception.ros.process import ros_context

STEP_S = 0.05
LISTENING = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
"""As the node listens, but for a queue: here all that arrives is counted."""


def observe(topic: str, seconds: float, patience_s: float = 5.0) -> Observed:
    """Listen to an image topic and its camera_info.

    Args:
        topic: its name.
        seconds: how long to listen from the first image on.
        patience_s: how long publishers and a first image may take to appear.
    """
    with ros_context() as context:
        node = rclpy.create_node('mtperception_doctor', context=context)
        executor = SingleThreadedExecutor(context=context)
        executor.add_node(node)
        try:
            return _observe(node, executor, topic, seconds, patience_s)
        finally:
            executor.shutdown()
            node.destroy_node()


def describe_ros() -> str:
    """Distribution, middleware and domain, after a node has been made to show that they work.

    Raises:
        Exception: whatever rclpy raises where they do not.
    """
    with ros_context() as context:
        rclpy.create_node('mtperception_doctor', context=context).destroy_node()
        return f'{rclpy.get_rmw_implementation_identifier()}, domain {context.get_domain_id()}'


def _observe(node: Node, executor: SingleThreadedExecutor, topic: str, seconds: float, patience_s: float) -> Observed:
    resolved = node.resolve_topic_name(topic)
    info_topic = camera_info_topic(resolved)

    def spin(condition: Any, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=STEP_S)

    spin(lambda: node.get_publishers_info_by_topic(resolved), patience_s)
    endpoints = node.get_publishers_info_by_topic(resolved)
    types = sorted({endpoint.topic_type for endpoint in endpoints})
    times: list[tuple[int, int]] = []
    newest: dict[type, Any] = {}

    def take(message: Any) -> None:
        newest[type(message)] = message
        if not isinstance(message, CameraInfo):
            times.append((time.time_ns(), stamp_of(message)))

    kind = {IMAGE: Image, COMPRESSED_IMAGE: CompressedImage}.get(types[0] if types else '')
    if kind is not None:
        node.create_subscription(kind, resolved, take, LISTENING)
        node.create_subscription(CameraInfo, info_topic, take, LISTENING)
        spin(lambda: times, patience_s)
        spin(lambda: not times, seconds)
    return Observed(
        topic=resolved,
        types=types,
        # Names of nodes are discovered after their publishers: asked for again now.
        publishers=[_described(endpoint) for endpoint in node.get_publishers_info_by_topic(resolved) or endpoints],
        arrivals_ns=[arrival for arrival, _ in times],
        stamps_ns=[stamp for _, stamp in times],
        image=newest.get(kind),
        info_topic=info_topic,
        info=newest.get(CameraInfo),
        image_topics=_image_topics(node),
    )


def _described(endpoint: TopicEndpointInfo) -> str:
    profile = endpoint.qos_profile
    name = f'{endpoint.node_namespace.rstrip("/")}/{endpoint.node_name}'
    name = 'a node' if 'UNKNOWN' in name else name
    qos = f'{profile.reliability.name.lower()}, {profile.durability.name.lower()}'.replace('_', ' ')
    return f'{name} publishes {qos}'


def _image_topics(node: Node) -> Sequence[str]:
    return sorted(name for name, types in node.get_topic_names_and_types() if {IMAGE, COMPRESSED_IMAGE} & set(types))
