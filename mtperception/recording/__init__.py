# SPDX-License-Identifier: Apache-2.0
"""Recordings: bags, whole or broken, read without ROS as frames with what is known about each."""
