# SPDX-License-Identifier: Apache-2.0
"""A folder of finished parts: what processes have made of their shares, until it is merged."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from mtperception.atomic_write import atomic_file
from mtperception.scale.job_file import JobFile

RECORD = 'job.json'
LARGEST_PART = 64
"""Items: what is lost of the work of a process that is killed."""
FEWEST_PARTS = 64


def parts_of(items: int) -> int:
    """How many parts so many items are divided into: it depends on nothing else, so that all processes agree."""
    return min(items, max(FEWEST_PARTS, -(-items // LARGEST_PART)))


def part_path(folder: Path, position: int) -> Path:
    """Where a finished part is kept."""
    return folder / f'part-{position:06}.json'


def stored_count(folder: Path) -> int | None:
    """How many parts the job in a folder has; None if there is no job yet."""
    try:
        return json.loads((folder / RECORD).read_text(encoding='utf-8'))['parts']
    except (OSError, ValueError, KeyError, TypeError):
        return None


class PartFolder:
    """The parts of a job, one JSON file each: there completely or not at all. A context manager.

    Any number of processes may work in one folder: none does a part that is there or that another one is doing.

    Args:
        folder: where they are kept; created if missing.
        record: what the parts are made of; it takes what JSON keeps.
        count: how many parts the job has.

    Raises:
        JobError: if the folder holds the parts of another job.
        OSError: if it cannot be written.
    """

    def __init__(self, folder: Path, record: Mapping[str, Any], count: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.count = count
        self._job = JobFile(folder / RECORD, {**record, 'parts': count})

    def unfinished(self, positions: Iterable[int]) -> Iterator[int]:
        """Those of some parts that are to be made; each is claimed until the next one is asked for."""
        for name in self._job.divide(map(str, positions), lambda name: self.is_finished(int(name))):
            if not self.is_finished(int(name)):
                yield int(name)

    def is_finished(self, position: int) -> bool:
        """Whether a part is there."""
        return part_path(self._folder, position).exists()

    def write(self, position: int, content: Mapping[str, Any]) -> None:
        """Keep what was made of a part; numbers that are no numbers (NaN) are kept, too."""
        with atomic_file(part_path(self._folder, position)) as path:
            path.write_text(json.dumps(content), encoding='utf-8')

    def missing(self) -> list[int]:
        """Positions of the parts that are not there."""
        return [position for position in range(self.count) if not self.is_finished(position)]

    def remove(self, position: int) -> None:
        """Let a part be made again."""
        part_path(self._folder, position).unlink(missing_ok=True)

    def merging(self) -> AbstractContextManager[bool]:
        """Held while all parts are made to one result: by one process at a time, the others wait."""
        return self._job.claim('merge', wait=True)

    def contents(self) -> Iterator[dict[str, Any]]:
        """What was made of all parts, in their order."""
        for position in range(self.count):
            yield json.loads(part_path(self._folder, position).read_text(encoding='utf-8'))

    def close(self) -> None:
        """Let go of what is claimed."""
        self._job.close()

    def __enter__(self) -> 'PartFolder':
        """The folder itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of what is claimed."""
        self.close()
