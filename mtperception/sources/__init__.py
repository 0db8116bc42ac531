# SPDX-License-Identifier: Apache-2.0
"""Where images come from: a rendered scene, files, folders, videos, ROS bags and cameras, all read the same way."""

from collections.abc import Iterable
from dataclasses import replace

from mtperception.errors import SourceError
from mtperception.recording.recording_options import DEFAULTS
from mtperception.sources.bag import Bag
from mtperception.sources.camera_file import WithCamera
from mtperception.sources.images import ImageFile, ImageFolder
from mtperception.sources.source import Frame, Source, SourceKind, SourceOptions, images_only
from mtperception.sources.synthetic import SyntheticSource
from mtperception.sources.video import VideoFile, Webcam

__all__ = ['SOURCES', 'Frame', 'Source', 'SourceKind', 'SourceOptions', 'images_only', 'open_source', 'open_sources']

SOURCES: dict[str, SourceKind] = {
    'synthetic': SyntheticSource,
    'webcam': Webcam,
    'image': ImageFile,
    'bag': Bag,
    'folder': ImageFolder,
    'video': VideoFile,
}
"""Asked in this order; the first that accepts the text opens it."""

EXPECTED = 'expected synthetic, webcam:N, or the path of an image, a folder of images, a video or a ROS bag'


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Open what a text names: `synthetic`, `webcam:N`, or a path.

    Raises:
        SourceError: if there is no such thing, if no image can be read from it, if the file of its camera cannot be
            used, or if options say how a bag is read and it is none.
    """
    options, name = options or SourceOptions(), kind_of(spec)
    if options.recording != DEFAULTS and SOURCES[name] is not Bag:
        raise SourceError(
            f'{spec}: found a source of the kind {name}, and options that say how a bag is read (topics, '
            'tolerance, registered depth): expected a ROS bag; leave these options out'
        )
    source = SOURCES[name](spec, options)
    return WithCamera(source, options.camera_file) if options.camera_file else source


def open_sources(specs: Iterable[str], options: SourceOptions) -> dict[str, Source]:
    """Open what several texts name, each once. How a bag is read is said to the bags among them.

    Raises:
        SourceError: as `open_source`; for options that say how a bag is read only if none of them is a bag.
    """
    kinds = {spec: SOURCES[kind_of(spec)] for spec in specs}
    of_others = replace(options, recording=DEFAULTS) if Bag in kinds.values() else options
    return {spec: open_source(spec, options if kind is Bag else of_others) for spec, kind in kinds.items()}


def kind_of(spec: str) -> str:
    """The name in `SOURCES` of what a text names; raises SourceError for one that names nothing."""
    for name, kind in SOURCES.items():
        if spec and kind.accepts(spec):  # an empty path would be the current folder
            return name
    raise SourceError(f'no source {spec!r}: {EXPECTED}')
