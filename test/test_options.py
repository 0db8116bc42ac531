# SPDX-License-Identifier: Apache-2.0
"""Options are of the types that a signature says."""

from collections.abc import Sequence

import pytest

from mtperception.options import wrong_type


def built(
    images, *, count: int = 1, share: float = 0.5, name: str | None = None, exact: bool = True, at: Sequence[float] = ()
):
    """Something that a configuration names."""


@pytest.mark.parametrize(
    'options', [{'count': 2, 'share': 1, 'name': None, 'exact': False}, {'at': [0.5]}, {'name': 'a'}, {'unknown': 1}]
)
def test_options_of_the_right_types(options):
    assert wrong_type(built, options) is None


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'count': 2.0}, 'count is 2.0: expected a whole number'),
        ({'count': True}, 'count is True: expected a whole number'),
        ({'share': 'half'}, "share is 'half': expected a number"),
        ({'share': None}, 'share is None: expected a number'),
        ({'name': 3}, 'name is 3: expected a text'),
        ({'share': 0.5, 'exact': 'yes'}, "exact is 'yes': expected true or false"),
    ],
)
def test_the_first_option_of_a_wrong_type_is_named(options, message):
    assert wrong_type(built, options) == message
