# SPDX-License-Identifier: Apache-2.0
"""Whether labels are of the classes that a map is of, by what their publisher says of them."""

import json

import numpy as np

from mtperception.labels import LabelSpace


def other_classes(published: str, space: LabelSpace, id_table: np.ndarray) -> str:
    """What is wrong with published classes, in one line; empty if they are those of a label space.

    Args:
        published: JSON, a list of objects with id and name, as on `semantic/classes`.
        space: of the map.
        id_table: uint8 256, from class indices of the space to ids.
    """
    own = {int(id_table[index]): name for index, name in enumerate(space.names)}
    try:
        found = {int(entry['id']): str(entry['name']) for entry in json.loads(published)}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):  # an id of 1e999, a thousand brackets
        return 'not a JSON list of classes with id and name'
    differing = sorted(key for key in own.keys() | found.keys() if own.get(key) != found.get(key))
    if not differing:
        return ''
    key = differing[0]
    return (
        f'id {key} is {found.get(key, "no class")}, expected {own.get(key, "no class")} of {space.name}: use the '
        'label_space and label_offset of the perception node'
    )
