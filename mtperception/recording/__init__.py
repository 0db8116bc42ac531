"""Recordings: bags, whole or broken, read without ROS as frames with what is known about each."""
