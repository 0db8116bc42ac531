# SPDX-License-Identifier: Apache-2.0
"""What the tests of training share."""

from dataclasses import replace

import pytest
from rooms import rooms, write_rooms
from tiny_runs import data_of, tiny_config, train


@pytest.fixture(scope='session')
def room_data(tmp_path_factory):
    """Eight images of 96x72 pixels with camera, labels and depth, as a data set of the kind `folder`; split `test`.

    From image to image less is known: ever more labels are missing at the left, ever more depth at the top. Other
    splits: `first` and `last` are halves of it, `pair` two of them.
    """
    samples = []
    for index, sample in enumerate(rooms(8)):
        labels, depth = sample.labels.copy(), sample.depth.copy()
        labels[:, : 6 * index] = 255
        depth[: 5 * index] = 0
        samples.append(replace(sample, labels=labels, depth=depth))
    root = write_rooms(tmp_path_factory.mktemp('rooms'), samples)
    for split, ids in {'first': '0123', 'last': '4567', 'pair': '25'}.items():
        (root / f'{split}.txt').write_text('\n'.join(ids), encoding='utf-8')
    return root


@pytest.fixture(scope='session')
def validated(room_data, tmp_path_factory):
    """The folder of a run of three epochs with three tasks, validated after each."""
    out = tmp_path_factory.mktemp('validated')
    tasks = ('segmentation', 'depth', 'normals')
    data = [data_of(room_data, split='first'), data_of(room_data, ['depth'], 'last')]
    validation = [data_of(room_data, split='pair')]
    train(
        tiny_config(room_data, tasks, data=data, validation=validation, validate_every=1, epochs=3, select_by='rmse'),
        out,
    )
    return out
