# SPDX-License-Identifier: Apache-2.0
"""For tests of mapping: the rendered room as a folder with poses, and how right a map of it is."""

import cv2
import numpy as np
from rooms import write_rooms

from mtperception.media import VideoWriter
from mtperception.synthetic import PERIOD, SyntheticRoom, pose

ROOM = SyntheticRoom(320, 240)
VIEWS = 16
TIMES = np.arange(VIEWS) * PERIOD / VIEWS
EXACT = ('--depth', 'sensor', '--labels', 'recorded', '--max-depth', '6')
"""Options of `map`: the recorded depth and labels."""
LOOKS = (1.0, 11.0, 23.0, 31.0)
"""Times between those, to look at the map from."""


def write_posed_rooms(folder, times=TIMES, room=ROOM, **changes):
    """The room at some times of the walk, with exact depth, labels and poses."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rooms(folder, [room.frame(seconds) for seconds in times], **{'pose': 'pose/{id}.txt', **changes})
    (folder / 'pose').mkdir()
    for index, seconds in enumerate(times):
        np.savetxt(folder / 'pose' / f'{index}.txt', pose(seconds))
    return folder


def write_walk(path, times, room=ROOM, rate=10.0):
    """A video of the room at some times of the walk."""
    with VideoWriter(path, rate) as video:
        for seconds in times:
            video.write(room.frame(seconds).image)
    return path


def tum_line(seconds, stamp):
    """The pose of the walk at a time as a line of a TUM file with another stamp."""
    from scipy.spatial.transform import Rotation

    matrix = pose(seconds)
    values = (*matrix[:3, 3], *Rotation.from_matrix(matrix[:3, :3]).as_quat())
    return ' '.join([stamp, *(f'{value:.9f}' for value in values)])


def seen_from(vertices, labels, seconds, voxel_size, room=ROOM):
    """Of the vertices that a camera sees: error of their depth in metres, label, true label, far from a border."""
    sample, camera = room.frame(seconds), room.intrinsics
    T_camera_world = np.linalg.inv(pose(seconds))
    points = vertices @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    ahead = points[:, 2] > 0.1
    z = np.where(ahead, points[:, 2], 1)
    column = np.rint(points[:, 0] / z * camera.fx + camera.cx).astype(int)
    row = np.rint(points[:, 1] / z * camera.fy + camera.cy).astype(int)
    inside = ahead & (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    row, column, z, labels = row[inside], column[inside], z[inside], labels[inside]
    error = np.abs(sample.depth[row, column] - z)
    visible = error < voxel_size
    # A pixel with other classes within a voxel's size may belong to either.
    window = np.ones((7, 7), np.uint8)
    uniform = cv2.erode(sample.labels, window) == cv2.dilate(sample.labels, window)
    truth = sample.labels[row, column]
    return error[visible], labels[visible], truth[visible], uniform[row, column][visible]


def rightness(vertices, labels, voxel_size, looks=LOOKS, room=ROOM):
    """Share of right labels away from borders between classes, median error in metres, and vertices looked at."""
    parts = [seen_from(vertices, labels, seconds, voxel_size, room) for seconds in looks]
    errors, found, truth, uniform = (np.concatenate([part[index] for part in parts]) for index in range(4))
    return (found == truth)[uniform].mean(), np.median(errors), len(errors)
