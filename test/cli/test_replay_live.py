# SPDX-License-Identifier: Apache-2.0
"""`mtperception replay --live`: a recording played to the node over DDS."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from altered_models import model_of_tasks
from node_processes import left_behind, until
from recordings import DEPTH, DEPTH_INFO, IMAGE, image, info, room_messages, write_recording

from mtperception.synthetic import SyntheticRoom
from mtperception.types import Intrinsics

COUNT = 8


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp('bags') / 'walk', room_messages(COUNT, 160, 120))


def with_empty_messages(bag):
    """A bag with a message of zero bytes before the others of each topic."""
    (database,) = bag.glob('*.db3')
    with closing(sqlite3.connect(database)) as connection, connection:
        topics = [topic for (topic,) in connection.execute('SELECT id FROM topics')]
        first = connection.execute('SELECT MIN(timestamp) FROM messages').fetchone()[0]
        rows = [(topic, first - 1, b'') for topic in topics]
        connection.executemany('INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)', rows)
    return bag


def start(bag, folder, *arguments):
    """The command; logs and all that it keeps for itself are in the folder."""
    command = [sys.executable, '-m', 'mtperception', 'replay', bag, '--backend', 'onnxruntime', '--device', 'cpu']
    return subprocess.Popen(
        [*map(str, command), '--live', *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {'TMPDIR': str(folder)},
    )


def assert_nothing_left(folder):
    """No process, no logs, no answers."""
    assert left_behind(folder) == []
    assert [*folder.glob('mtperception_replay_*'), *folder.glob('tmp*')] == []


def played(bag, folder, *arguments):
    """What `--json` has about the run, and what was printed."""
    process = start(bag, folder, '--json', folder / 'result.json', *arguments)
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert_nothing_left(folder)
    return json.loads((folder / 'result.json').read_text(encoding='utf-8')), stdout


def assert_consistent(result):
    live = result['live']
    assert live['frames_in'] == result['frames'] == COUNT
    assert live['frames_in'] == live['frames_out'] + live['dropped']
    assert live['frames_out'] > 0
    assert live['difference'] == {
        'frames': live['frames_out'],
        'equal_frames': live['frames_out'],
        'labels': 0.0,
        'depth': 0.0,
    }
    latency = live['latency_ms']
    assert 0 < latency['inference']['p50'] <= latency['inference']['p99']
    assert 0 < latency['end_to_end']['p50'] <= latency['end_to_end']['p99']


def test_empty_messages_do_not_deafen_the_node(tmp_path):
    bag = with_empty_messages(write_recording(tmp_path / 'walk', room_messages(COUNT, 160, 120)))
    result, _ = played(bag, tmp_path)
    assert_consistent(result)


def test_every_answer_is_what_is_predicted_offline(bag, tmp_path):
    result, stdout = played(bag, tmp_path, '--rate', 2)
    assert_consistent(result)
    live = result['live']
    assert (live['rate'], live['backend'], live['device']) == (2, 'onnxruntime', 'cpu')
    assert 0 < live['input_rate'] <= 2.5  # a machine with other work may be slower
    assert f'{COUNT} frames in, {live["frames_out"]} out, {live["dropped"]} dropped' in stdout
    assert 'end_to_end' in stdout


def test_without_a_camera_info_none_is_published(tmp_path):
    """That of the depth camera comes first in the bag, and would scale the node's depth, but not that offline.

    Of two that could be that of the images, neither is taken for it.
    """
    wide = Intrinsics(40.0, 40.0, 79.5, 59.5, 160, 120)
    messages = [(topic, message) for topic, message in room_messages(COUNT, 160, 120) if topic in (IMAGE, DEPTH)]
    first = [(DEPTH_INFO, info(wide)), ('/cam/infra/camera_info', info(wide))]
    result, _ = played(write_recording(tmp_path / 'walk', [*first, *messages]), tmp_path)
    assert (result['topics']['camera_info'], result['topics']['depth_camera_info']) == ('', DEPTH_INFO)
    assert_consistent(result)


def test_a_clock_that_was_set_is_not_waited_for(tmp_path):
    """Stamps since the start of the machine, and then those of today: half a century later."""
    room = SyntheticRoom(160, 120)
    stamps = [10**9 * second for second in range(1, COUNT // 2 + 1)]
    stamps += [1_700_000_000 * 10**9 + stamp_ns for stamp_ns in stamps]
    messages = [(IMAGE, image(room.frame(index / 10).image, stamp)) for index, stamp in enumerate(stamps)]
    process = start(write_recording(tmp_path / 'walk', messages), tmp_path, '--json', tmp_path / 'result.json')
    try:
        _, stderr = process.communicate(timeout=120)
    finally:
        process.terminate()
    assert process.returncode == 0, stderr
    assert f'note: 1 of {COUNT} images are stamped more than 10 s later than the one before: was' in stderr
    assert 'Without --rate, they are played as much later as they were received, 10 s at most' in stderr
    assert_consistent(json.loads((tmp_path / 'result.json').read_text(encoding='utf-8')))


def test_drops_are_counted(tmp_path):
    """The whole recording at once, of images that no CPU answers that fast: the node keeps the newest image only."""
    large = write_recording(tmp_path / 'large', room_messages(COUNT, 480, 360))
    result, _ = played(large, tmp_path, '--rate', 1000)
    assert_consistent(result)
    assert result['live']['dropped'] > 0


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_process(bag, tmp_path, number):
    process = start(bag, tmp_path, '--rate', 0.1)
    until(lambda: left_behind(tmp_path))
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + number, stderr
    assert 'interrupted: nothing was measured' in stderr
    assert_nothing_left(tmp_path)


def test_images_that_cannot_be_told_apart_are_not_played(tmp_path):
    (_, message), *_ = [entry for entry in room_messages(1, 160, 120) if entry[0] == IMAGE]
    pixels = message.data.reshape(120, 160, 3)
    same = [(IMAGE, image(pixels, stamp_ns)) for stamp_ns in (5, 6, 5)]
    process = start(write_recording(tmp_path / 'same', same), tmp_path)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert '1 of 3 images have no stamp or that of another image' in stderr


def test_a_model_whose_answers_are_not_compared_is_refused_before_it_is_played(tmp_path):
    """Of surface normals alone: the recording would be played to the end, and no answer be waited for."""
    bag = write_recording(tmp_path / 'walk', room_messages(2, 96, 72))
    process = start(bag, tmp_path, '--model', model_of_tasks(tmp_path, 'normals'))
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    assert stderr.splitlines()[-1] == (
        'error: --live: model normals has normals: expected one with segmentation or depth, whose answers are '
        'compared; leave --live out'
    )
    assert 'To watch in rviz2' not in stderr
    assert_nothing_left(tmp_path)


def test_without_ros_the_error_names_the_extra(bag):
    arguments = ['replay', str(bag), '--live']
    code = f'import sys; sys.modules["rclpy"] = None; from mtperception.cli import main; sys.exit(main({arguments}))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "mtperception[ros]"' in done.stderr
