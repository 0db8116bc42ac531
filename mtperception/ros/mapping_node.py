# SPDX-License-Identifier: Apache-2.0
"""The mapping node: depth, labels and poses in; a dense semantic map out. A managed (lifecycle) node."""

import sys
from collections.abc import Sequence

from rclpy.logging import get_logger

from mtperception.errors import MissingPackageError, needs
from mtperception.ros.node import ManagedNode
from mtperception.ros.process import ros_process, spinning


def mapping_node() -> ManagedNode:
    """Subscribes to what the perception node publishes and to poses; its parameters: `mapping.parameters`.

    Raises:
        MissingPackageError: without Open3D or SciPy.
    """
    with needs('mapping', 'SciPy', 'mapping'):
        import scipy.spatial.transform  # noqa: F401 - missed here, not when the first pose comes
    from mtperception.mapping.parameters import NODE_NAME, PARAMETERS
    from mtperception.ros.deferred_trigger import DeferredTrigger
    from mtperception.ros.mapping import SERVICES, MappingComponent

    services: dict[str, DeferredTrigger] = {}
    node = ManagedNode(NODE_NAME, PARAMETERS, lambda node, settings: MappingComponent(node, settings, services))
    services |= {name: DeferredTrigger(node, name) for name in SERVICES}
    return node


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM comes; the exit status."""
    with ros_process(arguments) as stop:
        try:
            node = mapping_node()
        except MissingPackageError as error:
            get_logger('mapping').fatal(str(error))
            return 1
        with spinning(node, stop):
            stop.wait()
    return 0


if __name__ == '__main__':
    sys.exit(main())
