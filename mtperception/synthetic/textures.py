# SPDX-License-Identifier: Apache-2.0
"""Procedural materials.

A painter makes the colours of one rectangle, as they are in full light: float32 h,w,3, RGB, 0..1 and above 1 for what
shines by itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import cv2
import numpy as np

TEXELS_PER_METRE = 160

Color = tuple[float, float, float]
OAK: Color = (0.72, 0.53, 0.33)
WALNUT: Color = (0.42, 0.27, 0.17)
BEECH: Color = (0.80, 0.64, 0.44)
WHITE: Color = (0.88, 0.87, 0.84)
COVERS: tuple[Color, ...] = (
    (0.50, 0.12, 0.10), (0.14, 0.22, 0.40), (0.15, 0.33, 0.22), (0.75, 0.68, 0.52), (0.62, 0.42, 0.14),
    (0.22, 0.20, 0.20), (0.82, 0.80, 0.76), (0.35, 0.18, 0.28), (0.24, 0.42, 0.48), (0.70, 0.32, 0.16),
)  # fmt: skip

Painter = Callable[[np.random.Generator, int, int], np.ndarray]


def texels(metres: float) -> int:
    """Length on a texture, at least one texel."""
    return max(1, round(metres * TEXELS_PER_METRE))


def noise(rng: np.random.Generator, height: int, width: int, cell: tuple[float, float]) -> np.ndarray:
    """Smooth noise, float32 h,w in -1..1, with features about as large as `cell` (vertical, horizontal, metres)."""
    rows, columns = (max(2, round(extent / texels(size))) for extent, size in zip((height, width), cell, strict=True))
    grid = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)


def _tinted(color: Color, brightness: np.ndarray) -> np.ndarray:
    """A colour times a brightness map (h,w)."""
    return (np.float32(color) * brightness[..., None]).astype(np.float32)


def _lines(extent: int, period: int, thickness: int = 1) -> np.ndarray:
    """bool: a line of some texels at the start of each period."""
    return np.arange(extent) % period < thickness


def plain(rng: np.random.Generator, height: int, width: int, color: Color) -> np.ndarray:
    """Paint or plastic, hardly uneven."""
    coarse, fine = noise(rng, height, width, (0.3, 0.3)), noise(rng, height, width, (0.02, 0.02))
    return _tinted(color, 1 + 0.04 * coarse + 0.03 * fine)


def wood(rng: np.random.Generator, height: int, width: int, color: Color) -> np.ndarray:
    """Grain along the longer side."""
    if height > width:
        return np.ascontiguousarray(wood(rng, width, height, color).transpose(1, 0, 2))
    bands = noise(rng, height, width, (0.05, 1.2)) + 0.5 * noise(rng, height, width, (0.012, 0.5))
    grain = np.sin(9 * bands)
    return _tinted(color, 1 + 0.10 * bands + 0.07 * grain)


def planks(
    rng: np.random.Generator, height: int, width: int, color: Color, size: tuple[float, float] = (0.12, 0.9)
) -> np.ndarray:
    """A floor of boards (width, length in metres), each of its own tone, joints staggered."""
    texture = np.empty((height, width, 3), np.float32)
    breadth, length = texels(size[0]), texels(size[1])
    for top in range(0, height, breadth):
        row = texture[top : top + breadth]
        start = -int(rng.integers(0, length))
        for left in range(start, width, length):
            board = row[:, max(left, 0) : left + length]
            if board.size:
                board[:] = wood(rng, *board.shape[:2], color) * rng.uniform(0.82, 1.08)
                board[:, :1] *= 0.6
        row[:1] *= 0.6
    return texture


def bricks(rng: np.random.Generator, height: int, width: int, color: Color) -> np.ndarray:
    """A brick wall."""
    tall, long = texels(0.075), texels(0.24)
    row, column = np.arange(height) // tall, np.arange(width)
    along = column[None] + (row % 2)[:, None] * (long // 2)
    tones = rng.uniform(0.75, 1.1, (row[-1] + 1, along.max() // long + 1)).astype(np.float32)
    brightness = tones[row[:, None], along // long] + 0.08 * noise(rng, height, width, (0.015, 0.015))
    mortar = _lines(height, tall, 2)[:, None] | (along % long < 2)
    return np.where(mortar[..., None], np.float32([0.72, 0.70, 0.66]), _tinted(color, brightness))


def wallpaper(rng: np.random.Generator, height: int, width: int, color: Color, motif: Color) -> np.ndarray:
    """A regular pattern of diamonds over a plain ground."""
    period = texels(0.24)
    v, u = np.arange(height)[:, None] / period, np.arange(width)[None] / period
    wave = np.cos(2 * np.pi * u) * np.cos(2 * np.pi * v)
    weight = np.clip(8 * np.abs(wave) - 5.2, 0, 1).astype(np.float32)[..., None]
    return plain(rng, height, width, color) * (1 - weight) + np.float32(motif) * weight


def checks(rng: np.random.Generator, height: int, width: int, colors: Sequence[Color], period: float) -> np.ndarray:
    """Woven checks of two colours: thirds where stripes cross."""
    u, v = (np.arange(extent) // texels(period) % 2 for extent in (width, height))
    weight = ((u[None] + v[:, None]) / 2).astype(np.float32)[..., None]
    cloth = np.float32(colors[0]) * (1 - weight) + np.float32(colors[1]) * weight
    return cloth * (1 + 0.06 * noise(rng, height, width, (0.012, 0.012)))[..., None]


def rug(rng: np.random.Generator, height: int, width: int, colors: Sequence[Color]) -> np.ndarray:
    """A carpet: bands along its border around a field of diamonds."""
    v, u = np.mgrid[:height, :width].astype(np.float32)
    border = np.minimum(np.minimum(u, width - 1 - u), np.minimum(v, height - 1 - v)) / TEXELS_PER_METRE
    wave = np.abs((u / texels(0.4)) % 1 - 0.5) + np.abs((v / texels(0.4)) % 1 - 0.5)
    index = np.where(wave < 0.28, 1, np.where(wave < 0.4, 2, 0))
    index = np.where(border < 0.22, 2, np.where(border < 0.26, 1, index))
    index = np.where(border < 0.05, 1, index)
    pile = 1 + 0.12 * noise(rng, height, width, (0.012, 0.012))
    return np.float32(colors)[index] * pile[..., None]


def folds(rng: np.random.Generator, height: int, width: int, color: Color) -> np.ndarray:
    """A curtain."""
    phase = np.cumsum(1 + 0.5 * noise(rng, 2, width, (1, 0.15))[0]) / texels(0.11)
    shade = 1 + 0.22 * np.sin(2 * np.pi * phase)
    return _tinted(color, np.broadcast_to(shade, (height, width)))


def spines(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A row of books: spines of many colours and heights, with a title each."""
    shelf = np.full((height, width, 3), 0.08, np.float32)
    left = 0
    while left < width:
        right = left + texels(rng.uniform(0.02, 0.05))
        top = int(height * rng.uniform(0, 0.22))
        color = np.float32(COVERS[rng.integers(len(COVERS))]) * np.float32(rng.uniform(0.7, 1.1))
        shelf[top:, left:right] = color
        title = top + int((height - top) * rng.uniform(0.15, 0.5))
        shelf[title : title + height // 5, left + 1 : right - 2] = np.clip(color + 0.35, 0, 1)
        shelf[top:, right - 1 : right] *= 0.4
        left = right
    return shelf


def framed(
    rng: np.random.Generator, height: int, width: int, inner: Painter, frame: Color, border: float
) -> np.ndarray:
    """Something within a frame of some metres."""
    edge = min(texels(border), height // 3, width // 3)
    texture = plain(rng, height, width, frame)
    texture[edge : height - edge, edge : width - edge] = inner(rng, height - 2 * edge, width - 2 * edge)
    return texture


def landscape(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A painting: a sky over three ranges of hills."""
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    sky = np.float32([0.35, 0.55, 0.85]) * (1 - depth) + np.float32([0.98, 0.82, 0.62]) * depth
    picture = np.broadcast_to(sky, (height, width, 3)).copy()
    for level in (0.45, 0.62, 0.8):
        ridge = height * (level + 0.1 * noise(rng, 2, width, (1, width / TEXELS_PER_METRE / 4))[0])
        below = np.arange(height)[:, None] > ridge
        picture[below] = rng.uniform(0.75, 1.25, 3) * [0.42, 0.46, 0.36] * (1.6 - level)
    return picture


def panels(rng: np.random.Generator, height: int, width: int, color: Color, grid: tuple[int, int]) -> np.ndarray:
    """Doors (one row) or drawers, rows x columns of them, each with a groove around it and a knob."""
    texture = wood(rng, height, width, color)
    rows, columns = (np.linspace(0, extent, n + 1).astype(int) for extent, n in zip((height, width), grid, strict=True))
    groove, knob = [0.45 * channel for channel in color], texels(0.025)
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            cv2.rectangle(texture, (left + 3, top + 3), (right - 4, bottom - 4), groove, 2)
            middle = (left + right) // 2 if grid[0] > 1 else right - 4 * knob
            cv2.circle(texture, (middle, (top + bottom) // 2), knob, (0.8, 0.75, 0.6), -1)
    return texture


def panes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A view out of a window with a cross of glazing bars."""
    view = 0.5 + 0.9 * landscape(rng, height, width)
    bar = texels(0.025)
    view[:, width // 2 - bar : width // 2 + bar] = WHITE
    view[height // 2 - bar : height // 2 + bar] = WHITE
    return view


def screen(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A switched off television with a faint reflection across it."""
    v, u = np.mgrid[:height, :width].astype(np.float32)
    stripe = np.exp(-(((u - 0.7 * v - 0.3 * width) / (0.25 * width)) ** 2))
    return _tinted((0.06, 0.07, 0.09), 1 + 1.2 * stripe + 0.1 * noise(rng, height, width, (0.2, 0.2)))


MATERIALS: dict[str, Painter] = {
    'parquet': partial(planks, color=(0.66, 0.47, 0.29)),
    'plaster': partial(plain, color=(0.90, 0.89, 0.86)),
    'paint': partial(plain, color=(0.80, 0.78, 0.68)),
    'bricks': partial(bricks, color=(0.66, 0.36, 0.27)),
    'wallpaper': partial(wallpaper, color=(0.72, 0.78, 0.76), motif=(0.56, 0.66, 0.66)),
    'white': partial(plain, color=WHITE),
    'black': partial(plain, color=(0.10, 0.10, 0.11)),
    'metal': partial(plain, color=(0.55, 0.56, 0.58)),
    'ceramic': partial(plain, color=(0.30, 0.52, 0.54)),
    'red': partial(plain, color=(0.55, 0.13, 0.12)),
    'cardboard': partial(plain, color=(0.70, 0.55, 0.38)),
    'oak': partial(wood, color=OAK),
    'walnut': partial(wood, color=WALNUT),
    'beech': partial(wood, color=BEECH),
    'oak drawers': partial(panels, color=OAK, grid=(3, 2)),
    'walnut drawers': partial(panels, color=WALNUT, grid=(2, 1)),
    'beech drawers': partial(panels, color=BEECH, grid=(4, 1)),
    'wardrobe': partial(panels, color=(0.83, 0.78, 0.70), grid=(1, 3)),
    'door': partial(framed, inner=partial(panels, color=(0.62, 0.43, 0.28), grid=(1, 1)), frame=WHITE, border=0.07),
    'window': partial(framed, inner=panes, frame=WHITE, border=0.06),
    'painting': partial(framed, inner=landscape, frame=(0.30, 0.20, 0.10), border=0.04),
    'print': partial(framed, inner=landscape, frame=(0.93, 0.92, 0.90), border=0.07),
    'screen': partial(framed, inner=screen, frame=(0.05, 0.05, 0.05), border=0.02),
    'books': spines,
    'blue fabric': partial(checks, colors=((0.25, 0.34, 0.50), (0.28, 0.38, 0.55)), period=0.03),
    'red fabric': partial(checks, colors=((0.66, 0.22, 0.18), (0.60, 0.19, 0.16)), period=0.02),
    'plaid': partial(checks, colors=((0.78, 0.74, 0.64), (0.30, 0.45, 0.44)), period=0.11),
    'linen': partial(checks, colors=((0.90, 0.89, 0.84), (0.86, 0.85, 0.80)), period=0.02),
    'mustard': partial(checks, colors=((0.80, 0.62, 0.20), (0.74, 0.57, 0.18)), period=0.02),
    'carpet': partial(rug, colors=((0.55, 0.16, 0.15), (0.84, 0.74, 0.55), (0.16, 0.20, 0.32))),
    'curtain': partial(folds, color=(0.72, 0.66, 0.56)),
    'lampshade': partial(plain, color=(1.7, 1.55, 1.2)),
}
