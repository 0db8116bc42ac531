"""Filling the fields of messages."""

import array
from typing import Protocol

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header


class HasData(Protocol):
    """A message with bytes: Image, CompressedImage, PointCloud2."""

    data: array.array


def fill_data(msg: HasData, values: np.ndarray) -> None:
    """Append the bytes of an array to the data of a fresh message, in row-major order.

    One copy (two if `values` is not contiguous). The bytes go into the array.array that the message made for itself,
    since assigning to `data` costs another copy, or with ROS_PYTHON_CHECK_FIELDS=1 and anything but an array.array a
    check of every single byte.
    """
    msg.data.frombytes(memoryview(np.ascontiguousarray(values)).cast('B'))


def copied(header: Header) -> Header:
    """A header of its own, with the same stamp, to the nanosecond, and frame."""
    return Header(stamp=Time(sec=header.stamp.sec, nanosec=header.stamp.nanosec), frame_id=header.frame_id)
