# SPDX-License-Identifier: Apache-2.0
"""`mtperception benchmark-node` as a user runs it: a process that starts three more, over DDS."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from altered_models import model_of_tasks
from node_processes import left_behind, until

from mtperception import __version__, cli
from mtperception.hardware import describe_hardware
from mtperception.ros.monitor import STAGES

SMALL = ('--backend', 'onnxruntime', '--device', 'cpu', '--size', '160x120', '--network-size', '96x72')
HEADER = {
    *('mtperception', 'command', 'model', 'hardware', 'backend', 'device', 'precision', 'dds_profile'),
    *('width', 'height', 'network_size', 'seconds', 'results'),
}
ROW = {
    *('rate', 'input_rate', 'frames_in', 'frames_out', 'dropped', 'dropped_share', 'replaced', 'end_to_end_ms'),
    'latency_ms',
}


def start(folder, *arguments):
    """The command; logs and all that it keeps for itself are in the folder."""
    return subprocess.Popen(
        [sys.executable, '-m', 'mtperception', 'benchmark-node', *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'TMPDIR': str(folder)},
    )


def logs(folder):
    return list(folder.glob('mtperception_benchmark_node_*'))


def result_of(folder):
    return json.loads((folder / 'result.json').read_text(encoding='utf-8'))


def measured(folder, *arguments):
    """What `--json` has, and what was printed."""
    process = start(folder, *arguments, '--json', folder / 'result.json')
    stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    assert (left_behind(folder), logs(folder)) == ([], [])
    return result_of(folder), stdout


def assert_consistent(row):
    assert set(row) == ROW
    assert row['frames_in'] == row['frames_out'] + row['dropped']
    assert row['dropped_share'] == row['dropped'] / row['frames_in']
    assert row['frames_out'] > 0
    assert 0 <= row['replaced'] <= row['dropped']
    whole, stages = row['end_to_end_ms'], row['latency_ms']
    assert 0 < whole['p50'] <= whole['p99'] <= whole['max']
    assert list(stages) == list(STAGES)
    # The node's account has the images before the first one too: its median may be above that of all that counts.
    assert 0 < stages['inference']['p50'] < stages['total']['p50'] < whole['max']
    assert 0 < stages['overhead']['p50'] < stages['total']['p50']


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """Two rates, and what was printed."""
    folder = tmp_path_factory.mktemp('benchmark_node')
    return measured(folder, *SMALL, '--rate', 4, '--rate', 8, '--seconds', 2.5)


class TestFinished:
    def test_what_was_measured_and_on_what(self, finished):
        content, _ = finished
        assert set(content) == HEADER
        assert (content['mtperception'], content['command']) == (__version__, 'benchmark-node')
        assert (content['model'], content['hardware']) == ('nyuv2_indoor', describe_hardware())
        assert (content['backend'], content['device'], content['precision']) == ('onnxruntime', 'cpu', 'fp32')
        assert (content['width'], content['height'], content['network_size']) == (160, 120, [96, 72])
        assert content['seconds'] == 2.5
        assert Path(content['dds_profile']).name == 'fastdds.xml'  # that of all tests

    def test_a_row_for_each_rate(self, finished):
        rows = finished[0]['results']
        assert [row['rate'] for row in rows] == [4, 8]
        for row in rows:
            assert_consistent(row)

    def test_a_rate_is_played_for_the_time_that_was_asked_for(self, finished):
        """2.5 s, and until the command knows that the player plays, and has stopped it."""
        for row in finished[0]['results']:
            played_s = (row['frames_in'] - 1) / row['input_rate']
            assert 1.5 < played_s < 10  # a busy machine may take its time
            assert row['input_rate'] < 1.3 * row['rate']

    def test_the_tables(self, finished):
        content, stdout = finished
        assert 'nyuv2_indoor by onnxruntime on cpu, fp32: 160x120' in stdout
        for row in content['results']:
            assert f'{row["dropped_share"]:.2%}' in stdout
            assert f'{row["end_to_end_ms"]["p99"]:.1f}' in stdout
            assert f'{row["latency_ms"]["overhead"]["p50"]:.2f}' in stdout
        for name in ('Hz reached', 'dropped', 'overhead', 'inside the node', describe_hardware()):
            assert name in stdout


def test_what_is_too_fast_is_dropped_and_counted(tmp_path):
    """The node keeps the newest image only: of a thousand a second it answers as many as it can."""
    content, _ = measured(tmp_path, '--device', 'cpu', '--size', '480x360', '--rate', 1000, '--seconds', 1)
    (row,) = content['results']
    assert_consistent(row)
    assert row['replaced'] > 0
    assert 0 < row['dropped_share'] < 1
    assert content['network_size'] == [0, 0]


def test_seconds_of_a_camera(tmp_path):
    """640x480 as a node that is started without parameters takes it, at a rate that leaves room for other work."""
    content, _ = measured(tmp_path, '--device', 'cpu', '--rate', 5, '--seconds', 3)
    (row,) = content['results']
    assert_consistent(row)
    assert row['frames_in'] >= 7  # of 15: a busy machine does not catch up on what it is late with
    assert row['frames_out'] > row['frames_in'] / 2


class TestInterrupted:
    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_while_starting_nothing_is_left(self, number, tmp_path):
        process = start(tmp_path, *SMALL)
        until(lambda: left_behind(tmp_path))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 128 + number, stderr
        assert 'interrupted: nothing was measured' in stderr
        assert (left_behind(tmp_path), logs(tmp_path)) == ([], [])

    def test_what_was_measured_before_is_kept(self, tmp_path):
        arguments = ('--rate', 5, '--rate', 6, '--seconds', 1.5, '--json', tmp_path / 'result.json')
        process = start(tmp_path, *SMALL, *arguments)
        until(lambda: (tmp_path / 'result.json').exists() and left_behind(tmp_path))
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert 'interrupted: 5 Hz was measured' in stderr
        assert [row['rate'] for row in result_of(tmp_path)['results']] == [5]
        assert 'end to end' in stdout
        assert (left_behind(tmp_path), logs(tmp_path)) == ([], [])


class TestErrors:
    @pytest.mark.parametrize(
        ('arguments', 'status', 'message'),
        [
            (['--size', '640'], 2, "'640': expected width and height"),
            (['--network-size', 'small'], 2, "'small': expected width and height"),
            (['--rate', '0'], 2, "'--rate'"),
            (['--model', 'nonesuch'], 1, "error: no model 'nonesuch'"),
        ],
    )
    def test_nothing_is_started_for_what_cannot_be(self, arguments, status, message, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
        assert cli.main(['benchmark-node', *arguments]) == status
        assert message in ' '.join(capsys.readouterr().err.replace('│', ' ').split())
        assert not logs(tmp_path)

    def test_a_model_without_the_three_outputs(self, tmp_path, capsys):
        assert cli.main(['benchmark-node', '--model', str(model_of_tasks(tmp_path, 'depth', 'depth_confidence'))]) == 1
        assert 'has depth, depth_confidence: expected one with segmentation and depth' in capsys.readouterr().err

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['--backend', 'abacus'], 'error: the node refuses to start'),
            (['--network-size', '4112x3072'], 'error: the node refuses to start: cannot configure: image of 4112x3072'),
            (['--size', '8x8'], 'error: camera_player ended with status 1'),
        ],
    )
    def test_a_process_that_cannot_go_on_is_quoted(self, arguments, message, tmp_path):
        process = start(tmp_path, '--device', 'cpu', *arguments)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 1
        assert message in stderr
        assert stdout == ''
        assert left_behind(tmp_path) == []
        assert logs(tmp_path)  # the message may name them

    def test_without_ros_the_error_names_the_extra(self, tmp_path):
        run = 'from mtperception.cli import main; sys.exit(main(["benchmark-node"]))'
        code = f'import sys; sys.modules["rclpy"] = None; {run}'
        environment = os.environ | {'TMPDIR': str(tmp_path)}
        done = subprocess.run(
            [sys.executable, '-c', code], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 1
        assert 'pip install "mtperception[ros]"' in done.stderr
        assert not logs(tmp_path)  # nothing was said
