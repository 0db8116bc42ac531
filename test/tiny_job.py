# SPDX-License-Identifier: Apache-2.0
"""A job of small items, whose workers and driver can be killed. As a script it is the driver."""

import os
import sys
import time
from functools import partial
from pathlib import Path

from mtperception.scale.part_folder import PartFolder
from mtperception.scale.workers import Outcome, Workers, distribute

ITEMS = 40
BAD = '7'


class TinyWorker:
    """Squares numbers, slowly; writes down who it is and what it has done."""

    def __init__(self, folder):
        self._folder = folder
        self._parts = PartFolder(folder / 'parts', {'job': 'squares'}, ITEMS)
        self._note('pids', os.getpid())

    def __call__(self, items):
        for position in self._parts.unfinished(map(int, items)):
            if str(position) == BAD:
                yield Outcome(BAD, failed='seven is bad')
                continue
            time.sleep(0.02)
            self._parts.write(position, {'square': position**2})
            self._note('done', position)
            yield Outcome(str(position))

    def _note(self, name, value):
        with (self._folder / name).open('a') as file:
            file.write(f'{value}\n')


def run(folder, workers):
    """The outcomes of all items that are not done, in some order."""
    folder.mkdir(exist_ok=True)
    return list(distribute(partial(TinyWorker, folder), workers, [str(item) for item in range(ITEMS)]))


if __name__ == '__main__':
    run(Path(sys.argv[1]), Workers(2, sys.argv[2]))
