# SPDX-License-Identifier: Apache-2.0
"""A bag as a sequence of frames, each with what the bag knows about it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from mtperception.errors import SourceError
from mtperception.messages import (
    RefusedMessageError,
    compressed_to_labels,
    image_to_labels,
    intrinsics_from,
)
from mtperception.messages.message import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE
from mtperception.recording.assembly import Assembly, Joined
from mtperception.recording.bag_reader import BagReader
from mtperception.recording.camera_motion import camera_motion
from mtperception.recording.first_pass import first_pass, used_connections
from mtperception.recording.image_topics import DECODERS, DEPTH_DECODERS
from mtperception.recording.pairing import nearest_gap, pair_by_stamp
from mtperception.recording.recording_options import DEFAULTS, RecordingOptions
from mtperception.recording.registration import choose_registration, resized_to_image
from mtperception.recording.storage import Connection, StoredMessage
from mtperception.recording.topics import choose_topics, connections_of
from mtperception.types import Frame, Intrinsics

_LABELS = {IMAGE: image_to_labels, COMPRESSED_IMAGE: compressed_to_labels}
"""By the type of the topic."""
_NAMED = 8
"""Topics that a note names at most."""
MessageListener = Callable[[BagReader, Connection, int, bytes], None]
"""Is given the open bag, where a message is from, when it was received in nanoseconds, and its bytes."""


@dataclass(frozen=True)
class _Raw:
    """A message as it is in the bag."""

    kind: str
    data: bytes
    received_ns: int
    info: Any
    """The newest CameraInfo of the image at that time."""


@dataclass(frozen=True, kw_only=True)
class RecordedFrame(Frame):
    """One image of a bag: its stamp is that in the header, else when it was received.

    Depth is registered to the image and of its size; so are labels, in the classes that the bag's ids stand for.
    """

    index: int
    """Position among the images of its topic."""
    received_ns: int
    header: Any
    """The image's own header: a std_msgs/Header of rosbags."""


class Recording:
    """The frames of a bag. A context manager: the bag is open as long as it lasts.

    Args:
        path: a folder, or an .mcap or .db3 file. What can be read of a broken one is used.
        options: how to read it.
        with_depth: whether to look for depth that is not asked for.

    Raises:
        SourceError: if it is no bag, or nothing can be read from it, or there is no topic with images.
    """

    def __init__(self, path: Path, options: RecordingOptions = DEFAULTS, *, with_depth: bool = True) -> None:
        self.path = path
        self._options = options
        self._refused: dict[str, tuple[int, str]] = {}
        self._refused_before: dict[str, tuple[int, str]] = {}
        self._notes: dict[str, None] = {}
        self._reader = BagReader(path)
        try:
            self.topics = choose_topics(self._reader, options.request, with_depth=with_depth)
            self._first_pass = first_pass(self._reader, self.topics, self._messages())
            self._note_missing()
        except SourceError as error:
            self.close()
            notes = ''.join(f'; {note}' for note in self._reader.notes)
            raise SourceError(f'{self.path}: {error}{notes}') from error
        except BaseException:
            self.close()
            raise
        self._motion = camera_motion(self._first_pass, self.topics.image, pose_asked_for=bool(options.request.pose))
        self._registration = choose_registration(self._first_pass, self.topics, as_it_is=options.depth_registered)
        self._pairs = {
            topic: pair_by_stamp(self._stamps, self._first_pass.stamps[topic], round(options.tolerance * 1e9))
            for topic in (self.topics.depth, self.topics.labels)
            if topic
        }
        self._note_choices()

    @property
    def _stamps(self) -> list[int]:
        return self._first_pass.stamps[self.topics.image]

    @property
    def count(self) -> int:
        """Images that could be read."""
        return len(self._stamps)

    @property
    def used_topics(self) -> list[str]:
        """Names of the chosen topics and of those with transforms."""
        return sorted({connection.topic for connection in used_connections(self._reader, self.topics)})

    @property
    def stamps_ns(self) -> tuple[int, ...]:
        """Stamps of all images, in the order of the recording."""
        return tuple(self._stamps)

    @property
    def seconds(self) -> float:
        """From the reception of the first image to that of the last."""
        received = self._first_pass.received_ns
        return (received[1] - received[0]) / 1e9

    @property
    def image_kind(self) -> str:
        """Type of the images' topic."""
        return self._first_pass.kinds[self.topics.image]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: what is missing, what was refused. It grows while frames are read."""
        return (*self.standing_notes, *refusal_notes({**self._refused_before, **self._refused}))

    @property
    def standing_notes(self) -> tuple[str, ...]:
        """Those of the notes that do not depend on which frames are read."""
        return (*self._reader.notes, *self._notes)

    @property
    def refused(self) -> dict[str, tuple[int, str]]:
        """How much was refused and why the first one was, by role, of the frames that were read last."""
        return dict(self._refused)

    def facts(self) -> dict[str, Any]:
        """Where the frames and their truth come from, for a protocol."""
        facts: dict[str, Any] = {'bag': str(self.path), 'images': self.count}
        if self._pairs:
            facts['pairing'] = f'nearest stamps within {self._options.tolerance:g} s, each message used once'
        for topic, pairs in self._pairs.items():
            facts[f'pairs_{topic}'] = (
                f'{len(pairs)} of {self.count} images, of {len(self._first_pass.stamps[topic])} there'
            )
        if self.topics.depth:
            facts['registration'] = self._registration.description
        return {**facts, 'camera_motion': self._motion.description}

    def messages(self, topics: Collection[str]) -> Iterator[StoredMessage]:
        """Messages of some of the chosen topics as they are, with the nanosecond of their reception."""
        return self._messages(topics)

    def frames(
        self, on_message: MessageListener | None = None, positions: Collection[int] | None = None
    ) -> Iterator[RecordedFrame]:
        """Images in the order of the recording, whatever their stamps say; what is refused is counted in `notes`.

        What belongs to an image may come later in the bag: the image then waits for it.

        Args:
            on_message: called with each message of the chosen topics and of the transforms.
            positions: of the images to decode; all without it. What ranges that follow each other give is what all
                images give at once, what is refused included.
        """
        positions = range(self.count) if positions is None else positions
        if not positions:
            return
        stop, images = max(positions) + 1, 0
        is_last = stop >= self.count
        self._refused_before, self._refused = {**self._refused_before, **self._refused}, {}
        info = self._first_pass.infos.get(self.topics.camera_info)
        assembly: Assembly[_Raw] = Assembly(self.topics.image, self._pairs)
        used = {self.topics.image, self.topics.camera_info, *self._pairs}
        for connection, received_ns, data in self._messages(() if on_message else used):
            if on_message:
                on_message(self._reader, connection, received_ns, data)
            if connection.topic not in used:
                continue
            if connection.kind == CAMERA_INFO:
                is_counted = images in positions or (is_last and images >= stop)
                info = self._newest_info(data, is_counted=is_counted) or info
                continue
            images += connection.topic == self.topics.image
            for joined in assembly.add(connection.topic, _Raw(connection.kind, data, received_ns, info)):
                if joined.index in positions:
                    yield from self._frame(joined)
            if assembly.given >= stop and not is_last:
                return
        for joined in assembly.rest():
            if joined.index in positions:
                yield from self._frame(joined)

    def close(self) -> None:
        """Close the bag."""
        self._reader.close()

    def __enter__(self) -> 'Recording':
        """The recording itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the bag."""
        self.close()

    def _messages(self, topics: Collection[str] = ()) -> Iterator[StoredMessage]:
        """The messages of some of the topics, without any: of all."""
        used = used_connections(self._reader, self.topics)
        return self._reader.messages([x for x in used if not topics or x.topic in topics])

    def _note_missing(self) -> None:
        """Say how much of the topics is there, where the bag itself says that there should be more."""
        for topic, stamps in self._first_pass.stamps.items():
            stated = sum(x.count for x in connections_of(self._reader, [topic], DECODERS))
            if len(stamps) < stated:
                self._notes[f'{topic}: {len(stamps)} of {stated} messages could be read'] = None
        if not self._stamps:
            raise SourceError(f'no image on {self.topics.image} could be read: expected at least one')

    def _note_choices(self) -> None:
        """Say what is not used, and what of it will be missing in the result."""
        unreadable = sorted(self._reader.unreadable.items())
        if unreadable:
            named = '; '.join(f'{topic} ({why})' for topic, why in unreadable[:_NAMED])
            more = f'; and {len(unreadable) - _NAMED} more' if len(unreadable) > _NAMED else ''
            self._notes[f'skipped (unreadable and not needed): {named}{more}'] = None
        self._notes |= dict.fromkeys((*self.topics.notes, *self._first_pass.notes))
        self._notes |= {f'{topic}: {reason}': None for topic, reason in self._first_pass.refused.items()}
        if self._motion.problem:
            self._notes[self._motion.problem] = None
        for topic, pairs in self._pairs.items():
            if not pairs:
                self._notes[self._why_no_pair(topic)] = None

    def _why_no_pair(self, topic: str) -> str:
        role = 'depth' if topic == self.topics.depth else 'labels'
        gap = nearest_gap(self._stamps, self._first_pass.stamps[topic])
        if gap is None:
            return f'{role}: no message on {topic} could be read'
        return (
            f'{role}: none of {self.count} images has a partner on {topic} within {self._options.tolerance:g} s; the '
            f'nearest are {gap / 1e9:.3g} s away: see --tolerance'
        )

    def _frame(self, joined: 'Joined[_Raw]') -> Iterator[RecordedFrame]:
        """The frame, unless its image is refused."""

        def message(raw: _Raw) -> Any:
            return self._reader.deserialized(raw.data, raw.kind)

        decoded = self._decoded('images', lambda: _with_image(message(joined.image)))
        if decoded is None:
            return
        header, image = decoded
        size = (image.shape[1], image.shape[0])
        intrinsics = self._intrinsics(joined.image.info, size)
        raw_depth, raw_labels = joined.partners.get(self.topics.depth), joined.partners.get(self.topics.labels)

        def registered() -> np.ndarray:
            position = self._pairs[self.topics.depth][joined.index]
            depth = DEPTH_DECODERS[raw_depth.kind](message(raw_depth))
            return self._registration.apply(depth, position, size, intrinsics)

        def resized() -> np.ndarray:
            ids = _LABELS[raw_labels.kind](message(raw_labels), self._options.label_offset)
            return resized_to_image(ids, size, 'labels')

        depth = raw_depth and self._decoded('depth', registered)
        labels = raw_labels and self._decoded('labels', resized)
        stamp_ns = self._stamps[joined.index]
        yield RecordedFrame(
            image=image,
            stamp_ns=stamp_ns,
            intrinsics=intrinsics,
            name=f'{joined.index:06d}',
            depth=depth,
            labels=labels,
            T_world_camera=self._motion.at(stamp_ns),
            index=joined.index,
            received_ns=joined.image.received_ns,
            header=header,
        )

    def _newest_info(self, data: bytes, *, is_counted: bool) -> Any:
        return self._decoded('camera info', lambda: self._reader.deserialized(data, CAMERA_INFO), is_counted=is_counted)

    def _intrinsics(self, info: Any, size: tuple[int, int]) -> Intrinsics | None:
        return info and self._decoded('camera info', lambda: intrinsics_from(info, *size))

    def _decoded(self, role: str, decode: Callable[[], Any], *, is_counted: bool = True) -> Any:
        """What a function makes of a message; None, and counted, if it refuses."""
        try:
            return decode()
        except RefusedMessageError as error:
            if is_counted:
                count, reason = self._refused.get(role, (0, str(error)))
                self._refused[role] = (count + 1, reason)
            return None


def refusal_notes(refused: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    """What a user should know of what was refused (`Recording.refused`)."""
    for role, (count, why) in refused.items():
        yield f'{role}: {count} refused, the first: {why}'


def _with_image(message: Any) -> tuple[Any, np.ndarray]:
    """Header and pixels of an image."""
    return message.header, DECODERS[message.__msgtype__](message)
