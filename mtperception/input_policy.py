# SPDX-License-Identifier: Apache-2.0
"""How a model sees images: reduced with the aspect kept, stretched to a fixed size, or cut into tiles of a fixed size.

The card names the policy. Predictor, evaluation, node and training views all take sizes and focal lengths from here.

An image with focal lengths (fx, fy) that is resized to the network's plane by (kx, ky) has (fx kx, fy ky) there. With
x = fx kx / fx_train and y = fy ky / fy_train, the plane looks as if the training camera saw the scene with each point
(X, Y, Z) moved to (a X, b Y, c Z), where a / c = x and b / c = y: pixels do not say more. A network that knows objects
by their size keeps a = b = 1 where x = y = s. Then c = 1 / s, and the true depth is s times the learnt one. Where x and
y differ, no c keeps both sizes; c = 1 / sqrt(x y) keeps areas, and the depth is sqrt(x y) times the learnt one.
Normals do not depend on that choice: they go by the inverse transpose, so a learnt (nx, ny, nz) stands for
(x nx, y ny, nz), normalised. Tiles are cut, not resized: kx = ky = 1.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.geometry import focal_scale
from mtperception.types import Intrinsics

Size = tuple[int, int]
"""Width and height."""


@dataclass(frozen=True)
class TrainingCamera:
    """The camera of the training images: the depth that the network gives is metric for this one."""

    fx: float
    """Focal length in pixels at `width`."""
    width: int
    height: int
    fy: float | None = None
    """Focal length along the columns in pixels at `height`. None: that of square pixels, or with `stretch`, where it is
    not known what these were, depth is scaled by fx alone."""


@dataclass(frozen=True)
class Layout:
    """What the network sees of images of one size.

    Attributes:
        image: size of the images.
        plane: size that they are resized to; maps are put together at this size.
        tile: size of what the network sees at once: the plane, or a part of it.
        columns: left edge of each column of tiles, in the plane.
        rows: upper edge of each row of tiles.
    """

    image: Size
    plane: Size
    tile: Size
    columns: tuple[int, ...] = (0,)
    rows: tuple[int, ...] = (0,)

    @property
    def count(self) -> int:
        """Tiles of an image."""
        return len(self.columns) * len(self.rows)

    @property
    def is_the_image(self) -> bool:
        """Whether the network sees the image as it is, as a whole."""
        return self.image == self.plane == self.tile

    def write_tiles(self, image: np.ndarray, out: np.ndarray) -> None:
        """Resize an image, uint8 H,W,3, and write its tiles, row by row, to `out`, uint8 count,h,w,3.

        A plane that is smaller than a tile is continued by its last row and column.
        """
        if self.plane == self.tile:
            resize_image(image, self.plane, out[0])
            return
        plane = image if self.plane == self.image else resize_image(image, self.plane)
        for part, tile in zip(self.parts(plane), out, strict=True):
            below, right = tile.shape[0] - part.shape[0], tile.shape[1] - part.shape[1]
            tile[:] = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_REPLICATE) if below or right else part

    def parts(self, plane: np.ndarray) -> list[np.ndarray]:
        """What each tile shows of a map of the plane, plane_h,plane_w,..., row by row; less than a tile where the plane
        is smaller."""
        width, height = self.tile
        return [plane[top : top + height, left : left + width] for top in self.rows for left in self.columns]

    def joined(self, tiles: np.ndarray) -> np.ndarray:
        """Put the maps of all tiles, count,h,w,..., together: plane_h,plane_w,....

        Where tiles overlap, each pixel is taken from the one whose centre is nearer: nothing is mixed.
        """
        if self.plane == self.tile:
            return tiles[0]
        width, height = self.plane
        joined = np.empty((height, width, *tiles.shape[3:]), tiles.dtype)
        spans = [
            (y, x) for y in _spans(self.rows, self.tile[1], height) for x in _spans(self.columns, self.tile[0], width)
        ]
        for ((top, y0, y1), (left, x0, x1)), tile in zip(spans, tiles, strict=True):
            joined[y0:y1, x0:x1] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        return joined


@dataclass(frozen=True)
class InputPolicy:
    """How images become what the network sees.

    Raises:
        ValueError: for a policy that does not exist, or a size without pixels.
    """

    policy: str
    """A key of `POLICIES`."""
    width: int
    height: int

    def __post_init__(self) -> None:
        """Check the values."""
        if self.policy not in POLICIES:
            raise InputError(f'input policy {self.policy!r}: expected one of {", ".join(POLICIES)}')
        for name, side in (('width', self.width), ('height', self.height)):
            if not isinstance(side, int) or isinstance(side, bool) or side < 1:
                raise InputError(f'input {name} {side!r}: expected a whole number of pixels from 1 on')

    @property
    def size(self) -> Size:
        """Width and height: at most (keep_aspect), exactly (stretch), or of a tile."""
        return self.width, self.height

    def layout(self, width: int, height: int) -> Layout:
        """What the network sees of an image of this size."""
        return _layout(self, width, height)

    def training_layout(self, width: int, height: int) -> Layout:
        """What views of a training image of this size are cut from, before a random scale: all the network sees."""
        plane = self.layout(width, height).plane
        return Layout((width, height), plane, plane)

    @property
    def description(self) -> str:
        """In words, for protocols."""
        return f'{self.policy}: {_DESCRIPTIONS[self.policy]} {self.width}x{self.height}'


def seen_focal_lengths(camera: TrainingCamera, policy: InputPolicy) -> tuple[float, float | None]:
    """Focal lengths of a training camera, along rows and columns, in pixels of what a network with this policy sees.

    A camera whose fy is not known has square pixels, as nearly all have. Where images were stretched it is not assumed:
    then the second is None.
    """
    width, height = policy.layout(camera.width, camera.height).plane
    fy = camera.fx if camera.fy is None and policy.policy != 'stretch' else camera.fy
    return camera.fx * width / camera.width, None if fy is None else fy * height / camera.height


def focal_ratios(
    intrinsics: Intrinsics, layout: Layout, camera: TrainingCamera, trained: InputPolicy
) -> tuple[float, float]:
    """Focal lengths of a camera over those of the training camera, along rows and columns, both in the network's plane.

    Args:
        intrinsics: the camera, of images of `layout.image`.
        layout: how the network sees them.
        camera: that of the training images.
        trained: how the network saw those.

    Returns:
        x and y as at the top of this file. They are equal where the training camera's fy is not known with `stretch`.

    Raises:
        ValueError: if a focal length or a size is not positive.
    """
    fx, fy = seen_focal_lengths(camera, trained)
    x = focal_scale(intrinsics.fx, layout.image[0], layout.plane[0], fx)
    if fy is None:
        return x, x
    return x, focal_scale(intrinsics.fy, layout.image[1], layout.plane[1], fy)


def depth_ratio(x: float, y: float) -> float:
    """What to multiply the learnt depth by: the geometric mean of the focal ratios."""
    return x if x == y else math.sqrt(x * y)


def resize_image(image: np.ndarray, size: Size, out: np.ndarray | None = None) -> np.ndarray:
    """An image at another size, without aliasing.

    Down to a half, bilinear interpolation still looks at every pixel, and takes a quarter of the time of the mean over
    areas; on the images that the default model was chosen by, the two give the same accuracy.

    Args:
        image: uint8 H,W,3.
        size: its new width and height.
        out: where to write, uint8 h,w,3; by default a new array.
    """
    looks_at_all = 2 * size[0] >= image.shape[1] and 2 * size[1] >= image.shape[0]
    return cv2.resize(image, size, dst=out, interpolation=cv2.INTER_LINEAR if looks_at_all else cv2.INTER_AREA)


def resize_nearest(values: np.ndarray, size: Size) -> np.ndarray:
    """A map at another width and height, each pixel that of the nearest centre: neither classes nor the depths of two
    things have a mean.

    OpenCV's INTER_NEAREST takes the pixel whose corner is nearest: up to half a pixel off from what is bilinear.
    """
    same = (values.shape[1], values.shape[0]) == size
    return values if same else cv2.resize(values, size, interpolation=cv2.INTER_NEAREST_EXACT)


def _keep_aspect(size: Size, image: Size) -> Layout:
    """The whole image, reduced to fit into `size`; never enlarged."""
    scale = min(1.0, size[0] / image[0], size[1] / image[1])
    plane = max(1, round(image[0] * scale)), max(1, round(image[1] * scale))
    return Layout(image, plane, plane)


def _stretch(size: Size, image: Size) -> Layout:
    """The whole image at exactly `size`."""
    return Layout(image, size, size)


def _tiles(size: Size, image: Size) -> Layout:
    """Parts of `size` of the image as it is, evenly spread, as few as cover it."""
    columns, rows = (_starts(whole, part) for whole, part in zip(image, size, strict=True))
    return Layout(image, image, size, columns, rows)


POLICIES: dict[str, Callable[[Size, Size], Layout]] = {
    'keep_aspect': _keep_aspect,
    'stretch': _stretch,
    'tiles': _tiles,
}
"""By name: the layout for a policy's size and an image's size."""

_DESCRIPTIONS = {
    'keep_aspect': 'larger images reduced to fit',
    'stretch': 'images stretched to',
    'tiles': 'images cut into tiles of',
}


@lru_cache(maxsize=64)
def _layout(policy: InputPolicy, width: int, height: int) -> Layout:
    return POLICIES[policy.policy](policy.size, (width, height))


def _starts(whole: int, part: int) -> tuple[int, ...]:
    """First pixels of as few parts as cover the whole, evenly spread."""
    count = math.ceil(whole / part)
    return tuple(round(index * (whole - part) / (count - 1)) for index in range(count)) if count > 1 else (0,)


def _spans(starts: tuple[int, ...], part: int, whole: int) -> list[tuple[int, int, int]]:
    """For each part: its start, and the first and the end of the pixels used from it; overlaps are halved."""
    cuts = [(before + part + after) // 2 for before, after in pairwise(starts)]
    return list(zip(starts, [0, *cuts], [*cuts, whole], strict=True))
