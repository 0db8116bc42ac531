# SPDX-License-Identifier: Apache-2.0
"""For tests under the real launch system."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from graph import Observer

ROS2 = shutil.which('ros2', path=str(Path(sys.executable).parent)) or shutil.which('ros2')
needs_launch = pytest.mark.skipif(
    not (ROS2 and find_spec('launch_ros')), reason='needs `ros2 launch` and launch_ros, which no wheel brings'
)


class LaunchObserver(Observer):
    """Waits until a node is there and where it should be."""

    def wait_for_state(self, name, wanted):
        self.spin_until(lambda: self.state_of(name) == wanted, f'{name} to be {wanted}')

    def wait_for_subscriptions(self, name, *topics):
        self._wait_for_ends(self.node.get_subscriptions_info_by_topic, name, topics)

    def wait_for_publishers(self, name, *topics):
        self._wait_for_ends(self.node.get_publishers_info_by_topic, name, topics)

    def _wait_for_ends(self, list_ends, name, topics):
        namespace, _, base = name.rpartition('/')

        def is_at(topic):
            return any((end.node_name, end.node_namespace) == (base, namespace or '/') for end in list_ends(topic))

        self.spin_until(lambda: all(map(is_at, topics)), f'{name} at {topics}')


def stand_in(monkeypatch, prefix, package, executable, script):
    """Installs a script where launch looks for an executable of a package, before all other packages."""
    program = prefix / 'lib' / package / executable
    for file in (program, prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / package):
        file.parent.mkdir(parents=True)
        file.touch()
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{prefix}:{os.environ.get("AMENT_PREFIX_PATH", "")}'.rstrip(':'))
