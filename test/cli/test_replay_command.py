# SPDX-License-Identifier: Apache-2.0
"""`mtperception replay`: a table for people, JSON for programs, one clear line for what cannot be."""

import json
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from recordings import DEPTH, IMAGE, LABELS, ODOM, room_messages, write_recording

from mtperception import __version__, cli

BACKEND = ('--backend', 'onnxruntime', '--device', 'cpu')


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp('bags') / 'walk', room_messages(3))


def run(bag, *arguments):
    return cli.main(['replay', str(bag), *BACKEND, *map(str, arguments)])


def strict(constant):
    raise AssertionError(f'{constant} is not JSON')


def load(path):
    return json.loads(path.read_text(encoding='utf-8'), parse_constant=strict)


def test_figures_go_to_the_terminal_and_to_a_file(bag, tmp_path, capsys):
    result = tmp_path / 'made' / 'result.json'
    assert run(bag, '--label-topic', LABELS, '--json', result) == 0
    content = load(result)
    assert (content['mtperception'], content['command'], content['model']) == (__version__, 'replay', 'nyuv2_indoor')
    assert content['frames'] == len(content['series']) == 3
    assert content['topics']['depth'] == DEPTH
    assert content['metrics']['rmse'] == content['depth']['raw']['rmse'] > content['depth']['median']['rmse']
    assert content['metrics']['label_flicker_compensated'] <= 1
    assert 0 <= content['metrics']['miou'] <= 1
    assert content['series'][0].get('label_flicker') is None
    assert content['series'][2]['rmse_scale_shift'] > 0
    assert content['protocol']['camera_motion'] == 'odometry of camera'
    assert sum(band['pixels'] for band in content['depth_by_distance'].values()) == content['depth']['pixels']
    assert set(content['depth_by_class']) & {'wall', 'floor'}
    assert content['speed']['frames_per_second'] < content['speed']['decoding_frames_per_second']
    printed = capsys.readouterr()
    for text in ('rmse_per_image', f'{content["metrics"]["rmse"]:.4f}', 'scale_shift', '2-3 m', 'frames per second'):
        assert text in printed.out
    assert f'image: {IMAGE}\n' in printed.err
    assert f'pose: {ODOM}\n' in printed.err


def test_a_report_on_demand(bag, tmp_path, capsys):
    pytest.importorskip('matplotlib')
    pytest.importorskip('jinja2')
    assert run(bag, '--report', tmp_path / 'report') == 0
    assert (tmp_path / 'report' / 'index.html').is_file()
    assert capsys.readouterr().err.endswith(f'{tmp_path}/report/index.html: written\n')


def test_a_cut_off_bag_is_scored_as_far_as_it_goes(tmp_path, capsys):
    bag = write_recording(tmp_path / 'walk', room_messages(6))
    (file,) = bag.glob('*.db3')
    file.write_bytes(file.read_bytes()[: int(0.7 * file.stat().st_size)])
    assert run(bag, '--json', tmp_path / 'result.json') == 0
    content = load(tmp_path / 'result.json')
    assert 1 <= content['frames'] < 6
    assert f'note: {IMAGE}: {content["frames"]} of 6 messages could be read' in capsys.readouterr().err


def test_it_works_without_torch_and_ros(bag):
    arguments = ['replay', str(bag), *BACKEND]
    code = (
        'import sys, importlib.abc\n'
        'class Missing(importlib.abc.MetaPathFinder):\n'
        '    def find_spec(self, name, path, target=None):\n'
        '        if name in ("torch", "rclpy", "sensor_msgs"): raise ModuleNotFoundError(name)\n'
        'sys.meta_path.insert(0, Missing())\n'
        f'from mtperception import cli; sys.exit(cli.main({arguments}))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 'rmse' in done.stdout


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--depth-topic', '/nope'], "no topic '/nope'"),
        (['--image-topic', ODOM], f"no topic '{ODOM}' of type sensor_msgs/msg/Image"),
        (['--model', 'nonesuch'], "no model 'nonesuch'"),
        (['--label-topic', LABELS, '--label-space', 'nonesuch'], "no label space 'nonesuch'"),
        (['--label-topic', LABELS, '--label-space', 'cityscapes_19'], 'labels of cityscapes_19 with a model of'),
    ],
)
def test_what_cannot_be_is_one_clear_line(bag, arguments, message, capsys):
    assert run(bag, *arguments) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith('error: ')
    assert message in last


def test_a_bag_that_is_not_there(tmp_path, capsys):
    assert run(tmp_path / 'nothing') == 1
    assert capsys.readouterr().err == f'error: {tmp_path}/nothing: no such file or folder: expected a ROS 2 bag\n'


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--tolerance', '-1'], 'tolerance'),
        (['--label-offset', '255'], 'label-offset'),
        (['--label-offset', '3'], '--label-offset: expected together with --label-topic'),
        (['--label-space', 'nyuv2_13'], '--label-space: expected together with --label-topic'),
        (['--rate', '3'], '--rate: expected together with --live'),
    ],
)
def test_wrong_usage_exits_with_2(bag, arguments, message, capsys):
    assert run(bag, *arguments) == 2
    assert message in ' '.join(capsys.readouterr().err.split())


def but_for_time(path):
    content = load(path)
    return {key: value for key, value in content.items() if key not in ('seconds', 'speed')}


@pytest.mark.parametrize('order', [(1, 2, 3), (3, 2, 1)])
def test_shards_give_what_one_run_gives(bag, tmp_path, order, capsys):
    options = ('--label-topic', LABELS, '--json')
    assert run(bag, *options, tmp_path / 'whole.json') == 0
    printed = capsys.readouterr().out.split('frames per second')[0].rsplit('\n', 1)[0]
    for number in order:
        assert not (tmp_path / 'merged.json').exists()
        shared = ('--shard', f'{number}/3', '--parts', tmp_path / 'parts')
        assert run(bag, *options, tmp_path / 'merged.json', *shared) == 0
    assert but_for_time(tmp_path / 'merged.json') == but_for_time(tmp_path / 'whole.json')
    said = capsys.readouterr()
    assert said.out.startswith(printed)
    assert '2 of 3 parts are not finished yet: run the other shards' in said.err
    assert run(bag, *options, tmp_path / 'again.json', '--parts', tmp_path / 'parts') == 0
    assert (tmp_path / 'again.json').read_bytes() == (tmp_path / 'merged.json').read_bytes()


def test_a_shard_that_was_killed_is_started_again(tmp_path):
    bag = write_recording(tmp_path / 'walk', room_messages(12))
    assert run(bag, '--json', tmp_path / 'whole.json') == 0
    parts, options = tmp_path / 'parts', ('--json', tmp_path / 'merged.json')
    shared = [[*options, '--shard', f'{number}/2', '--parts', parts] for number in (1, 2)]
    command = [sys.executable, '-m', 'mtperception', 'replay', str(bag), *BACKEND, *map(str, shared[0])]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while not parts.is_dir() and process.poll() is None:
            time.sleep(0.001)
        time.sleep(0.3)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert list(parts.glob('part-*')) == []
    for more in shared:
        assert run(bag, *more) == 0
    assert but_for_time(tmp_path / 'merged.json') == but_for_time(tmp_path / 'whole.json')


def test_processes_divide_a_bag_that_one_of_them_began(bag, tmp_path, capsys):
    """Without a shard a run does all parts that are not there, in as many as there are."""
    assert run(bag, '--shard', '2/3', '--parts', tmp_path / 'parts') == 0
    stamp = (tmp_path / 'parts' / 'part-000001.json').stat().st_mtime_ns
    assert run(bag, '--parts', tmp_path / 'parts', '--json', tmp_path / 'merged.json') == 0
    assert run(bag, '--json', tmp_path / 'whole.json') == 0
    assert but_for_time(tmp_path / 'merged.json') == but_for_time(tmp_path / 'whole.json')
    assert (tmp_path / 'parts' / 'part-000001.json').stat().st_mtime_ns == stamp
    assert run(bag, '--tolerance', '0.5', '--parts', tmp_path / 'parts') == 1
    assert 'tolerance 0.02 instead of 0.5: choose another folder' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--shard', '1/2'], 'expected together with --parts'),
        (['--parts', 'parts', '--live'], 'not together with --live or --out-bag'),
        (['--parts', 'parts', '--out-bag', 'out.mcap'], 'not together with --live or --out-bag'),
    ],
)
def test_what_cannot_be_divided_is_said(bag, tmp_path, monkeypatch, arguments, message, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(bag, *arguments) == 2
    assert message in ' '.join(capsys.readouterr().err.replace('│', '').split())
    assert list(tmp_path.iterdir()) == []
