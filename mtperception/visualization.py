# SPDX-License-Identifier: Apache-2.0
"""Pictures for people: depth and labels as colours."""

from functools import lru_cache

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.geometry import is_valid
from mtperception.labels import UNKNOWN_COLOR, LabelSpace
from mtperception.tasks import CLASSES, DIRECTIONS, METRES


def colorize_depth(depth: np.ndarray, min_depth: float, max_depth: float) -> np.ndarray:
    """Depth as colour: near is bright yellow, far is dark blue. The range is fixed, so that a stream does not flicker.

    Args:
        depth: float32 H,W, metres.
        min_depth: metres; all that is nearer has the first colour.
        max_depth: metres; all that is further has the last colour.

    Returns:
        uint8 H,W,3, RGB; black where depth is not `is_valid`, and nowhere else.

    Raises:
        ValueError: if min_depth is not below max_depth.
    """
    if not min_depth < max_depth:
        raise InputError(f'depth range {min_depth} to {max_depth} m: expected the smaller first')
    scale = 254 / (max_depth - min_depth)
    near = cv2.min(depth, max_depth)  # what follows saturates, but not beyond the range of an integer
    index = cv2.addWeighted(near, scale, near, 0, 1 - min_depth * scale, dtype=cv2.CV_8U)
    np.maximum(index, 1, out=index)
    index *= is_valid(depth)
    return _colored(index, _depth_colors())


def colorize_normals(normals: np.ndarray) -> np.ndarray:
    """Surface normals as colour: x, y, z from -1 to 1 are red, green, blue from 0 to 255.

    Args:
        normals: float32 H,W,3, unit vectors.

    Returns:
        uint8 H,W,3, RGB.
    """
    return np.rint((np.clip(normals, -1, 1) + 1) * 127.5).astype(np.uint8)


def colorize_labels(labels: np.ndarray, label_space: LabelSpace) -> np.ndarray:
    """Labels in the exact colours of the palette, from which they can be read back.

    Args:
        labels: uint8 H,W, class indices.
        label_space: gives the palette.

    Returns:
        uint8 H,W,3, RGB; white where the index is no class (255: unknown).
    """
    return _colored(labels, _label_colors(label_space))


def colorize(kind: str, map_: np.ndarray, label_space: LabelSpace, depth_range: tuple[float, float]) -> np.ndarray:
    """Any map of a graph as a picture.

    Args:
        kind: what it holds (`tasks.GraphOutput.kind`).
        map_: H,W or H,W,3.
        label_space: of classes.
        depth_range: metres, nearest and farthest in colour.

    Returns:
        uint8 H,W,3, RGB; of shares white is all.
    """
    if kind == CLASSES:
        return colorize_labels(map_, label_space)
    if kind == METRES:
        return colorize_depth(map_, *depth_range)
    return colorize_normals(map_) if kind == DIRECTIONS else np.repeat(map_[..., None], 3, axis=2)


def overlay(image: np.ndarray, labels: np.ndarray, label_space: LabelSpace, alpha: float = 0.5) -> np.ndarray:
    """An image tinted with the colours of its labels. Pixels without a class are left as they are.

    Args:
        image: uint8 H,W,3, RGB.
        labels: uint8 H,W, class indices.
        label_space: gives the palette.
        alpha: 0 (image only) to 1 (colours only).

    Returns:
        uint8 H,W,3, RGB.

    Raises:
        ValueError: if image and labels differ in size.
    """
    if image.shape[:2] != labels.shape:
        raise InputError(f'labels of {labels.shape} over an image of {image.shape[:2]}: expected the same size')
    tinted = cv2.addWeighted(image, 1 - alpha, colorize_labels(labels, label_space), alpha, 0)
    return cv2.copyTo(image, cv2.inRange(labels, len(label_space), 255), tinted)


def side_by_side(*images: np.ndarray) -> np.ndarray:
    """Join pictures of the same height, left to right.

    Args:
        *images: uint8 H,W,3 each; widths may differ.

    Raises:
        ValueError: if heights differ.
    """
    heights = [image.shape[0] for image in images]
    if len(set(heights)) != 1:
        raise InputError(
            f'pictures {", ".join(map(str, heights))} pixels high: expected one or more of the same height'
        )
    return np.hstack(images)


def _colored(indices: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """uint8 H,W,3, RGB, of uint8 H,W by a table of `_as_table`. Twice as fast as OpenCV's applyColorMap."""
    rgba = cv2.LUT(indices, colors).view(np.uint8).reshape(*indices.shape, 4)
    return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)


def _as_table(colors: np.ndarray) -> np.ndarray:
    """int32 256 of uint8 256,3, RGB: each colour is one number of bytes R, G, B, 0: one look-up instead of three."""
    return np.pad(colors, ((0, 0), (0, 1))).view(np.int32)[:, 0]


@lru_cache(maxsize=1)
def _depth_colors() -> np.ndarray:
    """Table of black for index 0, then viridis from near to far."""
    viridis = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[::-1, None], cv2.COLORMAP_VIRIDIS)[..., ::-1]
    colors = viridis[:, 0].copy()
    colors[0] = 0
    return _as_table(colors)


@lru_cache(maxsize=8)
def _label_colors(label_space: LabelSpace) -> np.ndarray:
    """Table of the palette, then white."""
    colors = np.full((256, 3), UNKNOWN_COLOR, np.uint8)
    colors[: len(label_space)] = label_space.palette
    return _as_table(colors)
