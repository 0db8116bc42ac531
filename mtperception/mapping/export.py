# SPDX-License-Identifier: Apache-2.0
"""A map as files.

mesh.ply        triangles; per vertex x y z, normal nx ny nz, red green blue (colour of its class), label (class index,
                255 = unknown), confidence 0..1
points.ply      the same vertices, without triangles, in the colours that the camera saw
classes/        a mesh for each class that the map has, where that is asked for
map.npz         what is known of each voxel: centers float32 N,3 (metres); classes uint8 N,K and probabilities float32
                N,K, the K most likely classes, the most likely first; weight float32 N, in views; voxel_size;
                class_names C; palette uint8 C,3
"""

from pathlib import Path

import numpy as np

from mtperception.labels import IGNORE_INDEX, UNKNOWN_COLOR, LabelSpace
from mtperception.mapping.ply import write_ply
from mtperception.mapping.surface import Surface
from mtperception.mapping.volume import SemanticVolume

MESH, POINTS, VOXELS, CLASSES, SUMMARY, REPORT = (
    'mesh.ply',
    'points.ply',
    'map.npz',
    'classes',
    'summary.json',
    'report',
)
ENTRIES = (MESH, POINTS, VOXELS, CLASSES, SUMMARY, REPORT)
"""Names of what a map's folder may hold."""
STORED_CLASSES = 4
"""K of map.npz at most."""


def write_map(
    volume: SemanticVolume, surface: Surface, space: LabelSpace, out: Path, *, per_class: bool = False
) -> int:
    """Write the files of a map into an existing folder; the number of voxels in `map.npz`.

    Args:
        volume: the map.
        surface: its mesh.
        space: of the labels.
        out: the folder.
        per_class: whether to write a mesh for each class.

    Raises:
        OSError: if one cannot be written.
    """
    write_ply(out / MESH, _columns(surface, class_colors(surface.labels, space)), surface.triangles)
    write_ply(out / POINTS, _columns(surface, surface.colors))
    voxels = _write_voxels(volume, space, out / VOXELS)
    if per_class:
        (out / CLASSES).mkdir()
        for index in np.unique(surface.labels[surface.labels != IGNORE_INDEX]):
            part = of_class(surface, int(index))
            if len(part.triangles):
                colors = class_colors(part.labels, space)
                write_ply(
                    out / CLASSES / f'{_file_name(space.names[index])}.ply', _columns(part, colors), part.triangles
                )
    return voxels


def class_colors(labels: np.ndarray, space: LabelSpace) -> np.ndarray:
    """uint8 N,3: the palette's colours of uint8 N class indices; that of unknown for other indices."""
    table = np.full((256, 3), UNKNOWN_COLOR, np.uint8)
    table[: len(space)] = space.palette
    return table[labels]


def of_class(surface: Surface, index: int) -> Surface:
    """The triangles of which at least two corners are of a class, with their vertices."""
    triangles = surface.triangles[(surface.labels[surface.triangles] == index).sum(axis=1) >= 2]
    used, renumbered = np.unique(triangles, return_inverse=True)
    return Surface(
        surface.vertices[used],
        renumbered.reshape(-1, 3).astype(np.int32),
        surface.normals[used],
        surface.colors[used],
        surface.labels[used],
        surface.confidence[used],
    )


def _columns(surface: Surface, colors: np.ndarray) -> dict[str, np.ndarray]:
    columns = {}
    for names, values in (('xyz', surface.vertices), (('nx', 'ny', 'nz'), surface.normals)):
        columns |= {name: values[:, axis].astype(np.float32) for axis, name in enumerate(names)}
    columns |= {name: colors[:, axis] for axis, name in enumerate(('red', 'green', 'blue'))}
    return columns | {'label': surface.labels, 'confidence': surface.confidence}


def _write_voxels(volume: SemanticVolume, space: LabelSpace, path: Path) -> int:
    parts = []
    for centers, probabilities, weight in volume.known_voxels():
        classes = np.argsort(-probabilities, axis=1, kind='stable')[:, :STORED_CLASSES]
        largest = np.take_along_axis(probabilities, classes, axis=1)
        parts.append((centers, classes.astype(np.uint8), largest, weight))
    centers, classes, probabilities, weight = map(np.concatenate, zip(*parts, strict=True))
    np.savez_compressed(
        path,
        centers=centers,
        classes=classes,
        probabilities=probabilities,
        weight=weight,
        voxel_size=np.float64(volume.voxel_size),
        class_names=np.array(space.names),
        palette=space.palette,
    )
    return len(centers)


def _file_name(name: str) -> str:
    return ''.join(letter if letter.isalnum() or letter in '-_' else '_' for letter in name)
