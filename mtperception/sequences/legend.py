# SPDX-License-Identifier: Apache-2.0
"""A picture that says which colour is which class."""

from pathlib import Path

import cv2
import numpy as np

from mtperception.labels import IGNORE_INDEX, UNKNOWN_COLOR, LabelSpace

ROW = 24
"""Height of a line in pixels."""
SWATCH = 40
"""Width of a field of colour in pixels, with its border."""
MARGIN = 8
FONT, SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.5


def write_legend(path: Path, space: LabelSpace, offset: int) -> None:
    """Write a PNG file with a line for unknown and for each class: colour, id, name.

    Args:
        path: the file; a PNG file whatever it is called.
        space: names and colours.
        offset: from class indices to ids.

    Raises:
        ValueError: if an id does not fit into a byte.
        OSError: if the file cannot be written.
    """
    path.write_bytes(cv2.imencode('.png', draw_legend(space, offset)[..., ::-1])[1].tobytes())


def draw_legend(space: LabelSpace, offset: int) -> np.ndarray:
    """uint8 H,W,3, RGB: lines of `ROW` pixels, each with a field of the exact colour at the left.

    Raises:
        ValueError: if an id does not fit into a byte.
    """
    ids = space.id_table(offset)
    rows = [(f'{ids[IGNORE_INDEX]} unknown', UNKNOWN_COLOR)]
    names = [f'{id_} {name}' for id_, name in zip(ids, space.names, strict=False)]
    rows += zip(names, map(tuple, space.palette.tolist()), strict=True)
    text_width = max(cv2.getTextSize(text, FONT, SCALE, 1)[0][0] for text, _ in rows)
    legend = np.full((ROW * len(rows), SWATCH + text_width + 2 * MARGIN, 3), 255, np.uint8)
    for index, (text, color) in enumerate(rows):
        top = index * ROW
        legend[top + 1 : top + ROW - 1, 1:SWATCH] = 0
        legend[top + 2 : top + ROW - 2, 2 : SWATCH - 1] = color
        cv2.putText(legend, text, (SWATCH + MARGIN, top + ROW - MARGIN), FONT, SCALE, (0, 0, 0), 1, cv2.LINE_AA)
    return legend
