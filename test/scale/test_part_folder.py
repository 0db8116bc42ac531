# SPDX-License-Identifier: Apache-2.0
"""A folder of parts: each there whole or not at all, done once, of one job."""

import json
import math

import pytest

from mtperception.scale.job_file import JobError
from mtperception.scale.part_folder import LARGEST_PART, PartFolder, parts_of, stored_count


@pytest.mark.parametrize(('items', 'count'), [(1, 1), (12, 12), (64, 64), (654, 64), (4097, 65), (300_000, 4688)])
def test_parts_are_small_and_many(items, count):
    assert parts_of(items) == count
    assert math.ceil(items / count) <= LARGEST_PART


def test_parts_are_made_once_and_read_in_order(tmp_path):
    with (
        PartFolder(tmp_path / 'parts', {'job': 'a'}, 4) as first,
        PartFolder(tmp_path / 'parts', {'job': 'a'}, 4) as other,
    ):
        for position in first.unfinished([3, 1]):
            assert list(other.unfinished([0])) == [0]  # not written: to be made still
            first.write(position, {'square': position**2, 'nothing': math.nan})
        assert other.missing() == [0, 2]
        assert list(other.unfinished(range(4))) == [0, 2]
        for position in (2, 0):
            other.write(position, {'square': position**2})
        assert list(first.unfinished(range(4))) == first.missing() == []
        assert [content['square'] for content in first.contents()] == [0, 1, 4, 9]
    assert stored_count(tmp_path / 'parts') == 4


def test_a_part_that_was_not_written_to_its_end_is_none(tmp_path):
    """As after a kill while it was written: what is beside the place does not count."""
    with PartFolder(tmp_path, {}, 1) as folder:
        folder.write(0, {'whole': True})
        (written,) = tmp_path.glob('part-*.json')
        content = written.read_bytes()
        written.unlink()
        (tmp_path / f'.{written.stem}.part1.json').write_bytes(content[:5])
        assert folder.missing() == [0]
        folder.write(0, {'whole': True})
        assert json.loads(written.read_text()) == {'whole': True}


def test_another_job_or_number_of_parts_is_refused(tmp_path):
    assert stored_count(tmp_path) is None
    PartFolder(tmp_path, {'job': 'a'}, 2).close()
    with pytest.raises(JobError, match="made with job 'a' instead of 'b'"):
        PartFolder(tmp_path, {'job': 'b'}, 2)
    with pytest.raises(JobError, match='made with parts 2 instead of 3'):
        PartFolder(tmp_path, {'job': 'a'}, 3)
