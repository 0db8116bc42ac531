# SPDX-License-Identifier: Apache-2.0
"""When the images of a recording are played, by hand."""

import pytest

from mtperception.replay.live_schedule import due_times

START = 10**18


def due(stamps, received=None):
    """Of seconds; received as they are stamped unless it is said."""
    clocks = ([START + round(1e9 * second) for second in clock] for clock in (stamps, received or stamps))
    return due_times(list(zip(*clocks, strict=True)))


@pytest.mark.parametrize(
    ('stamps', 'received', 'expected', 'pauses'),
    [
        pytest.param([3], None, [0], 0, id='one image'),
        pytest.param([3, 3.1, 3.4, 7], [0, 1, 2, 3], [0, 0.1, 0.4, 4], 0, id='by stamps'),
        pytest.param([3, 3.2, 3.1, 3.3], None, [0, 0.2, 0.1, 0.3], 0, id='out of order'),
        pytest.param([3, 3.1, 9e8, 9e8 + 0.1], [0, 0.1, 0.2, 0.3], [0, 0.1, 0.2, 0.3], 1, id='the stamps jump'),
        pytest.param([3, 3.1, 9e8, 9e8 + 0.1], None, [0, 0.1, 10.1, 10.2], 1, id='both clocks jump'),
        pytest.param([0, 30, 60], None, [0, 10, 20], 2, id='an image every half minute'),
        pytest.param([50, 50.1, 0, 0.1], None, [0, 0.1, -50, -49.9], 0, id='set back: the player is late from then on'),
    ],
)
def test_when_images_are_due(stamps, received, expected, pauses):
    found, counted = due(stamps, received)
    assert found == pytest.approx(expected, abs=1e-6)
    assert counted == pauses


def test_without_images():
    assert due_times([]) == ([], 0)
