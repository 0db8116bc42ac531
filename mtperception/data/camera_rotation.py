# SPDX-License-Identifier: Apache-2.0
"""What a camera would have seen that is mounted at another angle: exact, since a turn about its centre hides nothing.

Points X of the camera become R X, so pixels move by the homography K R K^-1 (Hartley and Zisserman, Multiple View
Geometry, 2nd edition, section 8.4.2).
"""

from dataclasses import replace

import cv2
import numpy as np

from mtperception.labels import IGNORE_INDEX
from mtperception.types import Intrinsics, Sample


def rotated(sample: Sample, camera: Intrinsics, pitch: float, roll: float, outside: tuple[int, int, int]) -> Sample:
    """A sample as the same camera sees it from the same place, turned.

    Args:
        sample: of this camera.
        camera: what pixels are converted to rays with.
        pitch: radians about the camera's x axis; things move up in the image if it is positive.
        roll: radians about its optical axis, after the pitch; things move clockwise if it is positive.
        outside: RGB of the pixels that the image does not show.

    Returns:
        The image interpolated, labels and depth of the nearest pixel; where there is nothing, they are unknown.
    """
    rotation = cv2.Rodrigues(np.array([0, 0, roll]))[0] @ cv2.Rodrigues(np.array([pitch, 0, 0.0]))[0]
    matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
    homography = matrix @ rotation @ np.linalg.inv(matrix)
    size = sample.image.shape[1::-1]

    def warped(x: np.ndarray, flags: int, value: float | tuple[int, ...]) -> np.ndarray:
        return cv2.warpPerspective(x, homography, size, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=value)

    labels = depth = None
    if sample.labels is not None:
        labels = warped(sample.labels, cv2.INTER_NEAREST, IGNORE_INDEX)
    if sample.depth is not None:
        depth = warped(sample.depth * _stretch(rotation, camera, size), cv2.INTER_NEAREST, 0)
    return replace(sample, image=warped(sample.image, cv2.INTER_LINEAR, outside), labels=labels, depth=depth)


def _stretch(rotation: np.ndarray, camera: Intrinsics, size: tuple[int, int]) -> np.ndarray:
    """float32 H,W: depth after the turn over depth before it; 0 for what is behind the camera then."""
    x = (np.arange(size[0]) - camera.cx) / camera.fx
    y = (np.arange(size[1]) - camera.cy) / camera.fy
    factor = rotation[2, 0] * x + rotation[2, 1] * y[:, None] + rotation[2, 2]
    return factor.clip(min=0).astype(np.float32)
