# SPDX-License-Identifier: Apache-2.0
"""Messages of several topics, joined to frames while they are read."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar('Item')


@dataclass(frozen=True)
class Joined(Generic[Item]):
    """An image and what belongs to it."""

    index: int
    """Position of the image in its topic."""
    image: Item
    partners: Mapping[str, Item]
    """By topic; what has no partner, or was not read, is missing."""


class Assembly(Generic[Item]):
    """Gives images in their order, each as soon as it and all that belongs to it have been added.

    Args:
        image_topic: its messages are the images.
        partners: by other topic, the position of a message in it by the position of an image.
    """

    def __init__(self, image_topic: str, partners: Mapping[str, Mapping[int, int]]) -> None:
        self._image_topic = image_topic
        self._partners = partners
        self._wanted = {topic: set(pairs.values()) for topic, pairs in partners.items()}
        self._counts: Counter[str] = Counter()
        self._waiting: deque[tuple[int, Item]] = deque()
        self._held: dict[tuple[str, int], Item] = {}
        self.given = 0
        """Images that were given."""

    def add(self, topic: str, item: Item) -> Iterator[Joined[Item]]:
        """Add the next message of a topic; yields the frames that are complete now."""
        position = self._counts[topic]
        self._counts[topic] += 1
        if topic == self._image_topic:
            self._waiting.append((position, item))
        elif position in self._wanted[topic]:
            self._held[topic, position] = item
        while self._waiting and self._is_complete(self._waiting[0][0]):
            yield self._next()

    def rest(self) -> Iterator[Joined[Item]]:
        """The images that still wait, when no more messages come."""
        while self._waiting:
            yield self._next()

    def _is_complete(self, index: int) -> bool:
        return all((topic, pairs[index]) in self._held for topic, pairs in self._partners.items() if index in pairs)

    def _next(self) -> Joined[Item]:
        index, image = self._waiting.popleft()
        self.given = index + 1
        keys = [(topic, pairs[index]) for topic, pairs in self._partners.items() if index in pairs]
        return Joined(index, image, {key[0]: self._held.pop(key) for key in keys if key in self._held})
