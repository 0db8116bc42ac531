# SPDX-License-Identifier: Apache-2.0
"""Which topics of a recording are used: those asked for, else those whose types, contents and names fit."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from mtperception.errors import SourceError
from mtperception.messages import RefusedMessageError
from mtperception.messages.message import CAMERA_INFO
from mtperception.messages.names import camera_info_topic, frame_name
from mtperception.messages.outputs import OUTPUTS
from mtperception.recording.bag_reader import BagReader
from mtperception.recording.image_topics import COLOR, DECODERS, DEPTH, GREY, LOOKED_AT, UNUSABLE, ImageTopic, look_at
from mtperception.recording.namespaces import distance, owner, shared
from mtperception.recording.storage import Connection

ODOMETRY = 'nav_msgs/msg/Odometry'
POSE = 'geometry_msgs/msg/PoseStamped'
_NODE_OUTPUTS = tuple(output.topic for output in OUTPUTS)
_NODE_PICTURES = ('depth/color', 'semantic/color', 'overlay/image')
"""The node's outputs that are pictures for people; no camera driver uses these names."""
_NAMED = 8
"""Topics that a message names at most."""


@dataclass(frozen=True)
class TopicRequest:
    """Names of topics; empty = find one. Labels are only looked at when they are asked for."""

    image: str = ''
    camera_info: str = ''
    depth: str = ''
    labels: str = ''
    pose: str = ''


@dataclass(frozen=True)
class Topics:
    """Names of the topics that are used; empty = there is none."""

    image: str
    camera_info: str
    depth: str
    depth_camera_info: str
    labels: str
    pose: str
    notes: tuple[str, ...] = field(default=(), repr=False)
    """What a user should know about the choice."""

    def roles(self) -> dict[str, str]:
        """The topics by role."""
        return {role: name for role, name in vars(self).items() if role != 'notes'}

    def lines(self) -> Iterator[str]:
        """What each is, for people."""
        for role, name in self.roles().items():
            yield f'{role.replace("_", " ")}: {name or "none"}'


def choose_topics(reader: BagReader, request: TopicRequest, *, with_depth: bool = True) -> Topics:
    """Find the topics of a recording.

    The image is the first, by name, with colours, else with grey values; its camera_info the one beside it, else the
    only one near it that is of no other image. Depth in the frame of the image is of its camera, other depth is not.
    Depth is what comes as 16UC1 or 32FC1; if there are several, one that can be read, in the namespace nearest to the
    image, in its frame and with `depth` in its name goes first. What a node of this package
    published is no truth and no input, and is passed over unless it is asked for. Poses are an Odometry, else a
    PoseStamped, of the nearest namespace. What is nearer to another camera belongs to that.

    Args:
        reader: of the recording.
        request: what is asked for by name.
        with_depth: whether to look for depth that is not asked for.

    Raises:
        SourceError: if there is no image, or a topic that is asked for is missing or of another type.
    """
    return _Choice(reader, request, with_depth=with_depth).topics()


def topics_of(reader: BagReader, kinds: Collection[str]) -> list[str]:
    """Names of the topics of some types, sorted."""
    return sorted({connection.topic for connection in reader.connections if connection.kind in kinds})


def connections_of(reader: BagReader, topics: Collection[str], kinds: Collection[str]) -> list[Connection]:
    """Connections of some topics, of some types only."""
    return [x for x in reader.connections if x.topic in topics and x.kind in kinds]


def describe_topics(reader: BagReader) -> str:
    """All topics with their types, and why some cannot be read, for messages."""
    readable = {connection.topic: connection.kind for connection in reader.connections}
    return ', '.join(f'{name} ({kind})' for name, kind in sorted((reader.unreadable | readable).items())) or 'no topic'


class _Choice:
    """One search; each topic of images is looked at once at most."""

    def __init__(self, reader: BagReader, request: TopicRequest, *, with_depth: bool) -> None:
        self._reader = reader
        self._request = request
        self._with_depth = with_depth
        self._own = node_outputs(connection.topic for connection in reader.connections)
        self._truths: set[str] = set()
        """What was asked for as depth or labels: no camera, whatever its pictures look like."""
        self._seen: dict[str, ImageTopic] = {}
        self._notes: list[str] = []

    def topics(self) -> Topics:
        depth, labels = (self._asked_for(role, DECODERS) for role in ('depth', 'labels'))
        self._truths = {depth, labels}
        image = self._asked_for('image', DECODERS) or self._image()
        depth = depth or (self._depth(image) if self._with_depth else '')
        if image in (depth, labels):
            raise SourceError(f'topic {image}: given both as images and as ground truth: expected two different topics')
        return Topics(
            image=image,
            camera_info=self._asked_for('camera_info', [CAMERA_INFO]) or self._camera_info(image),
            depth=depth,
            depth_camera_info=self._beside(depth) if depth else '',
            labels=labels,
            pose=self._asked_for('pose', [ODOMETRY, POSE]) or self._pose(image),
            notes=tuple(self._notes),
        )

    def _asked_for(self, role: str, kinds: Collection[str]) -> str:
        topic, known = getattr(self._request, role), topics_of(self._reader, kinds)
        if f'/{topic}' in known:  # as it is typed; recorded names are absolute
            return f'/{topic}'
        if topic and topic not in known:
            found = describe_topics(self._reader)
            raise SourceError(f'no topic {topic!r} of type {" or ".join(kinds)}: the bag has {found}')
        return topic

    def _look_at(self, topic: str) -> ImageTopic:
        if topic not in self._seen:
            self._seen[topic] = look_at(self._reader, topic)
        return self._seen[topic]

    def _look_to_the_end(self, each: ImageTopic) -> ImageTopic:
        self._seen[each.topic] = look_at(self._reader, each.topic, to_the_end=True)
        return self._seen[each.topic]

    def _candidates(self) -> list[ImageTopic]:
        return [self._look_at(topic) for topic in topics_of(self._reader, DECODERS) if topic not in self._own]

    def _image(self) -> str:
        found = [each for each in self._candidates() if each.topic not in self._truths]
        if all(each.content != COLOR for each in found):
            found = [self._look_to_the_end(each) if each.content == UNUSABLE else each for each in found]
        usable = [each for each in found if each.content in (COLOR, GREY)]
        unusable = {each.topic: each.refusal for each in found if each.content == UNUSABLE}
        if not usable:
            raise SourceError(f'no topic with colour or grey images: {self._why_none(found)}')
        chosen = min(usable, key=lambda each: each.content != COLOR).topic
        self._notes += [f'{topic}: no usable image, skipped: {why}' for topic, why in unusable.items()]
        return chosen

    def _why_none(self, found: list[ImageTopic]) -> str:
        reasons = {each.topic: each.refusal or f'{each.content}, not colour or grey' for each in found}
        reasons |= dict.fromkeys(
            (topic for topic in topics_of(self._reader, DECODERS) if topic in self._own),
            'an output of a node of this package: use --image-topic to select it anyway',
        )
        expected = f'expected one of type {" or ".join(DECODERS)}'
        listed = '; '.join(f'{topic}: {why}' for topic, why in reasons.items())
        return f'{listed}; {expected}' if listed else f'{expected}, found {describe_topics(self._reader)}'

    def _camera_info(self, image: str) -> str:
        if beside := self._beside(image):
            return beside
        cameras = [topic for topic in self._cameras() if topic != image]
        known = [x for x in topics_of(self._reader, [CAMERA_INFO]) if x not in self._own]
        known = [topic for topic in known if not _image_of(topic, image, cameras)]
        depths = self._depth_elsewhere(image)
        of_depth = {topic: of for topic in known if (of := _image_of(topic, image, depths))}
        near = _nearest_to(image, [topic for topic in known if topic not in of_depth])
        if len(near) == 1:
            return near[0]
        self._notes += [
            f'camera info: {topic} skipped: it belongs to {of_depth[topic]}, which is not in the frame of {image}; '
            'without one, depth is not scaled to the camera: use --camera-info-topic to select it'
            for topic in _nearest_to(image, known)
            if topic in of_depth
        ]
        return ''

    def _beside(self, image: str) -> str:
        """The camera_info by convention, unless its frame is that of other images beside it and not of these."""
        name = camera_info_topic(image)
        if name not in topics_of(self._reader, [CAMERA_INFO]):
            return ''
        topics = [x for x in topics_of(self._reader, DECODERS) if camera_info_topic(x) == name and x not in self._own]
        frames = {topic: self._look_at(topic).frame_id for topic in topics} if len(topics) > 1 else {}
        if not frames.get(image) or len(set(frames.values())) == 1:
            return name
        frame = self._info_frame(name)
        if frame == frames[image] or not frame or frame not in frames.values():
            return name
        other = next(topic for topic in topics if frames[topic] == frame)
        self._notes.append(f'{name}: not used for {image}: its frame {frame!r} is that of {other}')
        return ''

    def _info_frame(self, topic: str) -> str:
        """The frame_id of the first CameraInfo that has one."""
        connections = connections_of(self._reader, [topic], [CAMERA_INFO])
        for connection, _, data in islice(self._reader.messages(connections), LOOKED_AT):
            with suppress(RefusedMessageError):
                if frame := frame_name(self._reader.deserialized(data, connection.kind).header.frame_id):
                    return frame
        return ''

    def _depth_elsewhere(self, image: str) -> list[str]:
        """Topics with depth that is not known to be in the frame of the images, as of another camera."""
        frame_id = self._look_at(image).frame_id
        found = [each for each in self._candidates() if each.content == DEPTH and each.topic != image]
        return [each.topic for each in found if not frame_id or each.frame_id != frame_id]

    def _cameras(self) -> list[str]:
        """Topics with images that are no depth."""
        return [x.topic for x in self._candidates() if x.content != DEPTH and x.topic not in self._truths]

    def _depth(self, image: str) -> str:
        frame_id = self._look_at(image).frame_id
        found = [each for each in self._candidates() if each.content == DEPTH and each.topic != image]

        def order(each: ImageTopic) -> tuple[bool, bool, bool, int, bool, str]:
            far = not shared(each.topic, image)
            unnamed = 'depth' not in each.topic.lower()
            elsewhere = each.frame_id != frame_id
            return bool(each.refusal), far, unnamed, -shared(each.topic, image), elsewhere, each.topic

        chosen = self._nearest('depth', '--depth-topic', sorted(found, key=order), image)
        if chosen and 'depth' not in chosen.lower():
            self._notes.append(
                f'depth: {chosen} was chosen by its encoding {self._look_at(chosen).encoding} alone; if it is not '
                'depth, select the topic with --depth-topic'
            )
        if not chosen:
            self._notes += [
                f'depth: {topic} skipped: it looks like an output of a node of this package; use --depth-topic to '
                'select it'
                for topic in topics_of(self._reader, DECODERS)
                if topic in self._own and self._look_at(topic).content == DEPTH
            ]
        return chosen

    def _pose(self, image: str) -> str:
        kinds = {topic: kind for kind in (POSE, ODOMETRY) for topic in topics_of(self._reader, [kind])}

        def order(topic: str) -> tuple[int, bool, bool, int, str]:
            near, not_above, depth = distance(topic, image)
            return near, kinds[topic] == POSE, not_above, depth, topic

        found = [ImageTopic(topic, '') for topic in sorted(kinds, key=order)]
        return self._nearest('pose', '--pose-topic', found, image)

    def _nearest(self, role: str, option: str, found: list[ImageTopic], image: str) -> str:
        """The first that is not nearer to another camera; a note where that leaves none."""
        others = [topic for topic in self._cameras() if topic != image] if found else []
        owners = {each.topic: owner(each.topic, image, others) for each in found}
        chosen = next((topic for topic, of in owners.items() if not of), '')
        if owners and not chosen:
            topic, of = next(iter(owners.items()))
            self._notes.append(
                f'{role}: {topic} skipped: it is nearer to {of} than to {image}; use {option} to select it'
            )
        return chosen


def _image_of(info: str, image: str, others: Collection[str]) -> str:
    """Which of some other topics of images a camera_info is beside, or nearer to than to `image`; empty if none."""
    beside = (other for other in others if camera_info_topic(other) == info)
    return next(beside, '') or owner(info, image, others)


def _nearest_to(image: str, topics: Collection[str]) -> list[str]:
    """Those that share the longest namespace with the images."""
    nearest = max((shared(topic, image) for topic in topics), default=0)
    return [topic for topic in topics if shared(topic, image) == nearest]


def node_outputs(topics: 'Iterator[str] | Collection[str]') -> set[str]:
    """Topics that a node of this package published, told by its list of classes or by two of its names together."""
    topics = set(topics)
    spaces = {topic.removesuffix('semantic/classes') for topic in topics if topic.endswith('/semantic/classes')}
    for picture in _NODE_PICTURES:
        pictured = {topic.removesuffix(picture) for topic in topics if topic.endswith(f'/{picture}')}
        others = [output for output in _NODE_OUTPUTS if not output.startswith(picture)]
        spaces |= {space for space in pictured if any(_is_below(topic, space, others) for topic in topics)}
    return {topic for topic in topics for space in spaces if _is_below(topic, space, _NODE_OUTPUTS)}


def _is_below(topic: str, space: str, names: Iterable[str]) -> bool:
    """Whether a topic is one of some names in a namespace, or of its transports."""
    return any(f'{topic}/'.startswith(f'{space}{name}/') for name in names)
