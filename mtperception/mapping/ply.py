# SPDX-License-Identifier: Apache-2.0
"""PLY files, binary, little-endian (Turk, The PLY Polygon File Format, 1994)."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

_TYPES = {'f4': 'float', 'u1': 'uchar', 'i4': 'int'}


def write_ply(path: Path, columns: Mapping[str, np.ndarray], triangles: np.ndarray | None = None) -> None:
    """Write a mesh or a cloud.

    Args:
        path: the file.
        columns: by the name of the property, N values each, float32, uint8 or int32.
        triangles: int32 T,3, indices of vertices; None: a cloud.
    """
    kinds = {name: np.asarray(values).dtype.str[1:] for name, values in columns.items()}
    count = len(next(iter(columns.values())))
    vertices = np.empty(count, [(name, f'<{kind}') for name, kind in kinds.items()])
    for name, values in columns.items():
        vertices[name] = values
    header = ['ply', 'format binary_little_endian 1.0', f'element vertex {count}']
    header += [f'property {_TYPES[kind]} {name}' for name, kind in kinds.items()]
    faces = np.empty(0, [('count', 'u1'), ('indices', '<i4', 3)])
    if triangles is not None:
        header += [f'element face {len(triangles)}', 'property list uchar int vertex_indices']
        faces = np.empty(len(triangles), faces.dtype)
        faces['count'], faces['indices'] = 3, triangles
    with path.open('wb') as file:
        file.write('\n'.join([*header, 'end_header', '']).encode())
        file.write(vertices.tobytes())
        file.write(faces.tobytes())
