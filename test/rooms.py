# SPDX-License-Identifier: Apache-2.0
"""The synthetic room as a data set: in memory, and as a folder."""

import json
from dataclasses import asdict

import numpy as np

from mtperception.geometry import depth_in_millimeters
from mtperception.media import write_image
from mtperception.synthetic import SyntheticRoom


class Samples:
    """Samples in memory, as a data set."""

    def __init__(self, samples, label_space='nyuv2_40', ids=None):
        self._samples = list(samples)
        self.ids = ids or [f'{index:03d}' for index in range(len(self._samples))]
        self.label_space = label_space

    def __len__(self):
        return len(self._samples)

    def __getitem__(self, index):
        return self._samples[index]


def rooms(count, width=96, height=72):
    """What the camera sees at some times of its walk."""
    room = SyntheticRoom(width, height)
    return [room.frame(3.0 * index) for index in range(count)]


def write_rooms(folder, samples, **changes):
    """Writes samples as a data set of the kind `folder` with the split `test`; a key changed to None is left out."""
    for name in ('rgb', 'labels', 'depth'):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for index, sample in enumerate(samples):
        write_image(folder / 'rgb' / f'{index}.png', sample.image)
        write_image(folder / 'labels' / f'{index}.png', sample.labels)
        write_image(folder / 'depth' / f'{index}.png', depth_in_millimeters(sample.depth))
    layout = {kind: f'{kind}/{{id}}.png' for kind in ('rgb', 'labels', 'depth')}
    layout |= {'label_space': 'nyuv2_40', 'depth_scale': 0.001, 'depth_invalid': 0, **asdict(samples[0].intrinsics)}
    layout = {key: value for key, value in (layout | changes).items() if value is not None}
    (folder / 'dataset.json').write_text(json.dumps(layout), encoding='utf-8')
    (folder / 'test.txt').write_text('\n'.join(map(str, np.arange(len(samples)))), encoding='utf-8')
    return folder
