# SPDX-License-Identifier: Apache-2.0
"""The mapping node: depth, labels and poses in; a dense semantic map out. A managed (lifecycle) node."""

from collections.abc import Sequence

from mtperception.mapping.parameters import NODE_NAME, PARAMETERS
from mtperception.ros.mapping import MappingComponent
from mtperception.ros.node import ManagedNode
from mtperception.ros.process import ros_process, spinning


def mapping_node() -> ManagedNode:
    """Subscribes to what the perception node publishes and to poses; its parameters: `mapping.parameters`."""
    return ManagedNode(NODE_NAME, PARAMETERS, MappingComponent)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the node until SIGINT or SIGTERM comes."""
    with ros_process(arguments) as stop, spinning(mapping_node(), stop):
        stop.wait()


if __name__ == '__main__':
    main()
