# SPDX-License-Identifier: Apache-2.0
"""The blocks of voxels that a map has in memory: Open3D's sparse grid, and what is kept beside it."""

import numpy as np

from mtperception.errors import InputError, needs
from mtperception.mapping.block_keys import packed
from mtperception.mapping.fusion import ClassEvidence

with needs('mapping', 'Open3D', 'mapping', 'on Debian and Ubuntu: sudo apt install libusb-1.0-0 libgomp1'):
    import open3d
    import open3d.core as o3c

BLOCK = 8
"""Voxels along each edge of a block."""
VOXELS = BLOCK**3
GRID_BYTES = 4 + 4 + 12
"""Bytes per voxel in Open3D: distance, weight, colour."""
FIRST_BLOCKS = 1000
"""Buffers that a grid has at first; more when they are needed."""
_DEVICE = o3c.Device('CPU:0')
_GRID_ATTRIBUTES = {'tsdf': 1, 'weight': 1, 'color': 3}
"""Numbers per voxel."""


class VoxelBlocks:
    """Blocks by key, int32 3 in units of blocks; each lies in a buffer, which indexes all that is known of it.

    Args:
        voxel_size: edge of a voxel, metres.
        memory_mb: what the blocks may take; at least one may be there.
        num_classes, fusion, kept_classes: as for `ClassEvidence`.

    Raises:
        ValueError: for an unknown rule of fusion, or more memory than there is.
    """

    def __init__(self, voxel_size: float, memory_mb: float, num_classes: int, fusion: str, kept_classes: int) -> None:
        self.voxel_size = voxel_size
        self.bytes_per_block = VOXELS * (
            GRID_BYTES + ClassEvidence(0, num_classes, fusion, kept_classes).bytes_per_voxel
        )
        self.capacity = max(1, int(memory_mb * 1e6 / self.bytes_per_block))
        """Blocks that there may be."""
        # With room for the buffers of a view beside those of the map (`reserve`). What is not written to is free.
        try:
            self.evidence = ClassEvidence(2 * self.capacity * VOXELS, num_classes, fusion, kept_classes)
            """Evidence for classes, by flat index of the voxel."""
            self.last_seen = np.full(2 * self.capacity, -1, np.int64)
            """By buffer: the frame that last touched the block; -1 for none."""
        except MemoryError as error:
            raise InputError(
                f'memory_mb {memory_mb:g}: this computer does not have so much: expected less, or fewer kept_classes'
            ) from error
        self.grid = open3d.t.geometry.VoxelBlockGrid(
            tuple(_GRID_ATTRIBUTES),
            (o3c.float32,) * len(_GRID_ATTRIBUTES),
            tuple(_GRID_ATTRIBUTES.values()),
            voxel_size,
            BLOCK,
            min(self.capacity, FIRST_BLOCKS),
            _DEVICE,
        )
        """Open3D's own."""

    def __len__(self) -> int:
        """Blocks in use."""
        return self.grid.hashmap().size()

    def active(self) -> np.ndarray:
        """int64 N: buffers in use."""
        return self.grid.hashmap().active_buf_indices().numpy().astype(np.int64)

    def keys(self, buffers: np.ndarray) -> np.ndarray:
        """int32 N,3: of the blocks in some buffers."""
        return self.grid.hashmap().key_tensor().numpy()[buffers]

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Buffers (int64 N) of blocks (int32 N,3), and which of them are there (bool N)."""
        buffers, found = self.grid.hashmap().find(o3c.Tensor(np.ascontiguousarray(keys, np.int32)))
        return buffers.numpy().astype(np.int64), found.numpy()

    def make(self, keys: np.ndarray) -> np.ndarray:
        """Buffers (int64 N) of blocks (int32 N,3), which are made where there are none; see `reserve`."""
        self.grid.hashmap().activate(o3c.Tensor(np.ascontiguousarray(keys, np.int32)))
        return self.find(keys)[0]

    def reserve(self, blocks: int) -> None:
        """Let the grid have so many buffers.

        It grows by itself as soon as the blocks that it has and those that it is given, even if it has them, are more
        than its buffers; then its blocks are in other buffers, and what is kept beside the grid would belong to others.
        """
        hashmap = self.grid.hashmap()
        if blocks <= hashmap.capacity():
            return
        old = self.active()
        keys = self.keys(old)
        hashmap.reserve(max(blocks + blocks // 10, min(2 * hashmap.capacity(), self.capacity)))
        if not len(old):
            return
        new, _ = self.find(keys)
        self.evidence.move(voxels_of(old), voxels_of(new))
        seen = self.last_seen[old]
        self.last_seen[old] = -1
        self.last_seen[new] = seen

    def without_colour(self, buffers: np.ndarray) -> np.ndarray:
        """bool N,VOXELS: of some blocks, what was seen, but not in a view that had an image."""
        attributes = self._attributes()
        return (attributes['weight'][buffers] > 0) & ~attributes['color'][buffers].any(axis=2)

    def undo_darkening(self, buffers: np.ndarray, voxels: np.ndarray) -> None:
        """Give voxels that `without_colour` told the colour of the view that was fused since: Open3D has taken the mean
        of it and of as many blacks as there were views before.
        """
        attributes = self._attributes()
        colors = attributes['color'][buffers]
        colors[voxels] *= attributes['weight'][buffers][voxels][:, None]
        attributes['color'][buffers] = colors

    def remove(self, keys: np.ndarray) -> None:
        """Take blocks (int32 N,3) away, with all that is known of them."""
        buffers, _ = self.find(keys)
        for name in _GRID_ATTRIBUTES:  # Open3D hands a buffer out again as it was left
            self.grid.attribute(name).numpy()[buffers] = 0
        self.evidence.forget(voxels_of(buffers))
        self.last_seen[buffers] = -1
        self.grid.hashmap().erase(o3c.Tensor(np.ascontiguousarray(keys, np.int32)))

    @property
    def record(self) -> np.dtype:
        """All that is known of a block, its `key` included."""
        attributes = self._attributes()
        fields = [(name, values.dtype.str, values.shape[1:]) for name, values in attributes.items()]
        return np.dtype([('key', '<i4', 3), *fields])

    def records(self, buffers: np.ndarray) -> np.ndarray:
        """The blocks in some buffers, as records."""
        records = np.empty(len(buffers), self.record)
        records['key'] = self.keys(buffers)
        for name, values in self._attributes().items():
            records[name] = values[buffers]
        return records

    def put(self, records: np.ndarray) -> np.ndarray:
        """Add blocks that are not there; their buffers."""
        self.reserve(len(self) + len(records))
        buffers = self.make(records['key'])
        for name, values in self._attributes().items():
            values[buffers] = records[name]
        return buffers

    def voxels(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat indices of voxels (int64 N,3, in units of voxels), and whether there are such (bool N)."""
        if not len(indices):  # which Open3D refuses
            return np.zeros(0, np.int64), np.zeros(0, bool)
        blocks, inside = np.divmod(indices, BLOCK)
        _, first, inverse = np.unique(packed(blocks), return_index=True, return_inverse=True)
        buffers, found = self.find(blocks[first])
        local = inside @ np.array([1, BLOCK, BLOCK**2])
        found = found[inverse]
        return np.where(found, buffers[inverse] * VOXELS + local, 0), found

    def centers(self, voxels: np.ndarray) -> np.ndarray:
        """float32 N,3, metres: where voxels (flat indices) are."""
        local = voxels % VOXELS
        inside = np.stack([local % BLOCK, local // BLOCK % BLOCK, local // BLOCK**2], axis=1)
        return ((self.keys(voxels // VOXELS) * BLOCK + inside) * self.voxel_size).astype(np.float32)

    def _attributes(self) -> dict[str, np.ndarray]:
        """By name, the memory of all buffers: first axis buffers, second voxels."""
        attributes = {name: self.grid.attribute(name).numpy() for name in _GRID_ATTRIBUTES}
        shapes = {name: (VOXELS,) if size == 1 else (VOXELS, size) for name, size in _GRID_ATTRIBUTES.items()}
        evidence = {'evidence': self.evidence.evidence, 'classes': self.evidence.classes}
        shapes |= dict.fromkeys(evidence, (VOXELS, self.evidence.kept))
        found = {name: values for name, values in (attributes | evidence).items() if values is not None}
        return {name: values.reshape(-1, *shapes[name]) for name, values in found.items()}


def voxels_of(buffers: np.ndarray) -> np.ndarray:
    """int64: flat indices of all voxels of some buffers."""
    return (buffers[:, None] * VOXELS + np.arange(VOXELS)).reshape(-1)
