# SPDX-License-Identifier: Apache-2.0
"""Things of one image pasted into another: rare ones are seen more often (Ghiasi et al., CVPR 2021).

Both images are of one data set, so of one camera: a thing stays where it was in its image, at its own distance, and is
seen only where it is nearer than what is there.
"""

from dataclasses import replace

import cv2
import numpy as np

from mtperception.geometry import fill_holes, is_valid
from mtperception.labels import IGNORE_INDEX
from mtperception.types import Sample

LARGEST_SHARE = 0.15
"""Largest share of the image that an object may cover; anything larger is a wall or a floor."""
SMALLEST_PIXELS = 16


def paste_thing(sample: Sample, donor: Sample, rng: np.random.Generator) -> Sample:
    """A sample with a connected piece of one class of another one, each class being as likely.

    Args:
        sample: with labels.
        donor: with labels; of the same size and camera.
        rng: decides.

    Returns:
        The sample as it was if nothing fits: other sizes or cameras, labels or depth that one of them lacks, no piece
        of a fitting size, or one without any depth.
    """
    if sample.labels is None or donor.labels is None or not _of_one_kind(sample, donor):
        return sample
    piece = _piece(donor.labels, rng)
    if piece is None:
        return sample
    if sample.depth is None:
        return replace(sample, **_pasted(sample, donor, piece, ('image', 'labels')))
    known = is_valid(donor.depth)
    if not (piece & known).any():
        return sample
    # Depth may have holes, or be as sparse as a laser's: then a thing is as far as the rest of it, and what is there as
    # the nearest pixel with depth.
    distance = np.where(known, donor.depth, np.median(donor.depth[piece & known]))
    there = fill_holes(sample.depth)
    seen = piece & (~is_valid(there) | (distance < there))
    return replace(sample, **_pasted(sample, donor, seen, ('image', 'labels', 'depth')))


def _of_one_kind(sample: Sample, donor: Sample) -> bool:
    alike = sample.image.shape == donor.image.shape and sample.intrinsics == donor.intrinsics
    return alike and (sample.depth is None) == (donor.depth is None)


def _piece(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """bool H,W: a connected piece of a class, of a size that things have; None if the class drawn has none."""
    classes = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:IGNORE_INDEX])
    if not classes.size:
        return None
    _, pieces, sizes, _ = cv2.connectedComponentsWithStats((labels == rng.choice(classes)).astype(np.uint8))
    areas = sizes[:, cv2.CC_STAT_AREA]
    fitting = [i for i in range(1, len(areas)) if SMALLEST_PIXELS <= areas[i] <= LARGEST_SHARE * labels.size]
    return pieces == rng.choice(fitting) if fitting else None


def _pasted(sample: Sample, donor: Sample, seen: np.ndarray, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Maps of a sample with those of another where that is seen."""
    maps = {}
    for name in names:
        maps[name] = getattr(sample, name).copy()
        maps[name][seen] = getattr(donor, name)[seen]
    return maps
