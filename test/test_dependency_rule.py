# SPDX-License-Identifier: Apache-2.0
"""The layers of the package: imports go one way, ROS stays in `ros`, and nothing on the ONNX path needs torch."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

ROOT = Path(__file__).resolve().parent.parent / 'mtperception'
LAYERS = (
    {
        'agreement',
        'atomic_write',
        'bounded_read',
        'card',
        'dataset_json',
        'download',
        'errors',
        'geometry',
        'hardware',
        'imagenet',
        'input_policy',
        'labels',
        'media',
        'metric',
        'model_terms',
        'options',
        'parity',
        'resized_prediction',
        'resources',
        'tasks',
        'types',
        'visualization',
    },
    {'backends', 'image_files', 'messages', 'networks', 'pipeline', 'selftest', 'synthetic', 'upsampling'},
    {'predictor', 'probabilities', 'recording'},
    {'data', 'sources'},
    {
        'benchmark',
        'doctor',
        'evaluation',
        'export',
        'half_constants',
        'mapping',
        'model_archive',
        'published',
        'published_weights',
        'replay',
        'scale',
        'sequences',
        'teachers',
        'training',
    },
    {'ros'},
    {'cli', '__main__'},
)
ROS = re.compile(r'rclpy|launch|launch_ros|ament_index_python|cv_bridge|sensor_msgs_py|tf2_ros|\w+_(msgs|interfaces)')
PACKAGES = {'tf2_ros': 'tf2_ros_py'}
"""Where a module's package has another name."""
UNRELEASED = {'semantic_inference_msgs'}
"""Optional packages without a rosdep key: in package.xml they would keep rosdep from installing anything."""
WITH_TORCH = (
    'networks',
    'pipeline',
    'upsampling',
    'backends.cuda',
    'backends.torch_backend',
    'benchmark.reference',
    'benchmark.systems',
    'data',
    'training',
    'evaluation',
    'teachers',
    'export',
    'published',
    'probabilities',
)


def layer_of(module):
    """Position of `mtperception.<part>...` in LAYERS; None for the package itself."""
    part = module.split('.')[1] if '.' in module else ''
    return next((position for position, layer in enumerate(LAYERS) if part in layer), None)


def imported(source):
    """Every module that some code imports, functions included; `from a import b` counts as a.b."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, 'imports are absolute here'
            yield from (f'{node.module}.{alias.name}' for alias in node.names)


def within(module, part):
    return f'{module}.'.startswith(f'mtperception.{part}.')


def violations(module, source):
    """What in the source of a module breaks a rule."""
    own = layer_of(module)
    for name in imported(source):
        package = name.split('.')[0]
        if package == 'mtperception' and (layer_of(name) or 0) > own:
            yield f'{module} imports {name}, of a higher layer'
        if ROS.fullmatch(package) and not within(module, 'ros'):
            yield f'{module} imports {name}: only mtperception.ros may'
        if package in ('torch', 'torchvision', 'triton') and not any(within(module, part) for part in WITH_TORCH):
            yield f'{module} imports {name}: it is on the ONNX path'


def modules():
    for path in sorted(ROOT.rglob('*.py')):
        parts = path.relative_to(ROOT.parent).with_suffix('').parts
        module = '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)
        if module != 'mtperception':
            yield pytest.param(module, path, id=module)


@pytest.mark.parametrize(('module', 'path'), list(modules()))
def test_imports_obey_the_layers(module, path):
    assert layer_of(module) is not None, f'say in LAYERS where {module} belongs'
    assert list(violations(module, path.read_text(encoding='utf-8'))) == []


@pytest.mark.parametrize(
    ('module', 'source'),
    [
        ('mtperception.labels', 'import mtperception.backends'),
        ('mtperception.labels', 'from mtperception import predictor'),
        ('mtperception.predictor', 'def late():\n    from mtperception.export import export_model'),
        ('mtperception.ros.worker', 'from mtperception.cli import main'),
        ('mtperception.geometry', 'def late():\n    import rclpy'),
        ('mtperception.cli.demo', 'from sensor_msgs.msg import Image'),
        ('mtperception.predictor', 'import torch'),
        ('mtperception.ros.perception_node', 'def late():\n    from torch import cuda'),
    ],
)
def test_a_breach_is_seen(module, source):
    assert len(list(violations(module, source))) == 1


def test_package_xml_names_every_ros_package_that_is_imported():
    files = [*ROOT.rglob('*.py'), *(ROOT.parent / 'launch').glob('*.py')]
    modules = {name.split('.')[0] for file in files for name in imported(file.read_text(encoding='utf-8'))}
    packages = {PACKAGES.get(module, module) for module in modules if ROS.fullmatch(module)}
    declared = {dependency.name for dependency in parse_package(str(ROOT.parent)).exec_depends}
    assert packages - UNRELEASED <= declared


@pytest.mark.parametrize('module', ['networks', 'backends.torch_backend', 'export'])
def test_torchvision_waits_for_a_network_that_is_made_of_its_blocks(module):
    """It takes as long to import as torch itself."""
    pytest.importorskip('torch')
    code = f'import sys, mtperception.{module}; print(*({{"torchvision"}} & set(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr


@pytest.mark.parametrize(
    'module',
    [
        'predictor',
        'backends.onnxruntime_backend',
        'cli.benchmark',
        'cli.benchmark_node',
        'cli.predict',
        'cli.evaluate',
        'cli.export_sequence',
        'cli.replay',
        'sources',
    ],
)
def test_the_onnx_path_runs_without_torch_and_ros(module):
    code = f'import sys, mtperception.{module}; print(*({{"torch", "rclpy", "sensor_msgs"}} & set(sys.modules)))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout.strip()) == (0, ''), done.stderr
