# SPDX-License-Identifier: Apache-2.0
"""Depth as the colour camera would have measured it."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from mtperception.input_policy import resize_nearest
from mtperception.messages import RefusedCameraInfoError, RefusedImageError, intrinsics_from
from mtperception.recording.first_pass import FirstPass
from mtperception.recording.topics import Topics
from mtperception.recording.warping import warp_depth
from mtperception.types import Intrinsics, same_aspect

SAME_CAMERA = 0.01
"""Relative difference of focal length, and difference of principal point in parts of the width, that two calibrations
of one camera may have."""


@dataclass(frozen=True)
class Registration:
    """How recorded depth becomes that of the colour image."""

    apply: Callable[[np.ndarray, int, tuple[int, int], Intrinsics | None], np.ndarray]
    """From depth (float32 h,w, metres), its position in its topic, width and height of the image and its camera to
    float32 H,W, 0 = invalid. It raises RefusedMessageError where it cannot."""
    description: str


def choose_registration(found: FirstPass, topics: Topics, *, as_it_is: bool) -> Registration:
    """How to register the depth topic of a bag.

    Depth in the image's frame is used as it is, resized if need be, unless both camera_infos can be used and are of
    different views. Depth in another frame is reprojected with both camera_infos and the transform between the frames,
    which must not change. Of the depth's camera_infos, the newest usable one before an image of depth counts, else the
    first usable one after it.

    Args:
        found: frames, cameras and transforms of the bag.
        topics: which of them to regard.
        as_it_is: whether the user says that depth is registered to the image.
    """
    frame, depth_frame = found.frames.get(topics.image, ''), found.frames.get(topics.depth, '')
    if as_it_is:
        return Registration(_resized, 'as recorded (--depth-registered)')
    infos = found.depth_infos
    if frame == depth_frame:
        if not infos or topics.camera_info in ('', topics.depth_camera_info):
            return Registration(_resized, f'as recorded: in the frame of the image, {frame!r}')
        return _as_it_is_unless_seen_otherwise(infos)
    T_image_depth = found.tree.find(frame, depth_frame, None)
    missing = [
        what
        for what, is_missing in (
            ('a camera_info beside the image', not topics.camera_info),
            ('a camera_info beside the depth', not infos),
            (f'transforms that do not move between {frame!r} and {depth_frame!r}', T_image_depth is None),
        )
        if is_missing
    ]
    if missing:
        return _impossible(depth_frame, frame, ', '.join(missing))
    return _reprojection(infos, T_image_depth, f'by the static transform from {depth_frame!r} to {frame!r}')


def is_same_view(first: Intrinsics, second: Intrinsics) -> bool:
    """Whether two cameras, brought to one size, differ by no more than two calibrations of one camera."""
    second = second.resized(first.width, first.height)
    focal = max(abs(second.fx / first.fx - 1), abs(second.fy / first.fy - 1))
    centre = max(abs(second.cx - first.cx), abs(second.cy - first.cy)) / first.width
    return max(focal, centre) <= SAME_CAMERA


def resized_to_image(values: np.ndarray, size: tuple[int, int], what: str) -> np.ndarray:
    """What was measured for an image, at its size.

    Args:
        values: h,w: one for each pixel.
        size: width and height of the image.
        what: they are, for the message.

    Raises:
        RefusedImageError: of kind `size`, if their aspect is not that of the image.
    """
    height, width = values.shape
    if not same_aspect((width, height), size):
        raise RefusedImageError('size', f'found {what} of {width}x{height}, expected the aspect of {size[0]}x{size[1]}')
    return resize_nearest(values, size)


def _camera_at(infos: Sequence[tuple[int, Any]], position: int, width: int, height: int) -> Intrinsics:
    """The depth camera by the newest usable camera_info before an image of depth, else the first usable one after it.

    Raises:
        RefusedCameraInfoError: if none is usable; it says why the one to expect is not.
    """
    newest = bisect_right(infos, position, key=itemgetter(0))
    problem = None
    for index in chain(reversed(range(newest)), range(newest, len(infos))):
        try:
            return intrinsics_from(infos[index][1], width, height)
        except RefusedCameraInfoError as error:
            problem = problem or error
    raise problem


def _reprojection(infos: Sequence[tuple[int, Any]], T_image_depth: np.ndarray, how: str) -> Registration:
    same_place = np.allclose(T_image_depth, np.eye(4), atol=1e-6)

    def apply(depth: np.ndarray, position: int, size: tuple[int, int], camera: Intrinsics | None) -> np.ndarray:
        if camera is None:
            raise RefusedCameraInfoError(
                'found no usable camera_info for the image, expected one to register depth by, or --depth-registered '
                'if the depth is registered to the image'
            )
        depth_camera = _camera_at(infos, position, depth.shape[1], depth.shape[0])
        if same_place and is_same_view(depth_camera, camera):
            return resize_nearest(depth, size)
        return warp_depth(depth, depth_camera, camera, T_image_depth).depth

    return Registration(apply, f'{how}, reprojected where the two cameras differ; lens distortion is ignored')


def _as_it_is_unless_seen_otherwise(infos: Sequence[tuple[int, Any]]) -> Registration:
    """For depth in the image's frame: without two usable cameras nothing says that they differ."""
    reprojection = _reprojection(infos, np.eye(4), 'in the frame of the image')

    def apply(depth: np.ndarray, position: int, size: tuple[int, int], camera: Intrinsics | None) -> np.ndarray:
        try:
            return reprojection.apply(depth, position, size, camera)
        except RefusedCameraInfoError:
            return _resized(depth, position, size, camera)

    return replace(reprojection, apply=apply)


def _resized(depth: np.ndarray, _position: int, size: tuple[int, int], _camera: Intrinsics | None) -> np.ndarray:
    return resized_to_image(depth, size, 'depth')


def _impossible(depth_frame: str, frame: str, missing: str) -> Registration:
    reason = (
        f'found depth in the frame {depth_frame!r} and images in {frame!r}, but not {missing}: expected them, or '
        '--depth-registered if the depth is registered to the image'
    )

    def apply(depth: np.ndarray, position: int, size: tuple[int, int], camera: Intrinsics | None) -> np.ndarray:
        raise RefusedImageError('registration', reason)

    return Registration(apply, f'not possible: {reason}')
