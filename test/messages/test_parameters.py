# SPDX-License-Identifier: Apache-2.0
"""Values of the node's parameters that cannot be."""

import pytest

from mtperception.messages.parameters import PARAMETERS, default_settings

DEFAULTS = {spec.name: spec.default for spec in PARAMETERS}


def test_the_defaults_are_one_camera_without_a_name():
    assert default_settings().cameras == ('',)


@pytest.mark.parametrize('names', [['front'], ['front', 'front_2'], ['rig/left', 'rig/right_2'], ['']])
def test_names_of_cameras(names):
    assert PARAMETERS.settings_from(DEFAULTS | {'cameras': names}).cameras == tuple(names)


@pytest.mark.parametrize(
    'names',
    [
        [],
        ['front', 'front'],
        ['front', ''],
        ['front', 'front/depth'],
        ['', ''],
        ['1st'],
        ['rig/1st'],
        ['a/'],
        ['/a'],
        ['a//b'],
        ['spa ce'],
        ['ü'],
    ],
)
def test_names_that_cannot_be_topics_or_are_not_different(names):
    with pytest.raises(ValueError, match='expected different names of topics'):
        PARAMETERS.settings_from(DEFAULTS | {'cameras': names})
