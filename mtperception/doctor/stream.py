# SPDX-License-Identifier: Apache-2.0
"""What the node will make of a live image topic: a judgement of what was observed, without ROS."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from mtperception.card import ModelCard
from mtperception.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding
from mtperception.messages import RefusedMessageError, compressed_to_rgb, image_to_rgb, intrinsics_from
from mtperception.messages.message import COMPRESSED_IMAGE, IMAGE

SECTION = 'topic'
STALE_S = 10.0
"""An older stamp is not of this machine's clock."""
COMPRESSED = '/compressed'


@dataclass(frozen=True)
class Observed:
    """What came in on a topic and the camera_info beside it.

    Attributes:
        topic: its resolved name.
        types: types of message that publishers offer there.
        publishers: for each publisher, its node and what its QoS is.
        arrivals_ns: when each image arrived, nanoseconds of the system clock.
        stamps_ns: of each image.
        image: the last message; None if none came.
        info_topic: where camera_info was looked for.
        info: the last camera_info message; None if none came.
        image_topics: topics with images that there are in this domain.
    """

    topic: str
    types: Sequence[str] = ()
    publishers: Sequence[str] = ()
    arrivals_ns: Sequence[int] = ()
    stamps_ns: Sequence[int] = ()
    image: Any = None
    info_topic: str = ''
    info: Any = None
    image_topics: Sequence[str] = field(default_factory=tuple)


def judge(seen: Observed, card: ModelCard, frame_ms: float | None) -> list[Finding]:
    """One finding for each property of the stream.

    Args:
        seen: what was observed.
        card: of the model.
        frame_ms: how long the model takes for a frame here; None if unknown.
    """
    if not seen.publishers:
        return [_absent(seen)]
    if not set(seen.types) & {IMAGE, COMPRESSED_IMAGE}:
        found = f'{seen.topic} is {", ".join(seen.types)}'
        return [Finding(SECTION, 'type', PROBLEM, f'{found}, expected {IMAGE} or {COMPRESSED_IMAGE}', _others(seen))]
    qos = Finding(SECTION, 'QoS', OK, f'{"; ".join(seen.publishers)}: the node (best effort) matches each')
    if seen.image is None:
        text = f'{len(seen.publishers)} publisher(s) on {seen.topic}, but no image arrived'
        advice = 'is the camera running? large images may be lost: see the limits above'
        return [qos, Finding(SECTION, 'rate', PROBLEM, text, advice)]
    size, encoding = _encoding(seen)
    return [qos, _rate(seen, frame_ms), *encoding, _stamps(seen), _camera_info(seen, card, size)]


def _absent(seen: Observed) -> Finding:
    return Finding(SECTION, 'publishers', PROBLEM, f'no publisher on {seen.topic}', _others(seen))


def _others(seen: Observed) -> str:
    if not seen.image_topics:
        return 'no other image topic either: same ROS_DOMAIN_ID and RMW as the camera?'
    return f'topics with images: {", ".join(seen.image_topics)}'


def _rate(seen: Observed, frame_ms: float | None) -> Finding:
    gaps = [(after - before) / 1e9 for before, after in pairwise(seen.arrivals_ns)]
    if not gaps:
        return Finding(SECTION, 'rate', NOTE, 'a single image arrived')
    rate = len(gaps) / max(sum(gaps), 1e-9)
    text = f'{rate:.1f} images/s, longest gap {max(gaps):.2f} s'
    values = {'rate': rate, 'longest_gap_s': max(gaps), 'images': len(seen.arrivals_ns)}
    if frame_ms is None or rate * frame_ms <= 1000:
        return Finding(SECTION, 'rate', OK, f'{text}: the node answers all', values=values)
    answered = f'the node answers about {1000 / frame_ms:.0f} of them ({frame_ms:.0f} ms each) and drops the others'
    return Finding(
        SECTION,
        'rate',
        NOTE,
        f'{text}: {answered}',
        'a smaller network_size; on some CPUs precision bf16 (mtperception benchmark)',
        values,
    )


def _encoding(seen: Observed) -> tuple[tuple[int, int] | None, list[Finding]]:
    """Width and height of the images, None if the node refuses them; and what there is to say."""
    image = seen.image
    is_compressed = not hasattr(image, 'encoding')
    name = image.format if is_compressed else image.encoding
    try:
        rgb = compressed_to_rgb(image) if is_compressed else image_to_rgb(image)
    except RefusedMessageError as error:
        return None, [Finding(SECTION, 'encoding', PROBLEM, f'the node refuses these images: {error}')]
    height, width = rgb.shape[:2]
    values = {'encoding': name, 'width': width, 'height': height}
    found = Finding(SECTION, 'encoding', OK, f'{name}, {width}x{height}', values=values)
    return (width, height), [found, _launch(seen.topic, is_compressed)]


def _launch(topic: str, is_compressed: bool) -> Finding:
    if not is_compressed:
        arguments = f'image:={topic}'
    elif topic.endswith(COMPRESSED):
        arguments = f'image:={topic.removesuffix(COMPRESSED)} image_transport:=compressed'
    else:
        found = f'the node looks for compressed images on a topic that ends in {COMPRESSED}; found {topic}'
        return Finding(SECTION, 'launch', WARNING, found, f'remap the driver to {topic}{COMPRESSED}, image:={topic}')
    return Finding(SECTION, 'launch', OK, f'ros2 launch mtperception perception.launch.py {arguments}')


def _stamps(seen: Observed) -> Finding:
    age_s = median((arrival - stamp) / 1e9 for arrival, stamp in zip(seen.arrivals_ns, seen.stamps_ns, strict=True))
    values = {'age_s': age_s, 'frame_id': seen.image.header.frame_id}
    problem, advice = _problem_with_stamps(seen.stamps_ns, age_s)
    if not problem and not values['frame_id']:
        problem, advice = 'no frame_id: tf cannot place depth and points', "set the driver's frame_id"
    if problem:
        return Finding(SECTION, 'stamps', WARNING, problem, advice, values)
    text = f'{age_s * 1e3:.0f} ms old on arrival, frame_id {values["frame_id"]}'
    return Finding(SECTION, 'stamps', OK, text, values=values)


def _problem_with_stamps(stamps: Sequence[int], age_s: float) -> tuple[str, str]:
    if not any(stamps):
        return 'all 0: consumers cannot pair depth with anything', 'let the driver stamp its images'
    if any(after < before for before, after in pairwise(stamps)):
        return 'time runs backwards: do several cameras publish on this topic?', 'give each camera its own topic'
    if any(after == before for before, after in pairwise(stamps)):
        return 'several images have one stamp: consumers cannot tell their depth apart', 'correct the driver'
    if age_s > STALE_S:
        return (
            f'{age_s:.0f} s old: a recording, or another clock',
            'play with --clock; launch with use_sim_time:=true',
        )
    if age_s < -1.0:
        return f'{-age_s:.0f} s in the future: clocks differ', 'synchronise the clocks of the machines (chrony)'
    return '', ''


def _camera_info(seen: Observed, card: ModelCard, size: tuple[int, int] | None) -> Finding:
    consequence = 'depth is not scaled to the camera; points and */camera_info are not published'
    if seen.info is None:
        return Finding(
            SECTION,
            'camera_info',
            WARNING,
            f'none on {seen.info_topic}: {consequence}',
            'launch with camera_info:=TOPIC, or calibrate the camera',
        )
    if size is None:
        return Finding(SECTION, 'camera_info', NOTE, f'on {seen.info_topic}; not compared with images that are refused')
    width, height = size
    try:
        intrinsics = intrinsics_from(seen.info, width, height)
    except RefusedMessageError as error:
        return Finding(SECTION, 'camera_info', WARNING, f'{error}: {consequence}', 'calibrate the camera')
    scale = card.depth_factor(intrinsics)
    values = {'fx': intrinsics.fx, 'fy': intrinsics.fy, 'depth_factor': scale, 'distorted': bool(any(seen.info.d))}
    text = f'fx {intrinsics.fx:.1f} px at {width} px: depth is scaled by about {scale:.2f} against the training camera'
    if values['distorted']:
        text += '; lens distortion is not removed'
        return Finding(
            SECTION, 'camera_info', NOTE, text, 'where geometry matters, feed image_rect (image_proc)', values
        )
    return Finding(SECTION, 'camera_info', OK, text, values=values)
