# SPDX-License-Identifier: Apache-2.0
"""Replay: how good a model is on a recording of one's own robot, read without ROS."""
