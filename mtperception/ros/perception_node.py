# SPDX-License-Identifier: Apache-2.0
"""The perception node: camera streams in; depth, labels and overlay out. A managed (lifecycle) node."""

from collections.abc import Sequence
from functools import partial

from mtperception.messages.parameters import NODE_NAME, PARAMETERS
from mtperception.ros.node import ManagedNode
from mtperception.ros.perception import OpenModel, PerceptionComponent, open_predictor
from mtperception.ros.process import ros_process, spinning


def perception_node(open_model: OpenModel = open_predictor) -> ManagedNode:
    """Subscribes to `image` and `camera_info`, publishes `messages.outputs.OUTPUTS`; its parameters: PARAMETERS.

    Args:
        open_model: opens the model when the node is configured.
    """
    return ManagedNode(NODE_NAME, PARAMETERS, partial(PerceptionComponent, open_model=open_model))


def main(arguments: Sequence[str] | None = None, open_model: OpenModel = open_predictor) -> None:
    """Run the node until SIGINT or SIGTERM comes.

    Args:
        arguments: those of the process, by default `sys.argv`.
        open_model: as for `perception_node`.
    """
    with ros_process(arguments) as stop, spinning(perception_node(open_model), stop):
        stop.wait()


if __name__ == '__main__':
    main()
