# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 side of the package: the only part, with `mtperception.cli`, that imports rclpy or a message package."""
