# SPDX-License-Identifier: Apache-2.0
"""A folder as SemanticFusion (McCormac et al., ICRA 2017) reads recordings from image files.

    sequence.txt                  a line for each frame: stamp in milliseconds, depth file, colour file, and the ids of
                                  both, by which labelled frames are found
    frames/000000_rgb.png         8-bit RGB, 640x480
    frames/000000_depth.png       16 bits, millimetres, 0 = invalid; the reader counts on the end of this name
    probabilities/000000.npz      on demand; SemanticFusion does not read it: this is a format of our own

An .npz file holds `probabilities`, float16 C,h,w: for each class of the model's label space, in its order, how probable
the network finds it, at the resolution of the network's output. They are those of the whole frame: stretched bilinearly
(half-pixel centres) to 640x480 they cover the images. Classes that the model does not choose among have 0.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from mtperception.geometry import depth_in_millimeters
from mtperception.media import write_image
from mtperception.sequences.writer import SequenceFrame, WriterOptions

LIST, FRAMES, PROBABILITIES = 'sequence.txt', 'frames', 'probabilities'


class SemanticFusionWriter:
    """Writes such a folder. Implements `SequenceWriter`."""

    entries: ClassVar[tuple[str, ...]] = (LIST, FRAMES, PROBABILITIES)
    size: ClassVar[tuple[int, int] | None] = (640, 480)

    def __init__(self, path: Path, options: WriterOptions) -> None:
        self._folder = path
        self._lines: list[str] = []
        (path / FRAMES).mkdir()

    def write(self, frame: SequenceFrame) -> None:
        """Append a frame; stamps are cut to whole milliseconds."""
        index = len(self._lines)
        depth, rgb = f'{index:06d}_depth.png', f'{index:06d}_rgb.png'
        write_image(self._folder / FRAMES / depth, depth_in_millimeters(frame.depth))
        write_image(self._folder / FRAMES / rgb, frame.image)
        if frame.probabilities is not None:
            folder = self._folder / PROBABILITIES
            folder.mkdir(exist_ok=True)
            np.savez_compressed(folder / f'{index:06d}.npz', probabilities=frame.probabilities)
        self._lines.append(f'{frame.stamp_ns // 10**6} {FRAMES}/{depth} {FRAMES}/{rgb} {depth} {rgb}\n')

    def close(self) -> None:
        """Write the list."""
        (self._folder / LIST).write_text(''.join(self._lines), encoding='utf-8')
