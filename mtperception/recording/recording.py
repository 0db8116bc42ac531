"""A bag as a sequence of frames, each with what the bag knows about it."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from mtperception.errors import SourceError
from mtperception.messages import (
    RefusedMessageError,
    compressed_to_depth,
    compressed_to_labels,
    image_to_depth,
    image_to_labels,
    intrinsics_from,
)
from mtperception.recording.assembly import Assembly, Joined
from mtperception.recording.bag_file import (
    CAMERA_INFO,
    DECODERS,
    BrokenBagError,
    NoBagError,
    connections_of,
    deserialized,
    open_bag,
    reading_errors,
)
from mtperception.recording.mending import mended_bag
from mtperception.recording.pairing import pair_by_stamp
from mtperception.recording.registration import choose_registration, resize_nearest
from mtperception.recording.survey import camera_motion, survey, wanted_connections
from mtperception.recording.topics import TopicRequest, choose_topics
from mtperception.types import Intrinsics, Sample

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

TOLERANCE = 0.02
"""Seconds: default of how far the stamps of a pair may be apart."""
_RAW, _COMPRESSED = DECODERS
_DEPTH = {_RAW: image_to_depth, _COMPRESSED: compressed_to_depth}
_LABELS = {_RAW: image_to_labels, _COMPRESSED: compressed_to_labels}
"""By the type of the topic."""
MessageListener = Callable[['AnyReader', 'Connection', int, bytes], None]
"""Is given the open bag, where a message is from, when it was received in nanoseconds, and its bytes."""


@dataclass(frozen=True)
class _Raw:
    """A message as it is in the bag."""

    kind: str
    data: bytes
    received_ns: int
    info: Any
    """The newest CameraInfo of the image at that time."""


@dataclass(frozen=True)
class RecordedFrame:
    """One image of a bag."""

    index: int
    """Position among the images of its topic."""
    stamp_ns: int
    """In the header of the image, else when that was received."""
    received_ns: int
    header: Any
    """Of the image, as it is: a std_msgs/Header of rosbags."""
    sample: Sample
    """Depth is registered to the image and of its size; so are labels, in the classes that the bag's ids stand for."""
    T_world_camera: np.ndarray | None
    """float64 4,4: pose of the optical frame; None where it is not known."""


class Recording:
    """The frames of a bag. A context manager: it may keep a mended copy of the bag.

    Args:
        path: a folder with metadata.yaml, or an .mcap or .db3 file. What can be read of a broken one is used.
        request: names of topics; what is not named is found.
        tolerance: seconds that the stamps of an image and of what belongs to it may be apart.
        label_offset: id of the first class in the label topic.
        depth_registered: whether depth is registered to the image whatever its frame_id says.

    Raises:
        SourceError: if it is no bag, or nothing can be read from it, or there is no topic to score.
    """

    def __init__(
        self,
        path: Path,
        request: TopicRequest | None = None,
        *,
        tolerance: float = TOLERANCE,
        label_offset: int = 1,
        depth_registered: bool = False,
    ) -> None:
        request = request or TopicRequest()
        self.path = path
        self.tolerance = tolerance
        self._label_offset = label_offset
        self._refused: dict[str, tuple[int, str]] = {}
        self._notes: dict[str, None] = {}
        self._folder: TemporaryDirectory | None = None
        self._paths = self._readable_paths()
        try:
            with open_bag(*self._paths) as reader:
                self.topics = choose_topics(reader, request)
                self._survey = survey(reader, self.topics, self._messages(reader))
                self._note_missing(reader)
        except SourceError as error:
            self.close()
            raise SourceError(f'{self.path}: {error}') from error
        self._notes |= {f'{topic}: {reason}': None for topic, reason in self._survey.refused.items()}
        self._motion, self.motion = camera_motion(self._survey, self.topics.image, pose_asked_for=bool(request.pose))
        self._registration = choose_registration(self._survey, self.topics, as_it_is=depth_registered)
        self._pairs = {
            topic: pair_by_stamp(self._stamps, self._survey.stamps[topic], round(tolerance * 1e9))
            for topic in (self.topics.depth, self.topics.labels)
            if topic
        }

    @property
    def _stamps(self) -> list[int]:
        return self._survey.stamps[self.topics.image]

    @property
    def count(self) -> int:
        """Images that could be read."""
        return len(self._stamps)

    @property
    def used_topics(self) -> list[str]:
        """Names of the chosen topics and of those with transforms."""
        with open_bag(*self._paths) as reader:
            return sorted({connection.topic for connection in wanted_connections(reader, self.topics)})

    @property
    def image_kind(self) -> str:
        """Type of the images' topic."""
        return self._survey.kinds[self.topics.image]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know: what is missing, what was refused. It grows while frames are read."""
        refused = (f'{role}: {count} refused, the first: {why}' for role, (count, why) in self._refused.items())
        return (*self._notes, *refused)

    def facts(self) -> dict[str, Any]:
        """Where the frames and their truth come from, for a protocol."""
        facts: dict[str, Any] = {'bag': str(self.path), 'images': self.count}
        if self._pairs:
            facts['pairing'] = f'nearest stamps within {self.tolerance:g} s, each message used once'
        for topic, pairs in self._pairs.items():
            facts[f'pairs_{topic}'] = f'{len(pairs)} of {self.count} images, of {len(self._survey.stamps[topic])} there'
        if self.topics.depth:
            facts['registration'] = self._registration.description
        return {**facts, 'camera_motion': self.motion}

    def messages(self, topics: Collection[str]) -> Iterator[tuple['Connection', int, bytes]]:
        """Messages of some of the chosen topics as they are, with the nanosecond of their reception."""
        with open_bag(*self._paths) as reader:
            yield from self._messages(reader, topics)

    def frames(self, on_message: MessageListener | None = None) -> Iterator[RecordedFrame]:
        """All images in the order of the recording, whatever their stamps say; what is refused is counted in `notes`.

        What belongs to an image may come later in the bag: the image then waits for it.

        Args:
            on_message: called with each message of the chosen topics and of the transforms.
        """
        self._refused.clear()
        info = self._survey.infos.get(self.topics.camera_info)
        assembly: Assembly[_Raw] = Assembly(self.topics.image, self._pairs)
        used = {self.topics.image, self.topics.camera_info, *self._pairs}
        with open_bag(*self._paths) as reader:
            for connection, received_ns, data in self._messages(reader, () if on_message else used):
                if on_message:
                    on_message(reader, connection, received_ns, data)
                if connection.topic not in used:
                    continue
                if connection.msgtype == CAMERA_INFO:
                    info = self._newest_info(reader, data) or info
                    continue
                for joined in assembly.add(connection.topic, _Raw(connection.msgtype, data, received_ns, info)):
                    yield from self._frame(reader, joined)
            for joined in assembly.rest():
                yield from self._frame(reader, joined)

    def close(self) -> None:
        """Remove the mended copy, if there is one."""
        if self._folder is not None:
            self._folder.cleanup()

    def __enter__(self) -> 'Recording':
        """The recording itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove what was made."""
        self.close()

    def _readable_paths(self) -> tuple[Path, ...]:
        """What to open: the bag itself, or copies of what is whole in it."""
        try:
            with open_bag(self.path):
                return (self.path,)
        except BrokenBagError as error:
            self._folder = TemporaryDirectory()
            try:
                paths = mended_bag(self.path, Path(self._folder.name))
            except NoBagError:
                self.close()
                raise
            except SourceError as hopeless:
                self.close()
                raise SourceError(f'{error}. Nothing can be taken from it: {hopeless}') from hopeless
            self._notes[f'{error}. Here, what is whole in it is used'] = None
            return paths

    def _messages(self, reader: 'AnyReader', topics: Collection[str] = ()) -> Iterator[tuple['Connection', int, bytes]]:
        """The messages of some of the topics, without any: of all; it ends where the bag cannot be read on."""
        wanted = [x for x in wanted_connections(reader, self.topics) if not topics or x.topic in topics]
        try:
            yield from reader.messages(wanted)
        except reading_errors() as error:
            self._notes[f'cannot be read to its end: {error}. What comes before is used'] = None

    def _note_missing(self, reader: 'AnyReader') -> None:
        """Say how much of the topics is there, where the bag itself says that there should be more."""
        for topic, stamps in self._survey.stamps.items():
            stated = sum(x.msgcount for x in connections_of(reader, [topic], DECODERS))
            if len(stamps) < stated:
                self._notes[f'{topic}: {len(stamps)} of {stated} messages could be read'] = None
        if not self._stamps:
            raise SourceError(f'no image on {self.topics.image} could be read: expected at least one')

    def _frame(self, reader: 'AnyReader', joined: 'Joined[_Raw]') -> Iterator[RecordedFrame]:
        """The frame, unless its image is refused."""

        def message(raw: _Raw) -> Any:
            return deserialized(reader, raw.data, raw.kind)

        decoded = self._decoded('images', lambda: _with_image(message(joined.image)))
        if decoded is None:
            return
        header, image = decoded
        size = (image.shape[1], image.shape[0])
        intrinsics = self._intrinsics(joined.image.info, size)
        raw_depth, raw_labels = joined.partners.get(self.topics.depth), joined.partners.get(self.topics.labels)
        depth = raw_depth and self._decoded(
            'depth', lambda: self._registration.apply(_DEPTH[raw_depth.kind](message(raw_depth)), size, intrinsics)
        )
        labels = raw_labels and self._decoded(
            'labels', lambda: resize_nearest(_LABELS[raw_labels.kind](message(raw_labels), self._label_offset), size)
        )
        stamp_ns = self._stamps[joined.index]
        pose = self._motion(stamp_ns) if self._motion else None
        sample = Sample(image, labels, depth, intrinsics)
        yield RecordedFrame(joined.index, stamp_ns, joined.image.received_ns, header, sample, pose)

    def _newest_info(self, reader: 'AnyReader', data: bytes) -> Any:
        return self._decoded('camera info', lambda: deserialized(reader, data, CAMERA_INFO))

    def _intrinsics(self, info: Any, size: tuple[int, int]) -> Intrinsics | None:
        return info and self._decoded('camera info', lambda: intrinsics_from(info, *size))

    def _decoded(self, role: str, decode: Callable[[], Any]) -> Any:
        """What a function makes of a message; None, and counted, if it refuses."""
        try:
            return decode()
        except RefusedMessageError as error:
            count, reason = self._refused.get(role, (0, str(error)))
            self._refused[role] = (count + 1, reason)
            return None


def _with_image(message: Any) -> tuple[Any, np.ndarray]:
    """Header and pixels of an image."""
    return message.header, DECODERS[message.__msgtype__](message)
