# SPDX-License-Identifier: Apache-2.0
"""The map: a truncated signed distance in sparse blocks of voxels, and class evidence beside it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from mtperception.errors import InputError, MTPerceptionError
from mtperception.geometry import project
from mtperception.labels import IGNORE_INDEX
from mtperception.mapping.archive import BlockArchive
from mtperception.mapping.blocks import BLOCK, VoxelBlocks, o3c, open3d, voxels_of
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.fusion import DEFAULT_RULE, spread
from mtperception.mapping.surface import NO_SURFACE, Surface
from mtperception.types import Intrinsics

TRUNCATION = 4.0
"""Voxels from a surface that its distance is kept for."""
PROBE = 4
"""Pixels between those that Open3D looks for blocks at (`DepthTouch` of its VoxelBlockGrid)."""
BLOCKS_AT_ONCE = 200
"""Whose voxels are told of together: some megabytes."""
REACH = 3**0.5
"""Voxels along the line of sight from a surface within which one learns its class: the diagonal of a voxel."""


class MapFullError(MTPerceptionError, MemoryError):
    """A single view that needs more blocks than the map may hold."""


class SemanticVolume:
    """Fuses views into distances, colours and class distributions.

    Args:
        voxel_size: edge of a voxel, metres.
        num_classes: of the label space.
        fusion: a key of `fusion.RULES`.
        kept_classes: classes that a voxel remembers; 0: all.
        max_depth: metres; what is farther is left out.
        memory_mb: the map never takes more; blocks not seen for longest make room (see `drop_oldest`).
        archive: folder that blocks which make room are written to, and come back from when they are seen again;
            None: they are dropped.

    Raises:
        ValueError: for an unknown rule, or sizes that are not positive.
        WriteError: if the archive cannot be made.
    """

    def __init__(
        self,
        voxel_size: float,
        num_classes: int,
        fusion: str = DEFAULT_RULE,
        kept_classes: int = 4,
        max_depth: float = 5.0,
        memory_mb: float = 500.0,
        archive: Path | None = None,
    ) -> None:
        if min(voxel_size, max_depth, memory_mb) <= 0:
            raise InputError(
                f'voxel_size {voxel_size}, max_depth {max_depth}, memory_mb {memory_mb}: expected positive numbers'
            )
        self.voxel_size, self._num_classes = voxel_size, num_classes
        self.max_depth = float(max_depth)
        self.dropped_blocks = 0
        """Taken away to make room, and not archived."""
        self._blocks = VoxelBlocks(voxel_size, memory_mb, num_classes, fusion, kept_classes)
        self.frames = 0
        self._lacks_colours = False
        """Whether a view had no image."""
        self._archive = BlockArchive(archive, self._blocks.record) if archive else None
        self._with_room_for: Callable[[int], SemanticVolume] = lambda blocks: SemanticVolume(
            voxel_size, num_classes, fusion, kept_classes, max_depth, (blocks + 1) * self._blocks.bytes_per_block / 1e6
        )

    def close(self) -> None:
        """Let another map have the archive's folder; nothing is added to this one any more."""
        if self._archive is not None:
            self._archive.close()

    @property
    def archived_blocks(self) -> int:
        """Blocks in the archive."""
        return 0 if self._archive is None else len(self._archive)

    @property
    def blocks(self) -> int:
        """Blocks in use."""
        return len(self._blocks)

    @property
    def memory_mb(self) -> float:
        """What the blocks in use take."""
        return self.blocks * self._blocks.bytes_per_block / 1e6

    def integrate(self, frame: MapFrame) -> None:
        """Fuse one view.

        Raises:
            MapFullError: if it alone needs more blocks than there is room for.
            ValueError: if its maps have different sizes, or a label is of no class.
        """
        frame.check(self._num_classes)
        depth = open3d.t.geometry.Image(o3c.Tensor(np.ascontiguousarray(frame.depth, np.float32)))
        camera = _matrix(frame.intrinsics)
        view = o3c.Tensor(np.linalg.inv(frame.T_world_camera))
        measured = (frame.depth > 0) & (frame.depth < self.max_depth)
        if not _probed(measured).any():
            self.frames += 1
            return
        keys = self._blocks.grid.compute_unique_block_coordinates(depth, camera, view, 1.0, self.max_depth, TRUNCATION)
        buffers = self._make_room(keys.numpy())
        # Here Open3D rounds pixels down: 0.5 would be in pixel 0, whose centre is at 0.
        rounding_down = _matrix(frame.intrinsics, offset=0.5)
        arguments = [keys, depth, rounding_down, view, 1.0, self.max_depth, TRUNCATION]
        dark = np.zeros((len(buffers), 0), bool)
        if frame.image is None:
            self._lacks_colours = True
        else:
            color = open3d.t.geometry.Image(o3c.Tensor(frame.image.astype(np.float32)))
            arguments.insert(2, color)
            dark = self._blocks.without_colour(buffers) if self._lacks_colours else dark
        self._blocks.grid.integrate(*arguments)
        if dark.any():
            self._blocks.undo_darkening(buffers, dark)
        self._blocks.last_seen[buffers] = self.frames
        self._add_classes(frame, buffers)
        self.frames += 1

    def drop_oldest(self, count: int) -> None:
        """Take away so many blocks that were not seen for longest; into the archive, if there is one."""
        buffers = self._blocks.active()
        oldest = buffers[np.argsort(self._blocks.last_seen[buffers], kind='stable')[:count]]
        self._drop(self._blocks.keys(oldest))

    def drop_farther_than(self, distance: float, position: np.ndarray) -> np.ndarray:
        """Take away the blocks whose centres are farther than `distance` metres from a position (3); their keys.

        They go into the archive, if there is one.
        """
        keys = self._blocks.keys(self._blocks.active())
        centers = (keys + 0.5) * BLOCK * self.voxel_size
        far = keys[np.linalg.norm(centers - position, axis=1) > distance]
        self._drop(far)
        return far

    def whole(self) -> 'SemanticVolume':
        """The map with all that is in the archive: this one if nothing is, else one that has room for it.

        Raises:
            SourceError: if the archive cannot be read.
        """
        if not self.archived_blocks:
            return self
        volume = self._with_room_for(self.blocks + self.archived_blocks)
        volume._put(self._blocks.records(self._blocks.active()))
        for records in self._archive.chunks():
            volume._put(records)
        volume.frames = self.frames
        return volume

    def surface(self, min_views: int = 2) -> Surface:
        """The mesh where the distance is 0.

        Args:
            min_views: that must have seen a voxel.
        """
        if not self.blocks:
            return NO_SURFACE
        mesh = self._blocks.grid.extract_triangle_mesh(min_views - 0.5)
        if not mesh.vertex.positions.shape[0]:
            return NO_SURFACE
        vertices = mesh.vertex.positions.numpy()
        probabilities, seen = self.probabilities_at(vertices)
        labels = np.where(seen, probabilities.argmax(axis=1), IGNORE_INDEX).astype(np.uint8)
        confidence = np.where(seen, probabilities.max(axis=1), 0).astype(np.float32)
        colors = np.rint(np.clip(mesh.vertex.colors.numpy(), 0, 255)).astype(np.uint8)
        return Surface(
            vertices,
            mesh.triangle.indices.numpy().astype(np.int32),
            mesh.vertex.normals.numpy(),
            colors,
            labels,
            confidence,
        )

    def probabilities_at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Class distributions at points of the surface, interpolated between the voxels around each.

        Args:
            points: float32 N,3, metres.

        Returns:
            float32 N,C, and bool N: whether any voxel around knows a class.
        """
        scaled = points / self.voxel_size
        corner = np.floor(scaled).astype(np.int64)
        fraction = (scaled - corner).astype(np.float32)
        total = np.zeros((len(points), self._blocks.evidence.num_classes), np.float32)
        weights = np.zeros(len(points), np.float32)
        for offset in np.ndindex(2, 2, 2):
            weight = np.where(offset, fraction, 1 - fraction).prod(axis=1)
            voxels, found = self._blocks.voxels(corner + offset)
            known = found & (weight > 1e-6)
            known[known] = self._blocks.evidence.is_seen(voxels[known])
            total[known] += weight[known, None] * self._blocks.evidence.probabilities(voxels[known])
            weights[known] += weight[known]
        seen = weights > 0
        total[seen] /= weights[seen, None]
        return total, seen

    def block_keys(self, points: np.ndarray) -> np.ndarray:
        """int32 N,3: the blocks that points (float32 N,3, metres) lie in, whether the map has them or not."""
        return (np.floor(points / self.voxel_size) // BLOCK).astype(np.int32)

    def known_voxels(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """All voxels that know a class, some at a time: the probabilities of all are larger than the map.

        Yields:
            Centres float32 N,3 in metres; float32 N,C class probabilities; float32 N weights, in views.
        """
        weights = self._blocks.grid.attribute('weight').numpy().reshape(-1)
        buffers = self._blocks.active()
        for first in range(0, max(1, len(buffers)), BLOCKS_AT_ONCE):
            voxels = voxels_of(buffers[first : first + BLOCKS_AT_ONCE])
            voxels = voxels[self._blocks.evidence.is_seen(voxels)]
            yield self._blocks.centers(voxels), self._blocks.evidence.probabilities(voxels), weights[voxels]

    def _make_room(self, keys: np.ndarray) -> np.ndarray:
        """int64 M: the buffers of blocks, which are made where they are new; others go if there is no room."""
        buffers, found = self._blocks.find(keys)
        new = int((~found).sum())
        lacking = self.blocks + new - self._blocks.capacity
        if lacking > 0:
            self._blocks.last_seen[buffers[found]] = self.frames  # what this view sees is not the oldest
            if len(keys) > self._blocks.capacity:
                raise MapFullError(
                    f'one view needs {len(keys)} blocks, the map has room for {self._blocks.capacity}: use larger '
                    'voxels, a smaller max_depth or more memory_mb'
                )
            self.drop_oldest(lacking)
        self._blocks.reserve(self.blocks + new + len(keys))
        if self.archived_blocks:
            self._put(self._archive.take(keys))
        return self._blocks.make(keys)

    def _drop(self, keys: np.ndarray) -> None:
        """Take some blocks (int32 N,3) away; into the archive, if there is one."""
        if not len(keys):
            return
        if self._archive is None:
            self.dropped_blocks += len(keys)
        else:
            self._archive.put(self._blocks.records(self._blocks.find(keys)[0]))
        self._blocks.remove(keys)

    def _put(self, records: np.ndarray) -> None:
        """Add blocks that are not there, as if this frame saw them."""
        if len(records):
            self._blocks.last_seen[self._blocks.put(records)] = self.frames

    def _add_classes(self, frame: MapFrame, buffers: np.ndarray) -> None:
        """Each voxel at the surface gets what the pixel that it is seen in says."""
        coordinates, voxels = self._blocks.grid.voxel_coordinates_and_flattened_indices(
            o3c.Tensor(buffers.astype(np.int32))
        )
        rows, columns, depth, near = self._seen_at_surface(frame, coordinates.numpy())
        voxels = voxels.numpy()[near].astype(np.int64)
        labels = frame.labels[rows, columns]
        known = labels != IGNORE_INDEX
        if not known.any():
            return
        rows, columns, depth = rows[known], columns[known], depth[known]
        confidence = frame.confidence[rows, columns].astype(np.float32) / 255
        probabilities = spread(labels[known], confidence, self._blocks.evidence.num_classes)
        self._blocks.evidence.add(voxels[known], probabilities, distance_weight(depth))

    def _seen_at_surface(self, frame: MapFrame, points: np.ndarray) -> tuple[np.ndarray, ...]:
        """Row, column and depth of the voxels that lie within a voxel of the surface, and which these are (int)."""
        T_camera_world = np.linalg.inv(frame.T_world_camera).astype(np.float32)
        index, rows, columns, z = project(points, T_camera_world, frame.intrinsics)
        depth = frame.depth[rows, columns]
        is_near = (depth > 0) & (depth < self.max_depth) & (np.abs(depth - z) <= REACH * self.voxel_size)
        return rows[is_near], columns[is_near], depth[is_near], index[is_near]


def distance_weight(depth: np.ndarray) -> np.ndarray:
    """float32 M: how much a look from `depth` metres counts: 1 up to a metre, then falling with the square.

    The error of depth from one image, as of structured light, grows with the square of the distance (Nguyen et al.,
    3DIMPVT 2012, section 4).
    """
    return (1 / np.maximum(depth, 1) ** 2).astype(np.float32)


def _matrix(camera: Intrinsics, offset: float = 0.0) -> 'o3c.Tensor':
    """Of pixels whose coordinates are larger by an offset."""
    cx, cy = camera.cx + offset, camera.cy + offset
    return o3c.Tensor(np.array([[camera.fx, 0, cx], [0, camera.fy, cy], [0, 0, 1]], np.float64))


def _probed(measured: np.ndarray) -> np.ndarray:
    """The pixels that Open3D looks for blocks at; without depth at any of them it raises RuntimeError."""
    height, width = (size // PROBE * PROBE for size in measured.shape)
    return measured[:height:PROBE, :width:PROBE]
