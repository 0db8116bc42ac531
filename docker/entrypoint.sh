#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Launch the node with the arguments of `docker run`.
set -e
source /ws/install/setup.bash
exec ros2 launch mtperception perception.launch.py "$@"
