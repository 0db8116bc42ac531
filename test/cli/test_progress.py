# SPDX-License-Identifier: Apache-2.0
"""Progress is for people at a terminal."""

import os
import pty
import subprocess
import sys

SLOW = """
import sys, time
from mtperception.cli.progress import progress
with progress('thinking hard', 10) as move:
    move(5)
    time.sleep(0.3)
print('42')
"""


def test_a_terminal_shows_what_is_done_and_how_far():
    ours, theirs = pty.openpty()
    terminal = os.environ | {'TERM': 'xterm'}
    command = [sys.executable, '-c', SLOW]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, env=terminal, check=True)
    shown = os.read(ours, 65536).decode()
    assert 'thinking hard' in shown
    assert '50%' in shown
    assert done.stdout == b'42\n'


def test_elsewhere_there_is_nothing():
    done = subprocess.run([sys.executable, '-c', SLOW], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b'42\n', b'')
