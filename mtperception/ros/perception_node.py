# SPDX-License-Identifier: Apache-2.0
"""The perception node: camera streams in; depth, labels and overlay out. A managed (lifecycle) node."""

from collections.abc import Sequence

from mtperception.messages.parameters import NODE_NAME, PARAMETERS
from mtperception.ros.node import ManagedNode
from mtperception.ros.perception import PerceptionComponent
from mtperception.ros.process import ros_process, spinning


def perception_node() -> ManagedNode:
    """Subscribes to `image` and `camera_info`, publishes `messages.outputs.OUTPUTS`; its parameters: PARAMETERS."""
    return ManagedNode(NODE_NAME, PARAMETERS, PerceptionComponent)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM comes."""
    with ros_process(arguments) as stop, spinning(perception_node(), stop):
        stop.wait()


if __name__ == '__main__':
    main()
