# SPDX-License-Identifier: Apache-2.0
"""Blocks that memory has no room for, in a file of one map alone."""

import numpy as np
import pytest

from mtperception.errors import InputError
from mtperception.mapping import archive
from mtperception.mapping.archive import BlockArchive

RECORD = np.dtype([('key', np.int32, 3), ('value', np.float32)])


def records(*values):
    return np.array([((value, 0, 0), value) for value in values], RECORD)


def test_what_is_put_is_taken_out_once(tmp_path):
    blocks = BlockArchive(tmp_path / 'a', RECORD)
    blocks.put(records(1, 2, 3))
    keys = np.array([[2, 0, 0], [9, 0, 0]], np.int32)
    assert blocks.take(keys)['value'].tolist() == [2]
    assert blocks.take(keys)['value'].tolist() == []
    blocks.put(records(4, 1))
    assert sorted(value for chunk in blocks.chunks() for value in chunk['value']) == [1, 3, 4]


def test_two_maps_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, 'PATIENCE_S', 0.1)
    first = BlockArchive(tmp_path, RECORD)
    first.put(records(1))
    with pytest.raises(InputError, match='in use for another map: expected a folder of its own for each map'):
        BlockArchive(tmp_path, RECORD)
    assert first.take(np.array([[1, 0, 0]], np.int32))['value'].tolist() == [1]
    first.close()
    assert len(BlockArchive(tmp_path, RECORD)) == 0
