# SPDX-License-Identifier: Apache-2.0
"""The interpreter, the packages that it sees, and the cameras of the machine."""

import os
import platform
import sys
from collections.abc import Iterable
from importlib import import_module, metadata
from pathlib import Path

from mtperception.doctor.finding import NOTE, OK, PROBLEM, Finding

MESSAGES = ('sensor_msgs', 'std_msgs', 'diagnostic_msgs', 'lifecycle_msgs', 'rcl_interfaces', 'builtin_interfaces')
"""What the node cannot run without."""
OPTIONAL = {
    'vision_msgs': ('semantic/label_info', 'apt: ros-$ROS_DISTRO-vision-msgs'),
    'semantic_inference_msgs': ('semantic/labelspace for Hydra', 'build it from MIT-SPARK/semantic_inference'),
}
"""By package of messages: what of the node needs it, and where it is from."""
INSTALL_ROS = 'source /opt/ros/<distribution>/setup.bash, or pip install "mtperception[ros]" where there is no ROS'
VIDEO_DEVICES = Path('/sys/class/video4linux')


def check_python() -> list[Finding]:
    """The interpreter and the version of NumPy and OpenCV, which everything uses."""
    versions = f'NumPy {_version("numpy", "numpy")}, OpenCV {_version("opencv-python-headless", "cv2")}'
    return [
        Finding('Python', 'interpreter', OK, f'{platform.python_version()}, {sys.executable}'),
        Finding('Python', 'packages', OK, versions),
    ]


def check_message_packages(needed: Iterable[str] = MESSAGES) -> list[Finding]:
    """Message packages: those that the node needs, and what it can do more with."""
    missing = {name: error for name in needed if (error := _import_error(f'{name}.msg'))}
    found = [
        Finding('ROS', name, PROBLEM, f'cannot be imported: {error}', INSTALL_ROS) for name, error in missing.items()
    ]
    for name, (use, source) in OPTIONAL.items():
        absent = _import_error(f'{name}.msg')
        state, text, advice = (NOTE, f'not installed: no {use}', source) if absent else (OK, f'installed: {use}', '')
        found.append(Finding('ROS', name, state, text, advice))
    return found


def check_cameras(devices: Path = VIDEO_DEVICES, nodes: Path = Path('/dev')) -> list[Finding]:
    """Cameras that the operating system lists, for `webcam:N`; the node itself takes any image topic."""
    entries = sorted(devices.glob('video*')) if devices.is_dir() else []
    if not entries:
        return [Finding('cameras', 'V4L2', NOTE, 'none found: the node can still take images from a topic')]
    return [_camera(entry, nodes / entry.name) for entry in entries]


def _camera(entry: Path, device: Path) -> Finding:
    try:
        name = (entry / 'name').read_text(encoding='utf-8', errors='replace').strip()
    except OSError:
        name = 'a camera'
    if os.access(device, os.R_OK | os.W_OK):
        return Finding('cameras', str(device), OK, name)
    return Finding('cameras', str(device), NOTE, f'{name}: no permission to open it', 'sudo usermod -aG video $USER')


def _import_error(module: str) -> str:
    """Why a module cannot be imported; '' if it can."""
    try:
        import_module(module)
    except Exception as error:  # noqa: BLE001 - a broken installation raises what it likes
        return f'{type(error).__name__}: {error}'
    return ''


def _version(distribution: str, module: str) -> str:
    """Version of a package by pip's metadata, or by the module itself: apt's OpenCV has no metadata."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return str(getattr(import_module(module), '__version__', 'of unknown version'))
