# SPDX-License-Identifier: Apache-2.0
"""What all tests share: a ROS domain of their own, and the package built by colcon."""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest

from mtperception.ros.domain import free_domain_id, port_of

# Before anything loads OpenMP. Its threads spin while they wait for each other: with a thread for each core in each
# worker of pytest-xdist, most of the processors' time is spent waiting. And sums do not depend on the number of cores.
os.environ['OMP_NUM_THREADS'] = '1'

ROOT = Path(__file__).resolve().parent.parent
PACKAGED = (
    'LICENSE',
    'README.md',
    'config',
    'launch',
    'models',
    'mtperception',
    'package.xml',
    'pyproject.toml',
    'resource',
    'setup.cfg',
    'setup.py',
)
FAST_DDS = 'FASTRTPS' if any(rclpy.version.startswith('7.') for rclpy in distributions(name='rclpy')) else 'FASTDDS'
"""The prefix of its environment variables: Jazzy's, or that of Kilted, which warns about Jazzy's."""


QUICK = (
    'messages',
    'ros/test_config_files.py',
    'ros/test_conversions_images_in.py',
    'ros/test_launch_testing.py',
    'ros/test_node.py',
    'test_card.py',
    'test_licences.py',
)
"""What `colcon test` runs: quick, and without PyTorch. `make test`, which installs what they need, runs all."""


def pytest_ignore_collect(collection_path):
    """Under colcon, all but `QUICK`."""
    tests = ROOT / 'test'
    if 'COLCON' not in os.environ or tests not in collection_path.parents:
        return None
    path = f'{collection_path.relative_to(tests).as_posix()}/'
    return not any(path.startswith(f'{quick}/') or quick.startswith(path) for quick in QUICK) or None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """The hook by which pytest-xdist, where it is installed, asks for a scheduler."""
    from scheduling import ByModule

    return ByModule(config, log)


def pytest_collection_modifyitems(config, items):
    """With more than one worker, in the order that `ByModule` wants."""
    if hasattr(config, 'workerinput'):
        from scheduling import begins

        items.sort(key=lambda item: begins(item.path.relative_to(ROOT / 'test').as_posix()))


@pytest.fixture
def heeded_signals():
    """SIGHUP and SIGINT do what they do in a terminal, also when nohup or a shell in the background has them ignored.

    Commands that a test starts would inherit that, and rightly obey.
    """
    handlers = {signal.SIGHUP: signal.SIG_DFL, signal.SIGINT: signal.default_int_handler}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@contextmanager
def reserved_domain():
    """A ROS domain that nobody uses, and that no other worker or run takes as long as this context lasts."""
    while True:
        domain = free_domain_id()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reservation:
            try:
                reservation.bind(('', port_of(domain)))
            except OSError:  # somebody was faster
                continue
            yield domain
            return


@pytest.fixture(scope='session', autouse=True)
def ros_domain(tmp_path_factory):
    """Keeps the nodes of this worker apart from those of other workers, other runs and other machines."""
    with reserved_domain() as domain, pytest.MonkeyPatch.context() as environment:
        environment.setenv('ROS_DOMAIN_ID', str(domain))
        environment.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
        environment.setenv(f'{FAST_DDS}_DEFAULT_PROFILES_FILE', str(ROOT / 'config' / 'fastdds.xml'))
        environment.setenv('ROS_LOG_DIR', str(tmp_path_factory.mktemp('ros_log')))
        yield domain


@pytest.fixture(scope='session')
def source_tree(tmp_path_factory):
    """A copy of the package's files, so that builds leave nothing in the working tree and never meet each other.

    It has one more model, `picked_up`: nothing lists models, so a new folder must be enough.
    """
    tree = tmp_path_factory.mktemp('source') / 'mtperception'
    tree.mkdir()
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(ROOT / name, tree / name)
    model = tree / 'models' / 'picked_up'
    model.mkdir(parents=True)
    (model / 'card.yaml').write_text('name: picked_up\n', encoding='utf-8')
    return tree


@dataclass(frozen=True)
class Workspace:
    """A colcon workspace with the package in it."""

    path: Path

    @property
    def prefix(self):
        """Where the package is installed."""
        return self.path / 'install' / 'mtperception'

    def command(self, *arguments):
        """A command line that runs `arguments` as a shell does that has sourced the workspace."""
        return ['bash', '-c', f'source {self.path}/install/setup.bash && exec "$@"', 'bash', *map(str, arguments)]


@pytest.fixture(scope='session')
def colcon_build(source_tree, tmp_path_factory):
    """Builds the package with colcon, with the given options, in a workspace of its own."""

    def build(*options):
        path = tmp_path_factory.mktemp('workspace')
        command = [sys.executable, '-m', 'colcon', 'build', '--paths', str(source_tree), *options]
        done = subprocess.run(command, cwd=path, capture_output=True, text=True, check=False, timeout=300)
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "doesn't explicitly install" not in said, said  # colcon's word for a missing marker or package.xml
        return Workspace(path)

    return build


@pytest.fixture(scope='session')
def workspace(colcon_build):
    """A plain `colcon build`."""
    return colcon_build()


@pytest.fixture(scope='session')
def every_task_network():
    """All tasks that there are, of random weights."""
    import torch

    from mtperception.networks import create_network
    from mtperception.tasks import TASKS

    torch.manual_seed(3)
    network = create_network('joint_lw_refinenet', 6, tuple(TASKS)).eval()
    torch.nn.init.normal_(network.heads['depth'].predict.bias, 4.0, 0.1)
    return network


@pytest.fixture(scope='session')
def every_task_model(every_task_network, tmp_path_factory):
    """Its model directory, exported once for all workers: that takes a quarter of a minute and more."""
    from mtperception.card import ModelCard, TrainingCamera
    from mtperception.export import export_model

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base
    out = shared / 'every_task'
    with (shared / 'every_task.lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            tasks = every_task_network.tasks
            camera = TrainingCamera(300.0, 200, 100)
            card = ModelCard('every_task', 'joint_lw_refinenet', 6, tasks, 'kitti_6', (0, 6), (0.5, 80.0), camera)
            export_model(every_task_network, card, out)
    return out
