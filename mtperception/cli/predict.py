# SPDX-License-Identifier: Apache-2.0
"""`mtperception predict`: depth and labels of images, folders, videos and bags, without ROS."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mtperception.atomic_write import atomic_file
from mtperception.cli.folders import check_apart, make_folder, naming_option
from mtperception.cli.notes import say_notes, say_reading
from mtperception.cli.option_records import with_records
from mtperception.cli.options import CameraFileOption, ImageTopicOption
from mtperception.cli.progress import progress
from mtperception.cli.settings import ModelSettings
from mtperception.errors import SourceError
from mtperception.geometry import depth_in_millimeters
from mtperception.media import RealTimeVideo, VideoWriter, write_image
from mtperception.predictor import Predictor
from mtperception.sources import Frame, Source, images_only, open_sources
from mtperception.tasks import CLASSES, DIRECTIONS, METRES, SHARES, graph_outputs
from mtperception.types import Prediction
from mtperception.visualization import colorize, colorize_depth, colorize_normals, overlay, side_by_side

STORED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    CLASSES: np.asarray,
    SHARES: np.asarray,
    METRES: depth_in_millimeters,
    DIRECTIONS: colorize_normals,
}
"""By kind of a map: what its PNG file holds."""


LONGEST_STEM = 200
"""Bytes of a name before what is put behind it: file systems allow 255."""


@with_records
def predict(
    inputs: Annotated[list[str], typer.Argument(help='Images, folders of images, videos, ROS bags.', metavar='INPUT')],
    out: Annotated[Path, typer.Option(help='Folder to write to; created if missing.')],
    model: ModelSettings,
    image_topic: ImageTopicOption = '',
    camera: CameraFileOption = '',
    maps: Annotated[
        bool, typer.Option('--maps', help='Also write the files of each frame of videos and bags.')
    ] = False,
) -> None:
    """Depth and labels of images, folders, videos and bags.

    An image NAME gives a file for each map that the model has: NAME_labels.png (8 bits: class indices of its label
    space), NAME_depth.png (16 bits: millimetres; 0 where it is invalid or beyond 65.535 m), NAME_confidence.png of the
    labels and NAME_depth_confidence.png (8 bits: 255 is certain), NAME_normals.png (x, y, z from -1 to 1 as red, green,
    blue); and the pictures NAME_overlay.png and NAME_depth_color.png. A video or a bag gives NAME_overlay_depth.mp4.
    Damaged images are left out and counted; what is predicted is kept.

    Example: mtperception predict kitchen.jpg walk.mp4 --out predictions
    """
    sources = open_sources(inputs, images_only(image_topic, camera))
    check_apart(out, [*inputs, *filter(None, [camera])], '--out')
    counts = [source.count for source in sources.values()]
    total = None if None in counts else sum(counts)
    with progress('predicting', total) as move, closing(model.open()) as predictor:
        make_folder(out, '--out')
        start, done = time.monotonic(), 0
        for _ in PredictionWriter(predictor, out, maps).write(sources):
            done += 1
            move(done)
    typer.echo(f'{out}: {done} images in {time.monotonic() - start:.1f} s', err=True)


class PredictionWriter:
    """Predicts images and writes files, one name for each image whatever the others are called.

    Args:
        predictor: the model.
        out: an existing folder.
        maps: whether frames of videos get files of their own.
    """

    def __init__(self, predictor: Predictor, out: Path, maps: bool) -> None:
        self._predictor = predictor
        self._out = out
        self._maps = maps
        outputs = [output.name for output in graph_outputs(predictor.card.tasks)]
        self._kinds = {'overlay', 'overlay_depth', *outputs, *(f'{output}_color' for output in outputs)}
        """What file names may end with, behind the name of an image."""
        self._taken: set[str] = set()
        """Names of files, without suffix."""

    def write(self, sources: dict[str, Source]) -> Iterator[None]:
        """Write the files of all images; yields after each one. What cannot be read is told, and the others go on.

        Raises:
            SourceError: in the end, if a stream broke off, or no image of any source can be read.
        """
        failures, lost, done = [], [], 0
        for text, source in sources.items():
            if source.is_stream:
                say_reading(source)
            try:
                for _ in self._write_video(source, text) if source.is_stream else self._write_images(source, text):
                    done += 1
                    yield
            except SourceError as error:
                (lost if source.is_stream else failures).append(error)
            say_notes(source.notes, text)
        if lost or not done:
            raise next(iter(lost + failures), SourceError('no image to predict'))
        say_notes(map(str, failures))

    def _write_images(self, source: Source, text: str) -> Iterator[None]:
        for frame in source:
            self._write_maps(frame, self._predict(frame), self._unique(frame.name, text))
            yield

    def _write_video(self, source: Source, text: str) -> Iterator[None]:
        name = self._unique(Path(text).stem, text)
        path = self._out / f'{name}_overlay_depth.mp4'
        # Of a stream without an end, whatever there is when it is interrupted, or the camera stops, is the result.
        end: SourceError | None = None
        with (
            naming_option('--out'),
            atomic_file(path, keep_interrupted=source.count is None) as part,
            VideoWriter(part, source.rate) as video,
        ):
            camera = RealTimeVideo(video)
            try:
                for frame in source:
                    prediction = self._predict(frame)
                    picture = side_by_side(*self._pictures(frame.image, prediction).values())
                    if source.count is None:
                        camera.write(picture, frame.stamp_ns)
                    else:
                        video.write(picture)
                    if self._maps:
                        self._write_maps(frame, prediction, self._unique(f'{name}_{frame.name}', text))
                    yield
            except SourceError as error:
                if source.count is not None or not video.count:
                    raise
                end = error
        if end:
            raise end

    def _predict(self, frame: Frame) -> Prediction:
        return self._predictor(frame.image, frame.intrinsics)

    def _write_maps(self, frame: Frame, prediction: Prediction, name: str) -> None:
        files = self._pictures(frame.image, prediction)
        for output in graph_outputs(self._predictor.card.tasks):
            map_ = prediction.measured_depth if output.name == 'depth' else prediction.map(output.name)
            files[output.name] = STORED[output.kind](map_)
        with naming_option('--out'):
            for kind, image in files.items():
                write_image(self._out / f'{name}_{kind}.png', image)

    def _pictures(self, image: np.ndarray, prediction: Prediction) -> dict[str, np.ndarray]:
        pictures = {}
        if prediction.labels is not None:
            pictures['overlay'] = overlay(image, prediction.labels, self._predictor.label_space)
        if prediction.depth is not None:
            pictures['depth_color'] = colorize_depth(prediction.measured_depth, *self._predictor.card.depth_range)
        return pictures or self._picture_of_first(prediction)

    def _picture_of_first(self, prediction: Prediction) -> dict[str, np.ndarray]:
        """Of a model without labels and depth; directions are stored as their picture anyway, under the same name."""
        card, output = self._predictor.card, graph_outputs(self._predictor.card.tasks)[0]
        name = output.name if output.kind == DIRECTIONS else f'{output.name}_color'
        map_ = prediction.map(output.name)
        return {name: colorize(output.kind, map_, self._predictor.label_space, card.depth_range)}

    def _unique(self, name: str, text: str) -> str:
        """The name, with a number behind it if a file of another image would have the same name."""
        name = name.encode()[:LONGEST_STEM].decode(errors='ignore')
        number, unique = 1, name
        while not self._taken.isdisjoint(files := {f'{unique}_{kind}' for kind in self._kinds}):
            number += 1
            unique = f'{name}-{number}'
        self._taken |= files
        if unique != name:
            typer.echo(f'{name} of {text}: another input has files of this name: written as {unique}', err=True)
        return unique
