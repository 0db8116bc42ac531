# SPDX-License-Identifier: Apache-2.0
"""`pip install .`, `pip install -e .` and `colcon build` install the same package, and each finds its own files."""

import importlib.metadata
import json
import os
import site
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package
from packaging.requirements import Requirement

import mtperception
from mtperception import __version__

TEMPLATES = Path(mtperception.__file__).with_name('templates')
EXECUTABLES = ('camera_player', 'mapping_node', 'perception_node')
FIND = """
import json, pathlib, mtperception
from mtperception import resources
names = {
    'model': resources.available('model'),
    'labels': ['nyuv2_40', 'nyuv2_40.yaml'],
    'config': ['perception'],
    'rviz': ['perception.rviz'],
    'launch': ['perception.launch.py'],
}
found = [str(resources.find(kind, name)) for kind in names for name in names[kind]]
templates = sorted(path.name for path in pathlib.Path(mtperception.__file__).with_name('templates').glob('*.html'))
facts = {'package': mtperception.__file__, 'models': names['model'], 'found': found, 'templates': templates}
print(json.dumps(facts))
"""


@dataclass(frozen=True)
class Layout:
    """One way of installing: how to run Python there, and where the files must come from."""

    command: list[str]
    package: Path
    files: Path


def make_environment(folder):
    """A virtual environment that also sees everything installed in this one; nothing is downloaded."""
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', folder], check=True, timeout=60)
    library = next(folder.glob('lib/python*/site-packages'))
    lines = [f'import site; site.addsitedir({path!r})' for path in site.getsitepackages()]
    (library / 'outer.pth').write_text('\n'.join(lines), encoding='utf-8')
    return folder


def pip_install(environment, *arguments):
    pip = [sys.executable, '-m', 'pip', '--python', str(environment / 'bin' / 'python'), 'install', '--quiet']
    done = subprocess.run(
        [*pip, '--no-index', '--no-deps', '--no-build-isolation', '--ignore-installed', *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope='module')
def pip_environment(source_tree, tmp_path_factory):
    environment = make_environment(tmp_path_factory.mktemp('pip') / 'environment')
    pip_install(environment, str(source_tree))
    return environment


@pytest.fixture(scope='module')
def symlink_workspace(colcon_build):
    return colcon_build('--symlink-install')


@pytest.fixture
def checkout(source_tree):
    return Layout(['env', f'PYTHONPATH={source_tree}', sys.executable], source_tree, source_tree)


@pytest.fixture
def editable(source_tree, tmp_path):
    environment = make_environment(tmp_path / 'environment')
    pip_install(environment, '-e', str(source_tree))
    return Layout([str(environment / 'bin' / 'python')], source_tree, source_tree)


@pytest.fixture
def wheel(pip_environment):
    return Layout([str(pip_environment / 'bin' / 'python')], pip_environment / 'lib', pip_environment / 'share')


@pytest.fixture
def colcon(workspace):
    return Layout(workspace.command(sys.executable), workspace.prefix / 'lib', workspace.prefix / 'share')


@pytest.fixture
def colcon_symlink(symlink_workspace, source_tree):
    return Layout(symlink_workspace.command(sys.executable), symlink_workspace.path / 'build', source_tree)


@pytest.mark.parametrize('name', ['checkout', 'editable', 'wheel', 'colcon', 'colcon_symlink'])
def test_files_are_found_in_the_install_that_runs(name, request, tmp_path):
    layout = request.getfixturevalue(name)
    done = subprocess.run(
        [*layout.command, '-c', FIND], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert Path(result['package']).is_relative_to(layout.package)
    assert [path for path in result['found'] if not Path(path).is_relative_to(layout.files)] == []
    assert 'picked_up' in result['models']
    assert result['templates'] == sorted(path.name for path in TEMPLATES.iterdir())


def test_pip_puts_the_commands_on_path(pip_environment, tmp_path):
    installed = {path.name for path in (pip_environment / 'bin').iterdir()}
    assert 'mtperception' in installed
    assert not installed & set(EXECUTABLES), 'the nodes are for ros2 run, not for everybody'
    command = [str(pip_environment / 'bin' / 'mtperception'), '--version']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout.strip()) == (0, __version__), done.stderr


@pytest.mark.parametrize('name', ['workspace', 'symlink_workspace'])
def test_colcon_puts_everything_where_ros_looks(name, request):
    prefix = request.getfixturevalue(name).prefix
    for executable in EXECUTABLES:
        assert os.access(prefix / 'lib' / 'mtperception' / executable, os.X_OK)
    share = prefix / 'share'
    assert (share / 'ament_index' / 'resource_index' / 'packages' / 'mtperception').is_file()
    for file in ('package.xml', 'launch/perception.launch.py', 'config/perception.yaml', 'models/picked_up/card.yaml'):
        assert (share / 'mtperception' / file).is_file()


def test_package_xml_is_valid_and_agrees_with_the_version(source_tree):
    package = parse_package(str(source_tree))
    assert package.version == __version__
    assert package.get_build_type() == 'ament_python'


@pytest.mark.parametrize(
    ('system', 'machine', 'expected'),
    [
        ('linux', 'x86_64', 'onnxruntime-gpu'),
        ('linux', 'aarch64', 'onnxruntime'),
        ('darwin', 'arm64', 'onnxruntime'),
        ('win32', 'AMD64', 'onnxruntime'),
    ],
)
def test_each_platform_gets_one_onnx_runtime(system, machine, expected, pip_environment):
    library = next(pip_environment.glob('lib/python*/site-packages'))
    (distribution,) = importlib.metadata.distributions(name='mtperception', path=[str(library)])
    platform = {'sys_platform': system, 'platform_machine': machine, 'extra': ''}
    requirements = [Requirement(line) for line in distribution.requires]
    chosen = [
        requirement.name
        for requirement in requirements
        if requirement.name.startswith('onnxruntime') and requirement.marker.evaluate(platform)
    ]
    assert chosen == [expected]
