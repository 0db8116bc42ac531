# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a map that is empty, or looks wrong, in words."""

from collections.abc import Iterator

import numpy as np

from mtperception.mapping.filtering import DYNAMIC, EDGE, FAR, INVALID, SURFACELESS, UNSURE
from mtperception.mapping.mapper import NO_CAMERA, NO_POSE, TOO_LARGE, MapOptions, MapStatistics
from mtperception.mapping.volume import SemanticVolume

FAR_TOO_LARGE, FAR_TOO_SMALL = 100.0, 0.02
"""Metres: medians of depth beyond these are of another unit."""
FARTHEST = 1e5
"""Metres from the origin: voxels and vertices are in single precision, which is in steps of 8 mm there."""
LARGEST_STEP = 5.0
"""Metres between neighbouring poses, at the median."""
MOSTLY = 0.9
"""Share of the pixels that are left out, from which to say so."""
REMEDIES = {
    INVALID: 'the depth itself is invalid there: is it the right topic or file?',
    SURFACELESS: 'see invalid_depth_classes',
    DYNAMIC: 'see dynamic_classes',
    UNSURE: 'use a smaller depth_confidence_threshold',
    FAR: 'use a larger max_depth',
    EDGE: 'use a larger depth_edge_threshold, or 0',
}


def frames_left_out(statistics: MapStatistics, poses: str) -> str:
    """Why frames were left out, in one line; empty if none was.

    Args:
        statistics: of the map.
        poses: how poses are known, or why not.
    """
    reasons = [f'{count} {reason}' for reason, count in statistics.left_out_frames.most_common()]
    if not reasons:
        return ''
    because = f' (poses: {poses})' if NO_POSE in statistics.left_out_frames else ''
    if NO_CAMERA in statistics.left_out_frames:
        because += '; of images without a camera, --camera names a calibration'
    if TOO_LARGE in statistics.left_out_frames:
        because += '; use larger voxels, a smaller max_depth, or more memory'
    total = sum(statistics.left_out_frames.values())
    return f'{total} of {total + statistics.used} frames left out: {", ".join(reasons)}{because}'


def blocks_dropped(volume: SemanticVolume, memory_mb: float) -> str:
    """How much of a map was dropped for lack of memory, in one line; empty if nothing was."""
    if not volume.dropped_blocks:
        return ''
    share = volume.dropped_blocks / (volume.dropped_blocks + volume.blocks)
    return (
        f'{share:.0%} of the map was dropped: it takes more than {memory_mb:g} MB; give it more memory, an '
        'archive, or larger voxels'
    )


def single_view(statistics: MapStatistics) -> str:
    """That a finished map was made from one place, in one line; empty if it was not."""
    poses = np.array(statistics.poses)
    if len(poses) < 2 or np.abs(poses - poses[0]).max() >= 1e-6:
        return ''
    return f'all {len(poses)} poses are the same: the map is a single view'


def problems(statistics: MapStatistics, options: MapOptions, poses: str) -> Iterator[str]:
    """What makes a map empty or implausible, one line each, with what to do."""
    left_out = frames_left_out(statistics, poses)
    if left_out and not statistics.used:
        yield left_out
    yield from _unit_of_depth(statistics, options)
    yield from _distance_of_poses(statistics)
    yield from _unit_of_poses(statistics)
    if not statistics.pixels:
        return
    reason, count = statistics.left_out_pixels.most_common(1)[0]
    if sum(statistics.left_out_pixels.values()) >= MOSTLY * statistics.pixels:
        median = np.median(statistics.median_depths) if statistics.median_depths else 0.0
        share = 100 * count / statistics.pixels
        yield (
            f'{share:.0f} % of the pixels left out: {reason} (median depth {median:.3g} m, max_depth '
            f'{options.max_depth:g} m): {REMEDIES[reason]}'
        )


def _unit_of_depth(statistics: MapStatistics, options: MapOptions) -> Iterator[str]:
    if not statistics.median_depths:
        return
    median = float(np.median(statistics.median_depths))
    if median > FAR_TOO_LARGE:
        yield (
            f'median depth {median:.0f} m: these look like millimetres taken for metres: correct depth_scale (in '
            'dataset.json) or the encoding of the depth topic'
        )
    elif median < FAR_TOO_SMALL:
        yield (
            f'median depth {median:.2g} m: these look like metres divided by 1000: correct depth_scale (in '
            'dataset.json) or the encoding of the depth topic'
        )


def _distance_of_poses(statistics: MapStatistics) -> Iterator[str]:
    farthest = max((float(np.linalg.norm(pose[:3, 3])) for pose in statistics.poses), default=0.0)
    if farthest > FARTHEST:
        yield (
            f'poses are up to {farthest / 1000:.0f} km from the origin, where single precision is too coarse; expected '
            f'at most {FARTHEST / 1000:.0f} km: use a local frame such as map or odom, not UTM or earth coordinates'
        )


def _unit_of_poses(statistics: MapStatistics) -> Iterator[str]:
    if len(statistics.poses) < 2:
        return
    positions = np.array([pose[:3, 3] for pose in statistics.poses])
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    if np.median(steps) > LARGEST_STEP:
        yield (
            f'neighbouring poses are {np.median(steps):.0f} m apart: are positions in millimetres, or in the order of '
            'the images?'
        )
