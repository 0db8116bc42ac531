# SPDX-License-Identifier: Apache-2.0
"""A bag with what was replayed and all that the node would have published of it, written without ROS."""

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtperception.atomic_write import scratch_folder, write_errors
from mtperception.errors import OccupiedError, WriteError
from mtperception.messages.message import Message
from mtperception.messages.outputs import CLASSES_TOPIC, FRAME_DEPTH, LATCHED_DEPTH, classes, outputs_for
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.predictor import BackendPredictor
from mtperception.recording.bag_files import SUFFIXES, files_of, kind_of
from mtperception.recording.bag_reader import BagReader
from mtperception.recording.recording import RecordedFrame
from mtperception.recording.storage import Connection
from mtperception.types import Prediction

if TYPE_CHECKING:
    from rosbags.interfaces import Qos
    from rosbags.rosbag2 import Writer
    from rosbags.typesys.store import Typestore

LEFT_OUT = {
    'semantic/label_info': 'its type, vision_msgs/LabelInfo, needs ROS; semantic/classes has the same content',
    'semantic/labelspace': 'its type, semantic_inference_msgs/Labelspace, needs ROS',
    '/diagnostics': 'only a running node publishes it',
}
"""Topics of the node that are not written, and why."""


class BagRecorder:
    """Writes messages of a recording as they are, and the outputs of its frames, as the node has them by default.

    Args:
        writer: an open one.
        predictor: the model.
        taken: names of topics of the recording. If an output has one of them, all outputs go into a namespace.
        errors: what the writer raises becomes what this context raises.
    """

    def __init__(
        self,
        writer: 'Writer',
        predictor: BackendPredictor,
        taken: Collection[str],
        errors: Callable[[], AbstractContextManager[None]],
    ) -> None:
        from mtperception.recording.message_types import default_store

        card = predictor.card
        self._writer = writer
        self._errors = errors
        self._store = default_store()
        self._connections: dict[str, Connection] = {}
        self._presentation = Presentation.build(default_settings(), card, predictor.label_space)
        self._outputs = outputs_for(card.tasks)
        self._latched = {CLASSES_TOPIC: classes(self._presentation)} if 'segmentation' in card.tasks else {}
        self.namespace = free_namespace([*self._latched, *(output.topic for output in self._outputs)], taken)

    def message(self, reader: BagReader, connection: Connection, received_ns: int, data: bytes) -> None:
        """Write a message of the recording; before the first one, what the node latches when it starts."""
        topic = connection.topic
        if not self._connections:
            for name, latched in self._latched.items():
                self._write(name, latched, received_ns, quality_of_service(LATCHED_DEPTH, latched=True))
        store = reader.store(connection.kind)
        with self._errors():
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, connection.kind, typestore=store, offered_qos_profiles=_qos_profiles(connection.qos)
                )
            self._writer.write(self._connections[topic], received_ns, data)

    def frame(self, frame: RecordedFrame, prediction: Prediction) -> None:
        """Write the outputs of a frame, with the stamp of its image and received when that was."""
        products = Products(frame.image, prediction, frame.intrinsics, self._presentation)
        for output in self._outputs:
            if products.intrinsics or not output.needs_camera:
                message = output.make(products)
                self._write(output.topic, message, frame.received_ns, quality_of_service(FRAME_DEPTH), frame.header)

    def _write(self, name: str, message: Message, received_ns: int, qos: 'Qos', header: Any = None) -> None:
        topic = f'{self.namespace}/{name}'
        data = self._store.serialize_cdr(bag_message(self._store, message, header), message.kind)
        with self._errors():
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, message.kind, typestore=self._store, offered_qos_profiles=[qos]
                )
            self._writer.write(self._connections[topic], received_ns, data)


@contextmanager
def recorded_bag(out: Path, like: Path, predictor: BackendPredictor, taken: Collection[str]) -> Iterator[BagRecorder]:
    """A recorder; when this context ends without an exception, its bag is at `out`.

    Args:
        out: with the suffix .mcap or .db3 a file of that kind, else a folder.
        like: a bag, whose kind of storage a folder gets.
        predictor, taken: as for `BagRecorder`.

    Raises:
        OccupiedError: if there is something at `out`.
        WriteError: if the bag cannot be written.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer

    check_free(out)
    plugin = StoragePlugin.MCAP if _suffix(out, like) == '.mcap' else StoragePlugin.SQLITE3
    with scratch_folder(out) as folder:
        made = folder / (out.stem if out.suffix in SUFFIXES else out.name)
        with bag_write_errors(out, folder):
            writer = Writer(made, version=Writer.VERSION_LATEST, storage_plugin=plugin)
            writer.open()
        with _closed(writer, out, folder):
            yield BagRecorder(writer, predictor, taken, lambda: bag_write_errors(out, folder))
        if out.suffix in SUFFIXES:
            made = next(file for file in made.iterdir() if file.suffix == out.suffix)
        check_free(out)  # another process may have been faster
        with bag_write_errors(out, folder):
            made.rename(out)


@contextmanager
def _closed(writer: 'Writer', out: Path, folder: Path) -> Iterator[None]:
    """Close a writer; after an error, that is the one to tell, whatever closing says."""
    try:
        yield
    except BaseException:
        with suppress(Exception):
            writer.close()
        raise
    with bag_write_errors(out, folder):
        writer.close()


@contextmanager
def bag_write_errors(out: Path, folder: Path) -> Iterator[None]:
    """Turn what rosbags raises when it cannot write into a WriteError that names the bag.

    Args:
        out: the bag.
        folder: where it is written in fact.
    """
    try:
        with write_errors(out, folder):
            yield
    except sqlite3.Error as error:
        raise WriteError(f'{out}: cannot be written: {error}: expected space left on the disk') from error


def check_free(out: Path) -> None:
    """Raise OccupiedError if there is something at a path."""
    if out.exists():
        raise OccupiedError(f'{out}: already exists: expected the path of a new bag')


def free_namespace(names: Collection[str], taken: Collection[str]) -> str:
    """The first of '', '/perception', '/perception_2', ... in which none of some names is taken."""
    candidates = chain(['', '/perception'], (f'/perception_{number}' for number in count(2)))
    return next(space for space in candidates if not {f'{space}/{name}' for name in names} & set(taken))


def bag_message(store: 'Typestore', message: Message, header: Any = None) -> Any:
    """The message of a typestore, with a copy of `header`, of whatever typestore; None for a type without one."""
    fields = {name: _field(store, value) for name, value in message.fields.items()}
    if header is not None:
        stamp = store.types['builtin_interfaces/msg/Time'](header.stamp.sec, header.stamp.nanosec)
        fields['header'] = store.types['std_msgs/msg/Header'](stamp, header.frame_id)
    return store.types[message.kind](**fields)


def _field(store: 'Typestore', value: Any) -> Any:
    if isinstance(value, Message):
        return bag_message(store, value)
    return [bag_message(store, each) for each in value] if isinstance(value, list) else value


def quality_of_service(depth: int, *, latched: bool = False) -> 'Qos':
    """QoS of the node's outputs, which `ros2 bag play` offers again: reliable."""
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime

    forever = QosTime(9223372036, 854775807)  # RMW_DURATION_INFINITE
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=depth,
        reliability=QosReliability.RELIABLE,
        durability=QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE,
        deadline=forever,
        lifespan=forever,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=forever,
        avoid_ros_namespace_conventions=False,
    )


def _qos_profiles(text: str) -> 'list[Qos]':
    """What a recorder wrote down; none where it cannot be read."""
    from rosbags.rosbag2 import ReaderError
    from rosbags.rosbag2.metadata import parse_qos

    try:
        return parse_qos(text)
    except (ReaderError, KeyError, TypeError, ValueError, AttributeError):
        return []


def _suffix(out: Path, like: Path) -> str:
    """Suffix of the storage file."""
    if out.suffix in SUFFIXES:
        return out.suffix
    return kind_of(files_of(like).paths[0])
