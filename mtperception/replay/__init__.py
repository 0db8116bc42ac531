"""Replay: how good a model is on a recording of one's own robot, read without ROS."""
