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
from mtperception.messages.point_cloud import point_cloud
from mtperception.ros.conversions import ros_message


def map_cloud(surface: Surface, id_table: np.ndarray, header: Header, kept: np.ndarray | None = None) -> PointCloud2:
    """The vertices as a cloud of one row, in the fields of `points`, with published ids and the cameras' colours.

    Args:
        surface: of the map.
        id_table: uint8 256, from class indices to ids.
        header: of the map's frame.
        kept: bool N: the vertices to send; None: all.
    """
    kept = np.ones(len(surface.vertices), bool) if kept is None else kept
    confidence = np.rint(surface.confidence[kept] * 255).astype(np.uint8)
    rows = (surface.vertices[kept], surface.colors[kept], id_table[surface.labels[kept]], confidence)
    return ros_message(point_cloud(*(row[None] for row in rows)), header)


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
