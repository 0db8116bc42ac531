# SPDX-License-Identifier: Apache-2.0
"""Tables in a file or pipe keep what they say."""

from rich.table import Table

from mtperception.cli.tables import table_console


def test_a_long_path_is_not_cut_where_there_is_no_terminal(capsys):
    path = '/data/recordings/' + '2024-05-01-' * 10 + 'walk.mcap'
    table = Table('bag', 'images')
    table.add_row(path, '1')
    table_console().print(table)
    assert path in capsys.readouterr().out
