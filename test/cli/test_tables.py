# SPDX-License-Identifier: Apache-2.0
"""Tables in a file or pipe keep what they say."""

import pytest
from rich.table import Table

from mtperception.cli.tables import printed_in_any_case, table_console


def test_square_brackets_are_shown(capsys):
    table = Table('model', title='[red]')
    table.add_row('net[v2]')
    table_console().print(table)
    said = capsys.readouterr().out
    assert '[red]' in said
    assert 'net[v2]' in said


def test_what_cannot_be_shown_is_written_all_the_same(tmp_path):
    def show():
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError), printed_in_any_case(show):
        (tmp_path / 'result').write_text('written')
    assert (tmp_path / 'result').exists()


def test_what_cannot_be_written_is_shown_all_the_same(capsys):
    with pytest.raises(OSError, match='full'), printed_in_any_case(lambda: print('the result')):
        raise OSError('full')
    assert 'the result' in capsys.readouterr().out


def test_a_long_path_is_not_cut_where_there_is_no_terminal(capsys):
    path = '/data/recordings/' + '2024-05-01-' * 10 + 'walk.mcap'
    table = Table('bag', 'images')
    table.add_row(path, '1')
    table_console().print(table)
    assert path in capsys.readouterr().out
