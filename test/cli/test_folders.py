# SPDX-License-Identifier: Apache-2.0
"""Where commands write to: what cannot be written is said before the work, and nothing that is there is touched."""

import json

import pytest
from rooms import rooms, write_rooms

from mtperception import cli
from mtperception.cli.folders import make_folder, make_room_for, make_room_for_json, write_json
from mtperception.errors import InputError


def test_folders_are_made_and_nothing_is_left_in_them(tmp_path):
    make_folder(tmp_path / 'a' / 'b', '--out')
    assert list((tmp_path / 'a' / 'b').iterdir()) == []
    make_room_for(tmp_path / 'c' / 'result.json', '--json')
    assert list((tmp_path / 'c').iterdir()) == []


def test_what_is_there_stays(tmp_path):
    (tmp_path / 'result.json').write_text('old')
    make_room_for(tmp_path / 'result.json', '--json')
    make_folder(tmp_path, '--out')
    assert (tmp_path / 'result.json').read_text() == 'old'


def test_what_is_in_the_way_is_said(tmp_path):
    (tmp_path / 'note.txt').write_text('hello')
    with pytest.raises(OSError, match=r'--out .*note\.txt: not a folder .*\(File exists\): choose another'):
        make_folder(tmp_path / 'note.txt', '--out')
    with pytest.raises(OSError, match=r'--json .*: not a file .*\(Is a directory\): choose another'):
        make_room_for(tmp_path, '--json')
    with pytest.raises(OSError, match=r'--json .*r\.json: not a file .*: choose another'):
        make_room_for(tmp_path / 'note.txt' / 'r.json', '--json')


def test_only_earlier_results_are_replaced(tmp_path):
    result, other = tmp_path / 'result.json', tmp_path / 'poses.txt'
    make_room_for_json(result)
    write_json(result, {'mtperception': '1', 'metrics': {'miou': float('nan'), 'iou': [0.5, float('inf')]}}, '--json')
    make_room_for_json(result)
    assert json.loads(result.read_text()) == {'mtperception': '1', 'metrics': {'miou': None, 'iou': [0.5, None]}}
    for content in ('0.0 0 0 0 0 0 0 1', '{"rgb": "rgb/{id}.png"}'):
        other.write_text(content)
        with pytest.raises(InputError, match='not a result of this program, and would be replaced'):
            make_room_for_json(other)
        assert other.read_text() == content


@pytest.mark.parametrize(
    'command',
    [
        ['benchmark', '--model', 'nonesuch'],
        ['benchmark-node', '--backend', 'nonesuch'],
        ['evaluate', '--model', 'nonesuch', '--dataset', 'folder', '--split', 'test', '--root'],
        ['replay', '--model', 'nonesuch'],
    ],
    ids=lambda command: command[0],
)
def test_a_result_that_cannot_be_written_is_said_before_the_work(command, tmp_path, capsys):
    """An hour of measuring must not end in the message that its file is a folder. The work would fail here at once."""
    if command[0] == 'evaluate':
        command = [*command, str(write_rooms(tmp_path / 'rooms', rooms(2)))]
    if command[0] == 'replay':
        pytest.importorskip('rosbags', reason='bags need the extra `bags`')
        from recordings import room_messages, write_recording

        command = [*command, str(write_recording(tmp_path / 'walk', room_messages(2)))]
    assert cli.main([*command, '--json', str(tmp_path)]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith(f'error: --json {tmp_path}: not a file that can be')


def test_what_replay_writes_is_named_by_its_option(tmp_path, capsys):
    pytest.importorskip('rosbags', reason='bags need the extra `bags`')
    pytest.importorskip('jinja2', reason='--report needs the extra `train`')
    from recordings import room_messages, write_recording

    bag = write_recording(tmp_path / 'walk', room_messages(2))
    (tmp_path / 'note.txt').write_text('hello')
    for options, problem in (
        (['--report', str(tmp_path)], f'--report {tmp_path} is or holds the input {bag}'),
        (['--out-bag', str(tmp_path / 'note.txt' / 'x.mcap')], f'--out-bag {tmp_path}/note.txt: not a folder'),
    ):
        assert cli.main(['replay', '--model', 'nonesuch', str(bag), *options]) == 1
        assert capsys.readouterr().err.splitlines()[-1].startswith(f'error: {problem}')


def test_a_plot_of_another_kind_is_said_before_the_work(tmp_path, capsys):
    pytest.importorskip('matplotlib', reason='--plot needs the extra `train`')
    assert cli.main(['benchmark', '--model', 'nonesuch', '--plot', str(tmp_path / 'cost.xyz')]) == 1
    assert 'cost.xyz: expected a name that ends in .png, .svg or .pdf' in capsys.readouterr().err


def test_a_file_is_not_taken_for_a_folder_to_write_to(tmp_path, capsys):
    (tmp_path / 'note.txt').write_text('hello')
    folder = write_rooms(tmp_path / 'rooms', rooms(1))
    (image,) = folder.glob('rgb/*')
    for command in (['predict', str(image)], ['demo']):
        assert cli.main([*command, '--out', str(tmp_path / 'note.txt')]) == 1
        assert f'error: --out {tmp_path}/note.txt: not a folder' in capsys.readouterr().err
