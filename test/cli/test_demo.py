# SPDX-License-Identifier: Apache-2.0
"""`mtperception demo` as a user runs it: a process that starts three more, over DDS."""

import json
import os
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from node_processes import left_behind, until
from videos import read_video

from mtperception import __version__, cli
from mtperception.ros.monitor import STAGES

PROCESSES = ('perception_node', 'camera_player', 'recorder')


def start(*arguments, **options):
    command = [sys.executable, '-m', 'mtperception', 'demo', *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def assert_plays_in_real_time(out):
    """The video shows every answered frame and has one for each that was played in the meantime."""
    summary = json.loads((out / 'summary.json').read_text())
    images, rate = read_video(out / 'overlay_depth.mkv')
    assert rate == summary['rate']
    assert 0 < summary['frames_out'] <= len(images) <= summary['frames_in'] + 1


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A demo of four seconds that has ended: its folder and what it printed."""
    out = tmp_path_factory.mktemp('demo') / 'out'
    process = start('--seconds', 4, '--rate', 5, '--out', out)
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 0, stderr
    return out, stdout, stderr


class TestFinished:
    def test_the_summary_is_consistent(self, finished):
        summary = json.loads((finished[0] / 'summary.json').read_text())
        assert (summary['mtperception'], summary['command']) == (__version__, 'demo')
        assert summary['model'] == 'nyuv2_indoor'
        assert summary['hardware']
        assert summary['frames_in'] == pytest.approx(4 * 5, abs=3)
        assert 0 < summary['frames_out'] <= summary['frames_in']
        assert summary['dropped'] == summary['frames_in'] - summary['frames_out']

    def test_the_latencies_add_up(self, finished):
        latency_ms = json.loads((finished[0] / 'summary.json').read_text())['latency_ms']
        assert list(latency_ms) == list(STAGES)
        for figures in latency_ms.values():
            assert 0 <= figures['p50'] <= figures['p99']
        assert 0 < latency_ms['inference']['p50'] < latency_ms['total']['p50']

    def test_every_answered_frame_is_in_the_video(self, finished):
        assert_plays_in_real_time(finished[0])
        picture = cv2.imread(str(finished[0] / 'picture_1.png'))
        assert picture.shape == (480, 1280, 3)

    def test_the_table_goes_to_standard_output_and_all_else_to_standard_error(self, finished):
        out, stdout, stderr = finished
        summary = json.loads((out / 'summary.json').read_text())
        assert f'{summary["frames_in"]} frames in, {summary["frames_out"]} out, {summary["dropped"]} dropped' in stdout
        assert all(stage in stdout for stage in (*STAGES, 'p50', 'p99'))
        assert 'playing a synthetic room' in stderr
        assert '--source webcam:0' in stderr
        assert 'playing' not in stdout

    def test_no_process_is_left(self, finished):
        assert left_behind(finished[0]) == []


class TestInterrupted:
    def test_while_playing_there_are_results_and_no_processes(self, tmp_path):
        process = start('--seconds', 600, '--rate', 5, '--out', tmp_path)
        until(lambda: (tmp_path / 'picture_1.png').exists())
        assert len(left_behind(tmp_path)) == len(PROCESSES)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert left_behind(tmp_path) == []
        assert_plays_in_real_time(tmp_path)
        assert 'frames in' in stdout

    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_while_starting_there_are_no_processes(self, number, tmp_path):
        process = start('--out', tmp_path)
        until(lambda: (tmp_path / 'logs' / 'camera_player.log').exists())
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 128 + number, stderr
        assert 'interrupted: nothing was measured' in stderr
        assert left_behind(tmp_path) == []

    def test_ctrl_c_in_a_terminal_reaches_only_the_demo(self, tmp_path):
        """A terminal sends SIGINT to its whole process group: the video would end before the last frames."""
        process = start('--seconds', 600, '--out', tmp_path, start_new_session=True)
        until(lambda: (tmp_path / 'picture_1.png').exists())
        os.killpg(process.pid, signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert_plays_in_real_time(tmp_path)
        assert left_behind(tmp_path) == []


class TestErrors:
    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['--source', '/no/such/place'], "no source '/no/such/place'"),
            (['--model', 'nonesuch'], "no model 'nonesuch'"),
        ],
    )
    def test_nothing_is_started_for_what_is_not_there(self, arguments, message, tmp_path, capsys):
        assert cli.main(['demo', *arguments, '--out', str(tmp_path / 'out')]) == 1
        assert f'error: {message}' in capsys.readouterr().err
        assert not (tmp_path / 'out').exists()

    def test_a_source_is_not_overwritten(self, tmp_path, capsys):
        """Its picture_1.png would be taken for one of an earlier demo."""
        cv2.imwrite(str(tmp_path / 'picture_1.png'), np.zeros((48, 64, 3), np.uint8))
        assert cli.main(['demo', '--source', str(tmp_path), '--out', str(tmp_path)]) == 1
        assert 'could be overwritten: choose another place' in capsys.readouterr().err
        assert (tmp_path / 'picture_1.png').exists()

    def test_a_node_that_refuses_is_quoted(self, tmp_path):
        process = start('--backend', 'abacus', '--out', tmp_path)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 1
        assert 'error: the node refuses to start' in stderr
        assert "'abacus'" in stderr
        assert left_behind(tmp_path) == []

    def test_a_process_that_dies_ends_the_demo(self, tmp_path):
        (tmp_path / 'overlay_depth.mkv').mkdir()  # the recorder cannot write there
        process = start('--out', tmp_path)
        _, stderr = process.communicate(timeout=120)
        assert process.returncode == 1
        assert 'error: recorder ended with status 1' in stderr
        assert 'OpenCV cannot write' in stderr
        assert left_behind(tmp_path) == []

    def test_without_ros_the_error_names_the_extra(self, tmp_path):
        arguments = ['demo', '--out', str(tmp_path)]
        code = (
            f'import sys; sys.modules["rclpy"] = None; from mtperception.cli import main; sys.exit(main({arguments}))'
        )
        done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert 'pip install "mtperception[ros]"' in done.stderr
