# SPDX-License-Identifier: Apache-2.0
"""The table of classes that Kimera-Semantics and Hydra read: name, colour and id of each."""

from pathlib import Path

from mtperception.errors import InputError
from mtperception.labels import IGNORE_INDEX, UNKNOWN_COLOR, LabelSpace

HEADER = 'name,red,green,blue,alpha,id'


def write_hydra(path: Path, space: LabelSpace, offset: int) -> None:
    """Write the CSV file. Unknown pixels, white in our colour images, come first, with id 0.

    Args:
        path: the file.
        space: names and colours.
        offset: from class indices to ids.

    Raises:
        ValueError: if the offset is 0, for Kimera-Semantics takes id 0 for unknown; if an id does not fit into a byte;
            or if a name has a character that the format cannot hold.
        OSError: if the file cannot be written.
    """
    if offset < 1:
        raise InputError(f'label offset {offset}: expected 1 or more: Kimera-Semantics takes id 0 for unknown')
    for name in space.names:
        if set(name) & set(',\r\n'):
            raise InputError(f'class {name!r} of {space.name}: a comma or a line break is not allowed in this CSV')
    ids = space.id_table(offset)
    rows = [('unknown', UNKNOWN_COLOR, ids[IGNORE_INDEX])]
    rows += zip(space.names, space.palette.tolist(), ids.tolist(), strict=False)
    lines = [f'{name},{red},{green},{blue},255,{id_}' for name, (red, green, blue), id_ in rows]
    path.write_text('\n'.join([HEADER, *lines]) + '\n', encoding='utf-8')
