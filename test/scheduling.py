# SPDX-License-Identifier: Apache-2.0
"""Which test runs on which worker of pytest-xdist."""

import re

from xdist.scheduler import LoadScopeScheduling

SLOWEST = (
    'ros/test_systems.py',
    'ros/test_mapping_node.py',
    'ros/test_mapping_poses.py',
    'training/test_trainer.py',
    'training/test_resume.py',
    'training/test_distributed.py',
    'test_published.py',
    'cli/test_predict.py',
    'cli/test_benchmark_command.py',
    'test_export.py',
    'networks/test_multitasknet.py',
    'cli/test_download_models.py',
    'cli/test_replay_many.py',
    'scale/test_workers.py',
    'backends/cuda/test_kernels.py',
    'test_predictor.py',
    'cli/test_evaluate_command.py',
    'test_half_weights.py',
    'test_parity.py',
    'ros/test_node.py',
    'cli/test_replay_command.py',
    'training/test_divergence.py',
)
"""Modules that take a quarter of a minute and more, after those that start nodes."""
RUNS_NODES = re.compile(
    r'test_(bad_input|benchmark_node|camera_player|cameras|demo|graph_monitor|launch|listener|perception_node|recorder'
    r'|replay_live)\w*\.py'
)


class ByModule(LoadScopeScheduling):
    """Sends the tests of a module to one worker, and all that start nodes to the same one.

    Two networks at work at once on a small machine would starve each other, and whoever waits for their answers. What
    takes long begins first, so that at the end no worker is without work: pytest-xdist would go by the number of tests.
    """

    def __init__(self, config, log=None):
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid):
        module = nodeid.partition('::')[0]
        return 'nodes' if RUNS_NODES.search(module) else module


def begins(path):
    """A key by which to sort the tests of modules, given relative to the folder of all tests."""
    if RUNS_NODES.search(path):
        return -1
    return SLOWEST.index(path) if path in SLOWEST else len(SLOWEST)
