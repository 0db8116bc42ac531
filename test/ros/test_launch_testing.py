# SPDX-License-Identifier: Apache-2.0
"""Runs `launch_perception.py` with `launch_test` itself: its plug-in for pytest fits only pytest 7."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.skipif(not find_spec('launch_testing'), reason='needs launch_testing, which no wheel brings')
def test_the_launch_file_under_launch_testing(workspace, tmp_path):
    command = workspace.command(sys.executable, '-m', 'launch_testing.launch_test', TESTS / 'launch_perception.py')
    path = os.pathsep.join(filter(None, (str(TESTS), os.environ.get('PYTHONPATH'))))
    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {'PYTHONPATH': path}, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'Ran 1 test' in done.stderr, done.stderr
