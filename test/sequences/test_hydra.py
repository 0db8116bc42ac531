# SPDX-License-Identifier: Apache-2.0
"""The table of classes, as Kimera-Semantics and Hydra read it."""

import numpy as np
import pytest
from spaces import SMALL, small_space

from mtperception.labels import load_label_space
from mtperception.sequences.hydra import write_hydra
from mtperception.visualization import colorize_labels

GOLDEN = (
    b'name,red,green,blue,alpha,id\n'
    b'unknown,255,255,255,255,0\n'
    b'wall,1,2,3,255,1\n'
    b'floor mat,4,5,6,255,2\n'
    b'sky,70,130,180,255,3\n'
)


def number(text):
    """C's atoi, of what such a file holds: 0 for what is no number."""
    return int(text) if text.isdecimal() else 0


def read_kimera(path):
    """Ids by colour.

    As github.com/MIT-SPARK/Kimera-Semantics (1ed69c6), kimera_semantics/src/color.cpp and csv_iterator.cpp: the header
    is a row like all others, each must have six cells, and white is unknown in the end, with id 0.
    """
    ids = {}
    for line in path.read_text(encoding='utf-8').removesuffix('\n').split('\n'):
        cells = line.split(',')
        assert len(cells) == 6
        *color, id_ = map(number, cells[1:])
        assert max(*color, id_) < 256, 'a byte each'
        ids[tuple(color)] = id_
    ids[255, 255, 255, 255] = 0
    return ids


def read_hydra(path):
    """Ids by colour.

    As github.com/MIT-SPARK/Hydra (2e58a35), src/utils/csv_reader.cpp and src/common/semantic_color_map.cpp, fromCsv.
    """
    header, *rows = [line.split(',') for line in path.read_text(encoding='utf-8').splitlines()]
    table = [dict(zip(header, row, strict=True)) for row in rows]
    return {tuple(int(row[name]) for name in ('red', 'green', 'blue', 'alpha')): int(row['id']) for row in table}


def test_the_bytes_of_a_small_table(tmp_path):
    write_hydra(tmp_path / 'x.csv', small_space(tmp_path), 1)
    assert (tmp_path / 'x.csv').read_bytes() == GOLDEN


@pytest.mark.parametrize('read', [read_kimera, read_hydra])
@pytest.mark.parametrize('offset', [1, 5])
def test_our_colour_images_become_our_ids(tmp_path, read, offset):
    """What they do with `semantic/color` gives what is on `semantic/image`."""
    space = load_label_space('nyuv2_40')
    write_hydra(tmp_path / 'x.csv', space, offset)
    ids = read(tmp_path / 'x.csv')
    labels = np.array([[0, 3, 39, 255]], np.uint8)
    colors = colorize_labels(labels, space)[0].tolist()
    assert [ids[(*color, 255)] for color in colors] == [offset, 3 + offset, 39 + offset, 0]


def test_id_0_is_unknown(tmp_path):
    with pytest.raises(ValueError, match='label offset 0: expected 1 or more: Kimera-Semantics takes id 0 for unknown'):
        write_hydra(tmp_path / 'x.csv', small_space(tmp_path), 0)


def test_a_comma_in_a_name(tmp_path):
    space = small_space(tmp_path, SMALL.replace('floor mat', "'floor, mat'"))
    with pytest.raises(ValueError, match=r"class 'floor, mat' of .*small.*: a comma"):
        write_hydra(tmp_path / 'x.csv', space, 1)
