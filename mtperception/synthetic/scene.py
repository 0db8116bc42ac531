# SPDX-License-Identifier: Apache-2.0
"""A furnished room, made of boxes.

World frame: metres, x to the east, y to the north, z up, the origin in the south-west corner of the floor.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

ROOM = np.array([7.0, 5.5, 2.6])
"""Length, width and height."""

_TOUCHING = 5e-3
"""Metres in front of a face: where there is a wall or another box, the face is not seen."""


@dataclass(frozen=True)
class Box:
    """A cuboid that stands upright."""

    label: str
    """Class name in `nyuv2_40`."""
    material: str
    """One of `textures.MATERIALS`."""
    size: tuple[float, float, float]
    """Depth (front to back), width and height, metres."""
    at: tuple[float, float, float]
    """Centre of the bottom face, metres."""
    yaw: float = 0.0
    """Degrees, counterclockwise seen from above; at 0 the front looks to the east."""
    front: str | None = None
    """Material of the front face, where it is another."""

    @property
    def axes(self) -> np.ndarray:
        """float64 3,3: unit vectors to the front, to the left (of the box itself) and up, as rows."""
        return _rotation(self.yaw).T

    @property
    def center(self) -> np.ndarray:
        """float64 3, metres."""
        return np.add(self.at, (0, 0, self.size[2] / 2))


@dataclass(frozen=True, eq=False)
class Face:
    """A rectangle seen from the side its normal points to. `right` and `down` are as in its texture."""

    label: str
    material: str
    origin: np.ndarray
    """float64 3: the top left corner, metres."""
    right: np.ndarray
    """float64 3, unit vector."""
    down: np.ndarray
    """float64 3, unit vector."""
    width: float
    height: float

    @property
    def normal(self) -> np.ndarray:
        """float64 3, unit vector."""
        return np.cross(self.down, self.right)

    def corners(self) -> np.ndarray:
        """float64 4,3, metres."""
        across, along = self.right * self.width, self.down * self.height
        return np.stack([self.origin + offset for offset in (0 * across, across, along, across + along)])


def furniture() -> list[Box]:
    """Everything in the room."""
    return [
        *_place(_bed(), 1.06, 4.25, 0),
        *_place(_night_stand(), 0.27, 3.12, 0),
        *_place(_desk(), 0.4, 1.35, 0),
        *_place(_chair('black', 'metal'), 1.15, 1.3, 195),
        *_place(_sofa(), 3.2, 0.5, 90),
        Box('floor mat', 'carpet', (1.5, 2.4, 0.01), (3.4, 1.55, 0), 90),
        *_place(_dining_table(), 4.15, 2.9, 100),
        *_place(_chair('red fabric', 'beech'), 4.0, 2.15, 100),
        *_place(_chair('red fabric', 'beech'), 4.35, 3.65, -75),
        *_place(_chair('red fabric', 'beech'), 5.05, 3.1, 196),
        *_place(_bookshelf(), 6.84, 1.75, 180),
        Box('cabinet', 'oak', (0.6, 1.5, 2.1), (6.69, 4.72, 0), 180, front='wardrobe'),
        *_place(_dresser(), 4.2, 5.26, -90),
        *_place(_floor_lamp(), 1.75, 0.35, 0),
        Box('box', 'cardboard', (0.4, 0.5, 0.35), (6.6, 0.4, 0), 170),
        Box('box', 'cardboard', (0.3, 0.35, 0.25), (6.62, 0.42, 0.35), 155),
        *_fixtures(),
    ]


def faces(boxes: Sequence[Box]) -> list[Face]:
    """The rectangles of the room and of the boxes, without those that lie wholly on the room's or on another box."""
    sides = [side for box in boxes for side in _sides(box)]
    hidden = _are_hidden(sides, boxes)
    return [*_shell(), *(side for side, is_hidden in zip(sides, hidden, strict=True) if not is_hidden)]


def _place(parts: Iterable[Box], x: float, y: float, yaw: float) -> list[Box]:
    """Put a piece of furniture, described around its own origin, somewhere in the room."""
    turn = _rotation(yaw)
    return [replace(part, at=tuple((turn @ part.at + [x, y, 0]).tolist()), yaw=part.yaw + yaw) for part in parts]


def _rotation(yaw: float) -> np.ndarray:
    """float64 3,3: counterclockwise about the vertical, degrees."""
    c, s = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _legs(label: str, material: str, depth: float, width: float, height: float, thick: float) -> list[Box]:
    """Four legs under a top of some depth and width."""
    x, y = (depth - thick) / 2, (width - thick) / 2
    corners = [(x, y), (x, -y), (-x, y), (-x, -y)]
    return [Box(label, material, (thick, thick, height), (*corner, 0)) for corner in corners]


def _chair(seat: str, frame: str) -> list[Box]:
    return [
        *_legs('chair', frame, 0.42, 0.42, 0.42, 0.04),
        Box('chair', seat, (0.45, 0.45, 0.05), (0, 0, 0.42)),
        Box('chair', seat, (0.04, 0.43, 0.42), (-0.20, 0, 0.50)),
    ]


def _dining_table() -> list[Box]:
    return [
        *_legs('table', 'walnut', 0.75, 1.2, 0.70, 0.07),
        Box('table', 'walnut', (0.85, 1.3, 0.04), (0, 0, 0.70), 0),
        Box('otherprop', 'ceramic', (0.12, 0.12, 0.22), (0.1, 0.2, 0.74), 30),
        Box('books', 'red', (0.16, 0.23, 0.03), (-0.1, -0.3, 0.74), 20),
    ]


def _bed() -> list[Box]:
    return [
        Box('bed', 'oak', (2.0, 1.6, 0.28), (0.03, 0, 0)),
        Box('bed', 'linen', (1.94, 1.54, 0.2), (0.03, 0, 0.28)),
        Box('bed', 'plaid', (1.25, 1.66, 0.24), (0.42, 0, 0.26)),
        Box('bed', 'oak', (0.06, 1.66, 0.95), (-1.0, 0, 0)),
        Box('pillow', 'linen', (0.4, 0.62, 0.12), (-0.68, 0.38, 0.48), 6),
        Box('pillow', 'mustard', (0.38, 0.6, 0.12), (-0.68, -0.38, 0.48), -4),
    ]


def _night_stand() -> list[Box]:
    return [
        Box('night stand', 'walnut', (0.42, 0.45, 0.5), (0, 0, 0), front='walnut drawers'),
        Box('lamp', 'metal', (0.06, 0.06, 0.22), (0, 0, 0.5)),
        Box('lamp', 'lampshade', (0.24, 0.24, 0.2), (0, 0, 0.72), 20),
    ]


def _desk() -> list[Box]:
    return [
        Box('desk', 'beech', (0.7, 1.5, 0.04), (0, 0, 0.71)),
        Box('desk', 'beech', (0.65, 0.4, 0.71), (0, -0.53, 0), front='beech drawers'),
        Box('desk', 'beech', (0.65, 0.04, 0.71), (0, 0.71, 0)),
        Box('television', 'black', (0.03, 0.62, 0.38), (-0.15, 0.1, 0.83), -8, front='screen'),
        Box('television', 'black', (0.14, 0.2, 0.08), (-0.17, 0.1, 0.75), -8),
        Box('books', 'books', (0.17, 0.3, 0.24), (-0.1, -0.55, 0.75)),
    ]


def _sofa() -> list[Box]:
    return [
        Box('sofa', 'blue fabric', (0.85, 2.0, 0.42), (0, 0, 0)),
        Box('sofa', 'blue fabric', (0.22, 2.0, 0.42), (-0.32, 0, 0.42)),
        Box('sofa', 'blue fabric', (0.87, 0.2, 0.62), (0.01, 0.99, 0)),
        Box('sofa', 'blue fabric', (0.87, 0.2, 0.62), (0.01, -0.99, 0)),
        Box('pillow', 'mustard', (0.14, 0.42, 0.36), (-0.1, 0.6, 0.42), 12),
        Box('pillow', 'plaid', (0.14, 0.42, 0.36), (-0.1, -0.6, 0.42), -15),
    ]


def _bookshelf() -> list[Box]:
    """Shelves between two sides, the lower ones full of books."""
    levels = [0.06, 0.46, 0.86, 1.26, 1.66]
    boards = [Box('bookshelf', 'walnut', (0.28, 1.16, 0.03), (0, 0, level)) for level in [*levels, 1.97]]
    rows = [(0.06, 1.10, 0.0), (0.46, 0.95, -0.07), (0.86, 0.7, 0.2), (1.26, 1.05, 0.04), (1.66, 0.5, -0.3)]
    books = [Box('books', 'books', (0.2, width, 0.27), (-0.02, y, level + 0.03)) for level, width, y in rows]
    sides = [Box('bookshelf', 'walnut', (0.3, 0.03, 2.0), (0, y, 0)) for y in (-0.595, 0.595)]
    return [Box('bookshelf', 'walnut', (0.02, 1.16, 2.0), (-0.14, 0, 0)), *sides, *boards, *books]


def _dresser() -> list[Box]:
    return [
        Box('dresser', 'oak', (0.46, 1.7, 0.72), (0, 0, 0), front='oak drawers'),
        Box('television', 'black', (0.05, 1.15, 0.66), (-0.05, 0, 0.78), front='screen'),
        Box('television', 'black', (0.2, 0.4, 0.06), (-0.05, 0, 0.72)),
    ]


def _floor_lamp() -> list[Box]:
    return [
        Box('lamp', 'metal', (0.28, 0.28, 0.03), (0, 0, 0)),
        Box('lamp', 'metal', (0.03, 0.03, 1.35), (0, 0, 0.03)),
        Box('lamp', 'lampshade', (0.34, 0.34, 0.3), (0, 0, 1.38)),
    ]


def _fixtures() -> list[Box]:
    """What hangs on walls and ceiling."""
    return [
        Box('window', 'white', (0.03, 1.5, 1.3), (0.015, 1.4, 0.95), 0, front='window'),
        Box('curtain', 'curtain', (0.08, 0.4, 2.3), (0.08, 0.45, 0.15)),
        Box('curtain', 'curtain', (0.08, 0.4, 2.3), (0.08, 2.35, 0.15)),
        Box('picture', 'walnut', (0.03, 1.1, 0.7), (0.015, 4.25, 1.35), 0, front='painting'),
        Box('picture', 'walnut', (0.03, 0.6, 0.8), (2.8, 0.015, 1.3), 90, front='print'),
        Box('picture', 'walnut', (0.03, 0.6, 0.8), (3.6, 0.015, 1.3), 90, front='print'),
        Box('picture', 'walnut', (0.03, 0.9, 0.6), (6.985, 3.2, 1.4), 180, front='painting'),
        Box('picture', 'walnut', (0.03, 0.5, 0.7), (2.5, 5.485, 1.35), -90, front='print'),
        Box('door', 'white', (0.05, 1.0, 2.1), (5.35, 0.025, 0), 90, front='door'),
        Box('lamp', 'lampshade', (0.5, 0.5, 0.14), (4.15, 2.9, 2.2)),
        Box('lamp', 'metal', (0.02, 0.02, 0.26), (4.15, 2.9, 2.34)),
    ]


def _shell() -> list[Face]:
    """Floor, ceiling and the four walls, seen from inside."""
    room = Box('', '', tuple(ROOM), (ROOM[0] / 2, ROOM[1] / 2, 0))
    x, y, z = room.axes
    return [
        _side(room, -z, x, 'floor', 'parquet', inward=True),
        _side(room, z, x, 'ceiling', 'plaster', inward=True),
        _side(room, -x, z, 'wall', 'paint', inward=True),
        _side(room, x, z, 'wall', 'bricks', inward=True),
        _side(room, -y, z, 'wall', 'wallpaper', inward=True),
        _side(room, y, z, 'wall', 'wallpaper', inward=True),
    ]


def _sides(box: Box) -> list[Face]:
    """The six faces of a box, seen from outside; the front is the first."""
    front, left, up = box.axes
    return [
        _side(box, front, up, box.label, box.front or box.material),
        *(_side(box, direction, up, box.label, box.material) for direction in (-front, left, -left)),
        _side(box, up, -front, box.label, box.material),
        _side(box, -up, front, box.label, box.material),
    ]


def _side(box: Box, direction: np.ndarray, upward: np.ndarray, label: str, material: str, inward: bool = False) -> Face:
    """The side of a box that lies in some direction, its texture upright along `upward`."""
    right, down = np.cross(upward, -direction if inward else direction), -upward
    depth, width, height = (float(np.abs(box.axes @ along) @ box.size) for along in (direction, right, down))
    origin = box.center + (direction * depth - right * width - down * height) / 2
    return Face(label, material, origin, right, down, width, height)


def _are_hidden(sides: Sequence[Face], boxes: Sequence[Box]) -> np.ndarray:
    """bool F: what is just in front of each side lies outside the room or inside one of the boxes."""
    fronts = np.stack([side.corners() + side.normal * _TOUCHING for side in sides])
    hidden = ((fronts < 0) | (fronts > ROOM)).all(axis=1).any(axis=1)
    for box in boxes:
        local = (fronts - box.center) @ box.axes.T
        hidden |= (np.abs(local) <= np.array(box.size) / 2 + _TOUCHING / 5).all(axis=(1, 2))
    return hidden
