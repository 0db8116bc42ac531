# SPDX-License-Identifier: Apache-2.0
"""Real-time joint semantic segmentation and depth estimation for ROS 2.

The core (labels, cards, backends, the `Predictor`) is plain Python and knows nothing of ROS; `mtperception.ros` wraps
it in a lifecycle node, `mtperception.cli` in a command line.
"""

__version__ = '0.1.0'
