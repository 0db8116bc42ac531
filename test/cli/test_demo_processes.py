# SPDX-License-Identifier: Apache-2.0
import os
import signal
import subprocess
import sys
import time

from bags import color, raw, write_bag
from node_processes import left_behind, until

from mtperception.cli.node_processes import ProcessEndedError, processes


def test_one_that_does_not_react_is_killed(tmp_path):
    with processes(tmp_path, ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2), (signal.SIGKILL, 5.0))) as started:
        process = started.start_node('camera_player', {})
        while 'playing' not in started.last_line('camera_player'):
            started.check()
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGSTOP)
    assert process.returncode == -signal.SIGKILL


def test_a_text_reaches_the_node_whatever_it_is(tmp_path):
    """Here the name of a source that is not there, which the node repeats."""
    for name in ('no such place 😀 é', 'true', "it's: #1"):
        folder = tmp_path / name
        folder.mkdir()
        with processes(folder) as started:
            started.start_node('camera_player', {'source': name})
            assert repr(name) in error_of(started)


PARENT = """
import sys, time
from pathlib import Path
from mtperception.cli.node_processes import processes
with processes(Path(sys.argv[1])) as started:
    for name in ('camera_player', 'perception_node'):
        started.start_node(name, {})
    time.sleep(600)
"""


def test_without_the_one_that_started_them_they_end(tmp_path):
    """As after `kill -9`, or when memory was short: it cannot tell them to."""
    parent = subprocess.Popen([sys.executable, '-c', PARENT, tmp_path])
    until(lambda: len(left_behind(tmp_path)) == 2)
    until(lambda: 'playing' in (tmp_path / 'camera_player.log').read_text())
    parent.kill()
    parent.wait()
    until(lambda: left_behind(tmp_path) == [])
    assert 'Traceback' not in (tmp_path / 'perception_node.log').read_text()


def error_of(started):
    """What `check` raises when a process has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            started.check()
        except ProcessEndedError as error:
            return str(error)
        time.sleep(0.05)
    raise AssertionError('no process ended')


def test_one_that_ends_by_itself_is_reported_with_its_last_words(tmp_path):
    with processes(tmp_path) as started:
        started.start_node('camera_player', {'source': '/no/such/place'})
        error = error_of(started)
    assert error.startswith('camera_player ended with status 1: ')
    assert "no source '/no/such/place'" in error


def test_texts_stay_texts(tmp_path):
    """A path such as 1.5 would be a number to ROS."""
    with processes(tmp_path) as started:
        started.start_node('camera_player', {'source': '1.5'})
        assert "no source '1.5'" in error_of(started)


def test_what_a_node_warned_of_is_read_from_its_log(tmp_path):
    """Neither what else it says, nor what libraries or others write there."""
    broken = raw(color(1), 1)
    broken.step = 5
    bag = write_bag(tmp_path / 'bag', [('image', raw(color(0))), ('image', broken)])
    with processes(tmp_path) as started:
        started.start_node('camera_player', {'source': str(bag), 'wait_for_subscriber': False})
        until(lambda: started.warnings('camera_player'))
        with started.log('camera_player').open('a') as log:
            log.write('Corrupt JPEG data\n[WARN] [1795889911.915817661] [other]: nothing of ours\n')
        (warning,) = started.warnings('camera_player')
    assert warning.startswith('images: 1 refused, the first: found step 5')


def test_the_last_error_of_a_node_is_not_what_a_library_wrote_after_it(tmp_path):
    log = tmp_path / 'perception_node.log'
    with processes(tmp_path) as started:
        log.write_text('warming up\n')
        assert started.last_error('perception_node') == f'warming up (more in {log})'
        log.write_text(
            "[ERROR] [1.5] [perception]: cannot configure: backend 'abacus'\n"
            'rclpy/service.py:78: RuntimeWarning: failed to send response\n  send(response)\n'
        )
        assert started.last_error('perception_node') == f"cannot configure: backend 'abacus' (more in {log})"
