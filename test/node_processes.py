# SPDX-License-Identifier: Apache-2.0
"""For tests of commands that start nodes: which of their processes still run."""

import time
from pathlib import Path


def left_behind(out):
    """Command lines of running processes whose log is in a folder."""
    found = []
    for entry in Path('/proc').iterdir():
        try:
            command = (entry / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
            log = str((entry / 'fd' / '1').readlink()) if 'mtperception.ros' in command else ''
        except (OSError, UnicodeDecodeError):  # not a process, or one that has just ended
            continue
        if log.startswith(str(out)):
            found.append(command)
    return found


def until(condition, patience_s=90):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, 'waited in vain'
        time.sleep(0.1)
