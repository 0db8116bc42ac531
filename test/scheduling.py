# SPDX-License-Identifier: Apache-2.0
"""Which test runs on which worker of pytest-xdist."""

import re

from xdist.scheduler import LoadScopeScheduling

RUNS_NODES = re.compile(
    r'test_(bad_input|benchmark_node|camera_player|cameras|demo|graph_monitor|launch|listener|perception_node|recorder'
    r'|replay_live)\w*\.py'
)


class ByModule(LoadScopeScheduling):
    """Sends the tests of a module to one worker, and all that start nodes to the same one.

    Two networks at work at once on a small machine would starve each other, and whoever waits for their answers.
    """

    def _split_scope(self, nodeid):
        module = nodeid.partition('::')[0]
        return 'nodes' if RUNS_NODES.search(module) else module
