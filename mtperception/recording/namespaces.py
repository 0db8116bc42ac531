# SPDX-License-Identifier: Apache-2.0
"""Which topics are of the same robot: those whose namespaces have the most in common."""

from collections.abc import Iterable


def namespace(topic: str) -> tuple[str, ...]:
    """The parts of a topic's name before its last one."""
    return tuple(part for part in topic.split('/') if part)[:-1]


def shared(first: str, second: str) -> int:
    """How many parts the namespaces of two topics have in common, from the first one on."""
    count = 0
    for a, b in zip(namespace(first), namespace(second), strict=False):
        if a != b:
            break
        count += 1
    return count


def is_above(topic: str, other: str) -> bool:
    """Whether the namespace of a topic holds another topic."""
    return shared(topic, other) == len(namespace(topic))


def distance(topic: str, image_topic: str) -> tuple[int, bool, int]:
    """To sort by: how far a topic is from the images; at the same distance, what is above them or global goes first."""
    return -shared(topic, image_topic), not is_above(topic, image_topic), len(namespace(topic))


def owner(topic: str, image_topic: str, others: Iterable[str]) -> str:
    """Which of some other image topics a topic belongs to, since it is nearer to that; empty if to `image_topic`."""
    own = shared(topic, image_topic)
    nearer = [other for other in others if shared(topic, other) > own]
    return max(nearer, key=lambda other: shared(topic, other), default='') if not is_above(topic, image_topic) else ''
