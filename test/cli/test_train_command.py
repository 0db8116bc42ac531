# SPDX-License-Identifier: Apache-2.0
"""`mtperception train`: arguments, messages and exit statuses."""

import pytest
from rooms import rooms, write_rooms
from tiny_runs import history, tiny_config, write_config

from mtperception import cli, resources


@pytest.fixture
def config(tmp_path):
    """One epoch of one batch."""
    data = write_rooms(tmp_path / 'data', rooms(2))
    return write_config(tmp_path / 'mine.yaml', tiny_config(data, epochs=1))


def train(*arguments):
    return cli.main(['train', *map(str, arguments)])


def test_a_run_says_where_its_result_is(config, tmp_path, capsys, caplog, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(config) == 0
    said = capsys.readouterr()
    assert said.out == 'runs/mine/last.safetensors: 1 steps\n'
    assert said.err == ''  # no progress bar where there is no terminal
    assert train(config) == 0
    again = capsys.readouterr()
    assert again.out == said.out
    assert 'resuming after 1 of 1 steps' in caplog.text
    assert len(history(tmp_path / 'runs' / 'mine')) == 1


def test_a_run_of_a_configuration_in_a_folder_has_that_folder_too(config, tmp_path, capsys, monkeypatch):
    """`papers/mt_unet` and `systems/mt_unet` do not meet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path))
    folder = resources.user_folder('train') / 'papers'
    folder.mkdir(parents=True)
    config.rename(folder / 'mine.yaml')
    assert train('papers/mine') == 0
    assert capsys.readouterr().out == 'runs/papers/mine/last.safetensors: 1 steps\n'


def test_a_configuration_that_somebody_wrote_is_not_replaced(config, tmp_path, capsys):
    mine = config.rename(tmp_path / 'config.yaml')
    written = mine.read_text()
    mine.write_text(f'# precious\n{written}')
    assert train(mine, '--out', tmp_path) == 1
    assert 'would replace it: choose another --out' in capsys.readouterr().err
    assert mine.read_text() == f'# precious\n{written}'
    assert train(mine, '--out', tmp_path / 'out') == 0
    assert train(tmp_path / 'out' / 'config.yaml', '--out', tmp_path / 'out') == 0, 'which resumes it'


def test_changes_and_a_folder(config, tmp_path, capsys):
    changes = ['tasks=[depth]', f'validation=[{{dataset: folder, root: {tmp_path / "data"}, split: test}}]']
    assert train(config, *changes, 'select_by=rmse', '--out', tmp_path / 'out') == 0
    said = capsys.readouterr().out
    assert said.startswith(f'{tmp_path / "out" / "best.safetensors"}: 1 steps, rmse ')
    assert train(config, '--out', tmp_path / 'out') == 1
    assert 'differs from this configuration in: tasks' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nonesuch'], 'nonesuch'),
        (['mine.yaml', 'epochs=some'], "epochs: found 'some', expected a whole number"),
        (['mine.yaml', 'data.0.root=nowhere'], 'nowhere: '),
        (['mine.yaml', 'device=cuda:7'], 'cuda:7'),
        (['mine.yaml', 'encoder=missing.safetensors'], 'missing.safetensors: expected a readable .safetensors file'),
    ],
)
def test_what_cannot_be_is_one_clear_line(arguments, message, config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(*arguments) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith('error: ')
    assert message in said[0]
    assert not (tmp_path / 'runs').exists()
