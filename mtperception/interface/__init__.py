"""What the node speaks, without ROS: its parameters, its outputs, and what the fields of its messages hold.

The node turns it into messages of rclpy; a recording made without ROS is written from the same.
"""
