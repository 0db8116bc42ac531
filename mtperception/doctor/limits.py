# SPDX-License-Identifier: Apache-2.0
"""Limits of the operating system at which images between processes are lost."""

import os
from collections.abc import Mapping
from pathlib import Path

from mtperception.doctor.finding import OK, WARNING, Finding

SECTION = 'limits'
MIB = 2**20
SYSCTLS = {
    'net/core/rmem_max': (
        8 * MIB,
        'socket buffer',
        'large images over UDP are lost',
    ),
    'net/ipv4/ipfrag_high_thresh': (
        16 * MIB,
        'buffer for incomplete UDP packets',
        'a few large images fill it, and later images are lost',
    ),
}
"""By path under /proc/sys: the least that carries a few full HD images, what it is, and what happens below."""
SHARED_MEMORY = Path('/dev/shm')
LEAST_SHARED_MEMORY = 128 * MIB
"""Free bytes for the segments (32 MiB in config/fastdds.xml) of a camera, the node and two consumers."""
PROFILE_VARIABLES = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
"""Fast DDS reads the first in ROS 2 Jazzy and before, the second from Kilted on."""
BEFORE_KILTED = ('humble', 'iron', 'jazzy')


def check_limits(proc_sys: Path = Path('/proc/sys'), shared_memory: Path = SHARED_MEMORY) -> list[Finding]:
    """Socket buffers and shared memory; nothing where the system does not tell, as on macOS."""
    found = [_sysctl(proc_sys, name) for name in SYSCTLS] + [_shared_memory(shared_memory)]
    return [finding for finding in found if finding is not None]


def check_fast_dds_profile(environment: Mapping[str, str], suggested: Path) -> Finding:
    """Whether Fast DDS is told to reserve enough shared memory for images (its default is 512 KiB).

    Args:
        environment: of the process.
        suggested: a profile that does.
    """
    exports = ' '.join(f'{variable}={suggested}' for variable in PROFILE_VARIABLES)
    given = profile_in_use(environment)
    name = 'Fast DDS profile'
    if not given:
        return Finding(
            SECTION,
            name,
            WARNING,
            "none: an image over 512 KiB does not fit into Fast DDS's default shared memory, and best effort "
            'subscribers lose a part of the images',
            f'for camera driver and node: export {exports}',
        )
    if not Path(given).is_file():
        return Finding(
            SECTION, name, WARNING, f'{given}: no such file, so Fast DDS uses its defaults', 'correct the path'
        )
    return Finding(SECTION, name, OK, given)


def profile_in_use(environment: Mapping[str, str]) -> str:
    """The profile that an environment gives to Fast DDS; empty without one."""
    heeded = _heeded_variables(environment.get('ROS_DISTRO', ''))
    return next((environment[name] for name in heeded if environment.get(name)), '')


def _heeded_variables(distribution: str) -> tuple[str, ...]:
    """Those that Fast DDS of a distribution of ROS reads; both, where that is not known."""
    if not distribution:
        return PROFILE_VARIABLES
    return PROFILE_VARIABLES[:1] if distribution in BEFORE_KILTED else PROFILE_VARIABLES[1:]


def _sysctl(proc_sys: Path, name: str) -> Finding | None:
    least, meaning, consequence = SYSCTLS[name]
    key = name.replace('/', '.')
    try:
        value = int((proc_sys / name).read_text(encoding='ascii'))
    except (OSError, ValueError):
        return None
    values = {'bytes': value, 'expected': least}
    if value >= least:
        return Finding(SECTION, key, OK, f'{_size(value)} {meaning}', values=values)
    advice = f'sudo sysctl -w {key}={least}'
    found = f'{_size(value)} {meaning} (expected {_size(least)}): {consequence}'
    return Finding(SECTION, key, WARNING, found, advice, values)


def _size(count: int) -> str:
    """Bytes in MiB, or in KiB below one."""
    return f'{count / MIB:.4g} MiB' if count >= MIB else f'{count / 1024:.4g} KiB'


def _shared_memory(folder: Path) -> Finding | None:
    try:
        stat = os.statvfs(folder)
    except (OSError, AttributeError):
        return None
    free = stat.f_bavail * stat.f_frsize
    found = f'{free // MIB} MiB free (expected {LEAST_SHARED_MEMORY // MIB} MiB)'
    values = {'bytes': free, 'expected': LEAST_SHARED_MEMORY}
    if not os.access(folder, os.W_OK):
        return Finding(SECTION, str(folder), WARNING, 'not writable: images go over UDP', f'sudo chmod 1777 {folder}')
    if free >= LEAST_SHARED_MEMORY:
        return Finding(SECTION, str(folder), OK, f'{free // MIB} MiB free', values=values)
    advice = f'sudo mount -o remount,size=1G {folder}; in a container: docker run --shm-size=1g (or --ipc=host)'
    return Finding(SECTION, str(folder), WARNING, f'{found}: when it is full, images go over UDP', advice, values)
