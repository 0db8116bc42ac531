# SPDX-License-Identifier: Apache-2.0
"""One tree, three ways in: `pip install .`, `pip install -e .` and `colcon build`."""

import re
import sys
from itertools import groupby
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = 'mtperception'


def version() -> str:
    """The version in `mtperception/__init__.py`, read without importing it."""
    text = Path(PACKAGE, '__init__.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '(.+)'$", text, re.MULTILINE).group(1)


def data_files() -> list[tuple[str, list[str]]]:
    """Files outside the Python package, by the folder they are installed to; a new model or config needs no entry.

    Globbed relative to the working directory: colcon's symlink install runs this file in its build folder, among links.
    """
    files = [Path('package.xml'), Path('README.md')]
    for folder in ('launch', 'config', 'models'):
        files += (path for path in sorted(Path(folder).rglob('*')) if path.is_file() and path.suffix != '.pyc')
    shared = [
        (Path('share', PACKAGE, parent).as_posix(), [path.as_posix() for path in paths])
        for parent, paths in groupby(files, key=lambda path: path.parent)
    ]
    return [('share/ament_index/resource_index/packages', [f'resource/{PACKAGE}']), *shared]


# On a ROS machine NumPy, OpenCV and PyYAML come from apt (package.xml). apt's OpenCV has no pip metadata, so pip puts a
# second one into a virtual environment, even into one with --system-site-packages. It goes first on the path, is
# complete in itself and does no harm; but a new one brings NumPy 2 along, which apt's cv_bridge cannot load. This
# package does not use cv_bridge; where it has to work in the same environment, install this package with 'numpy<2'.
BASE = [
    'numpy>=1.26',
    'opencv-python-headless>=4.6',  # Ubuntu 24.04's, which rosdep installs
    'PyYAML>=6.0',
    # Never both: they install the same module over each other.
    "onnxruntime-gpu>=1.18; sys_platform == 'linux' and platform_machine == 'x86_64'",
    "onnxruntime>=1.18; sys_platform != 'linux' or platform_machine != 'x86_64'",
    'typer>=0.19.2',
    'rich>=13',
]
TORCH = ['torch>=2.7', 'torchvision>=0.22', 'safetensors>=0.4', 'onnx>=1.16', 'onnxscript>=0.1']


def ros_wheels(distribution: str) -> list[str]:
    """The wheels that stand in for a ROS 2 installation; they are for machines without one."""
    packages = ('rclpy', 'sensor-msgs', 'std-msgs', 'diagnostic-msgs')
    # Of the mapping node:
    packages += ('geometry-msgs', 'nav-msgs', 'visualization-msgs', 'std-srvs')
    return ['ros-rclpy[fastrtps]', 'ros-lifecycle-msgs', *(f'ros-{distribution}-{package}' for package in packages)]


EXTRAS = {
    'torch': TORCH,
    # What training, evaluation and the official files of the data sets need.
    'train': [
        *TORCH,
        'omegaconf>=2.3',
        'tensorboard>=2.14',
        'h5py>=3.8',
        'scipy>=1.11',
        'jinja2>=3.1',
        'matplotlib>=3.8',
    ],
    'teachers': ['ai-edge-litert>=2'],
    'openvino': ['openvino>=2024.4'],
    'mapping': ['open3d-cpu>=0.19', 'scipy>=1.11'],
    'ros': ros_wheels('jazzy'),
    'ros-kilted': ros_wheels('kilted'),
    'bags': ['rosbags>=0.11', 'mcap>=1.2', 'scipy>=1.11'],
    'ray': ['ray[data]>=2.40'],
    'test': ['pytest>=8'],  # for what `colcon test` runs: QUICK in test/conftest.py
    'lint': ['ruff~=0.17.5'],  # each minor release changes rules and format
    'dev': [
        'pytest>=8',
        'pytest-xdist>=3.6',
        'hypothesis>=6.100',
        'torchmetrics>=1.4',
        'mcap-ros2-support>=0.5',
        'colcon-common-extensions>=0.3',
        'setuptools>=77,<80',  # newer ones lack the `develop` options of colcon's --symlink-install
    ],
}

NODES = ('perception_node', 'mapping_node', 'camera_player')


def console_scripts() -> list[str]:
    """The command and, where ROS looks for them, the nodes.

    colcon and the build farm run `install` or `develop`, which put scripts into lib/mtperception (setup.cfg). pip
    builds a wheel, whose scripts go to its common bin.
    """
    nodes = NODES if {'install', 'develop'} & set(sys.argv) else ()
    return ['mtperception = mtperception.cli:main', *(f'{node} = mtperception.ros.{node}:main' for node in nodes)]


setup(
    name=PACKAGE,
    version=version(),
    description='Real-time joint semantic segmentation and metric depth from one camera.',
    long_description=Path('README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    maintainer='mtperception maintainers',
    maintainer_email='maintainers@example.org',
    packages=find_packages(include=[PACKAGE, f'{PACKAGE}.*']),
    package_data={PACKAGE: ['py.typed', 'templates/*.html']},
    data_files=data_files(),
    python_requires='>=3.10',
    install_requires=BASE,
    extras_require=EXTRAS,
    entry_points={'console_scripts': console_scripts()},
    zip_safe=False,
)
