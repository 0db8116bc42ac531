# SPDX-License-Identifier: Apache-2.0
"""A map as messages."""

import numpy as np
from geometry_msgs.msg import Point
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker

from mtperception.labels import LabelSpace
from mtperception.mapping.export import class_colors
from mtperception.mapping.surface import Surface
from mtperception.messages.point_cloud import POINT, cloud_message
from mtperception.ros.conversions import ros_message

UPDATE = np.dtype([*POINT.descr, ('block_x', '<i4'), ('block_y', '<i4'), ('block_z', '<i4')])
"""One point of an update: 36 bytes. A block that is removed has one row, with NaN for x, y and z."""
NO_BLOCK = np.full((1, 3), np.iinfo(np.int32).min, np.int32)
"""The block of the first row of an update, whose `label` is the number of the message."""


def map_points(surface: Surface, id_table: np.ndarray) -> np.ndarray:
    """`POINT` N: the vertices in the fields of the topic `points`, in the cameras' colours.

    Args:
        surface: of the map.
        id_table: uint8 256, from class indices to published ids.
    """
    points = np.empty(len(surface.vertices), POINT)
    points['x'], points['y'], points['z'] = surface.vertices.T
    red, green, blue = surface.colors.T.astype(np.uint32)
    points['rgb'] = red << 16 | green << 8 | blue
    points['label'] = id_table[surface.labels]
    points['confidence'] = surface.confidence
    return points


def map_cloud(points: np.ndarray, header: Header) -> PointCloud2:
    """A cloud of one row of points of any dtype of fields, with the header of the map's frame."""
    return ros_message(cloud_message(points[None]), header)


def map_update(number: int, points: np.ndarray, blocks: np.ndarray, removed: np.ndarray, header: Header) -> PointCloud2:
    """What a follower of the map must know: number, blocks that go, then all points of those that changed.

    Args:
        number: of the message; 0: the map begins anew, and this is all of it.
        points: `POINT` N.
        blocks: int32 N,3: the block of each.
        removed: int32 M,3: blocks that have no points any more.
        header: of the map's frame.
    """
    first = 1 + len(removed)
    rows = np.zeros(first + len(points), UPDATE)
    for name in ('x', 'y', 'z'):
        rows[name][:first] = np.nan
    rows['label'][0] = number
    for name in POINT.names:
        rows[name][first:] = points[name]
    rows['block_x'], rows['block_y'], rows['block_z'] = np.concatenate([NO_BLOCK, removed, blocks]).T
    return map_cloud(rows, header)


def map_marker(surface: Surface, space: LabelSpace, header: Header) -> Marker:
    """The triangles in the colours of the classes of their corners."""
    marker = Marker(header=header, ns='map', type=Marker.TRIANGLE_LIST, action=Marker.ADD)
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.pose.orientation.w = marker.color.a = 1.0
    points = [Point(x=x, y=y, z=z) for x, y, z in surface.vertices.astype(float).tolist()]
    palette = (class_colors(np.arange(256), space) / 255).tolist()
    colors = [ColorRGBA(r=r, g=g, b=b, a=1.0) for r, g, b in palette]
    corners = surface.triangles.ravel().tolist()
    marker.points = [points[corner] for corner in corners]
    marker.colors = [colors[label] for label in surface.labels[surface.triangles.ravel()].tolist()]
    return marker
