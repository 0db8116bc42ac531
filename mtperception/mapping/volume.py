# SPDX-License-Identifier: Apache-2.0
"""The map: a truncated signed distance in sparse blocks of voxels, by Open3D, and class evidence beside it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mtperception.errors import InputError, MissingPackageError, MTPerceptionError
from mtperception.labels import IGNORE_INDEX
from mtperception.mapping.archive import BlockArchive
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.fusion import DEFAULT_RULE, ClassEvidence, spread
from mtperception.mapping.surface import NO_SURFACE, Surface
from mtperception.types import Intrinsics

try:
    import open3d
    import open3d.core as o3c
except ImportError as error:
    raise MissingPackageError(f'mapping needs Open3D ({error}): pip install "mtperception[mapping]"') from error
except OSError as error:  # a library that Open3D is linked with
    raise MissingPackageError(
        f'Open3D cannot be loaded ({error}): on Debian and Ubuntu install libusb-1.0-0 and libgomp1'
    ) from error

BLOCK = 8
"""Voxels along each edge of a block."""
VOXELS = BLOCK**3
TRUNCATION = 4.0
"""Voxels from a surface that its distance is kept for."""
REACH = 3**0.5
"""Voxels along the line of sight from a surface within which one learns its class: the diagonal of a voxel."""
GRID_BYTES = 4 + 4 + 12
"""Of a voxel in Open3D: distance, weight, colour."""
FIRST_BLOCKS = 1000
"""Buffers that a grid has at first; more when they are needed."""
_DEVICE = o3c.Device('CPU:0')


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
        self.voxel_size = voxel_size
        self.max_depth = float(max_depth)
        self.dropped_blocks = 0
        """Taken away to make room, and not archived."""
        bytes_per_voxel = GRID_BYTES + ClassEvidence(0, num_classes, fusion, kept_classes).bytes_per_voxel
        self.capacity = max(1, int(memory_mb * 1e6 / (bytes_per_voxel * VOXELS)))
        """Blocks."""
        self.bytes_per_block = bytes_per_voxel * VOXELS
        # With room for the buffers of a view beside those of the map (`_reserve`). What is not written to is free.
        self.evidence = ClassEvidence(2 * self.capacity * VOXELS, num_classes, fusion, kept_classes)
        self._grid = open3d.t.geometry.VoxelBlockGrid(
            ('tsdf', 'weight', 'color'),
            (o3c.float32, o3c.float32, o3c.float32),
            ((1), (1), (3)),
            voxel_size,
            BLOCK,
            min(self.capacity, FIRST_BLOCKS),
            _DEVICE,
        )
        self._seen = np.full(2 * self.capacity, -1, np.int64)
        """By buffer: the frame that last touched the block; -1 for none."""
        self.frames = 0
        self._archive = BlockArchive(archive, self._record) if archive else None
        self._with_room_for: Callable[[int], SemanticVolume] = lambda blocks: SemanticVolume(
            voxel_size, num_classes, fusion, kept_classes, max_depth, (blocks + 1) * self.bytes_per_block / 1e6
        )

    @property
    def archived_blocks(self) -> int:
        """Blocks in the archive."""
        return 0 if self._archive is None else len(self._archive)

    @property
    def blocks(self) -> int:
        """Blocks in use."""
        return self._grid.hashmap().size()

    @property
    def memory_mb(self) -> float:
        """What the blocks in use take."""
        return self.blocks * self.bytes_per_block / 1e6

    def integrate(self, frame: MapFrame) -> None:
        """Fuse one view.

        Raises:
            MapFullError: if it alone needs more blocks than there is room for.
            ValueError: if its maps have different sizes.
        """
        _check(frame)
        depth = open3d.t.geometry.Image(o3c.Tensor(np.ascontiguousarray(frame.depth, np.float32)))
        camera = _matrix(frame.intrinsics)
        view = o3c.Tensor(np.linalg.inv(frame.T_world_camera))
        measured = (frame.depth > 0) & (frame.depth < self.max_depth)
        if not measured.any():
            self.frames += 1
            return
        keys = self._grid.compute_unique_block_coordinates(depth, camera, view, 1.0, self.max_depth, TRUNCATION)
        buffers = self._make_room(keys)
        arguments = [keys, depth, camera, view, 1.0, self.max_depth, TRUNCATION]
        if frame.image is not None:
            color = open3d.t.geometry.Image(o3c.Tensor(frame.image.astype(np.float32)))
            arguments.insert(2, color)
        self._grid.integrate(*arguments)
        self._seen[buffers] = self.frames
        self._add_classes(frame, buffers)
        self.frames += 1

    def drop_oldest(self, count: int) -> np.ndarray:
        """Take away the blocks that were not seen for longest; into the archive, if there is one.

        Args:
            count: how many.

        Returns:
            int32 N,3: their keys, in units of blocks.
        """
        buffers = self._active()
        oldest = buffers[np.argsort(self._seen[buffers], kind='stable')[:count]]
        keys = self._grid.hashmap().key_tensor().numpy()[oldest].copy()
        self._drop(keys)
        return keys

    def drop_farther_than(self, distance: float, position: np.ndarray) -> np.ndarray:
        """Take away the blocks whose centres are farther than `distance` metres from a position (3); their keys.

        They go into the archive, if there is one.
        """
        keys = self._grid.hashmap().key_tensor().numpy()[self._active()]
        centers = (keys + 0.5) * BLOCK * self.voxel_size
        far = keys[np.linalg.norm(centers - position, axis=1) > distance].copy()
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
        volume._put(self._records(self._active()))
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
        mesh = self._grid.extract_triangle_mesh(min_views - 0.5)
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
        total = np.zeros((len(points), self.evidence.num_classes), np.float32)
        weights = np.zeros(len(points), np.float32)
        for offset in np.ndindex(2, 2, 2):
            weight = np.where(offset, fraction, 1 - fraction).prod(axis=1)
            voxels, found = self._voxels(corner + offset)
            known = found & (weight > 1e-6)
            known[known] = self.evidence.is_seen(voxels[known])
            total[known] += weight[known, None] * self.evidence.probabilities(voxels[known])
            weights[known] += weight[known]
        seen = weights > 0
        total[seen] /= weights[seen, None]
        return total, seen

    def block_keys(self, points: np.ndarray) -> np.ndarray:
        """int32 N,3: the blocks that points (float32 N,3, metres) lie in, whether the map has them or not."""
        return (np.floor(points / self.voxel_size) // BLOCK).astype(np.int32)

    def known_voxels(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All voxels that know a class.

        Returns:
            Centres float32 N,3 in metres; float32 N,C class probabilities; float32 N weights, in views.
        """
        buffers = self._active()
        voxels = _voxels_of(buffers)
        voxels = voxels[self.evidence.is_seen(voxels)]
        weight = self._grid.attribute('weight').numpy().reshape(-1)[voxels]
        keys = self._grid.hashmap().key_tensor().numpy()[voxels // VOXELS]
        local = voxels % VOXELS
        inside = np.stack([local % BLOCK, local // BLOCK % BLOCK, local // BLOCK**2], axis=1)
        centers = ((keys * BLOCK + inside) * self.voxel_size).astype(np.float32)
        return centers, self.evidence.probabilities(voxels), weight

    def _make_room(self, keys: 'o3c.Tensor') -> np.ndarray:
        """int64 M: the buffers of blocks, which are made where they are new; others go if there is no room."""
        hashmap = self._grid.hashmap()
        new = int((~hashmap.find(keys)[1].numpy()).sum())
        lacking = self.blocks + new - self.capacity
        if lacking > 0:
            buffers, found = hashmap.find(keys)
            self._seen[buffers.numpy()[found.numpy()]] = self.frames  # what this view sees is not the oldest
            if len(keys) > self.capacity:
                raise MapFullError(
                    f'one view needs {len(keys)} blocks, the map has room for {self.capacity}: use larger voxels, a '
                    'smaller max_depth or more memory_mb'
                )
            self.drop_oldest(lacking)
        self._reserve(self.blocks + new + len(keys))
        if self.archived_blocks:
            self._put(self._archive.take(keys.numpy()))
        hashmap.activate(keys)
        return hashmap.find(keys)[0].numpy().astype(np.int64)

    def _reserve(self, blocks: int) -> None:
        """Let the grid have so many buffers.

        It grows by itself as soon as the blocks that it has and those that it is given, even if it has them, are more
        than its buffers; then its blocks are in other buffers, and what is kept beside the grid would belong to others.
        """
        hashmap = self._grid.hashmap()
        if blocks <= hashmap.capacity():
            return
        old = self._active()
        keys = hashmap.key_tensor().numpy()[old].copy()
        hashmap.reserve(max(blocks + blocks // 10, min(2 * hashmap.capacity(), self.capacity)))
        if not len(old):
            return
        new = hashmap.find(o3c.Tensor(keys))[0].numpy().astype(np.int64)
        self.evidence.move(_voxels_of(old), _voxels_of(new))
        seen = self._seen[old]
        self._seen[old] = -1
        self._seen[new] = seen

    def _drop(self, keys: np.ndarray) -> None:
        """Take some blocks (int32 N,3) away, with all that is known of them."""
        if not len(keys):
            return
        tensor = o3c.Tensor(np.ascontiguousarray(keys, np.int32))
        buffers = self._grid.hashmap().find(tensor)[0].numpy().astype(np.int64)
        if self._archive is None:
            self.dropped_blocks += len(keys)
        else:
            self._archive.put(self._records(buffers))
        self._clear(buffers)
        self._grid.hashmap().erase(tensor)

    @property
    def _record(self) -> np.dtype:
        """All that is known of a block."""
        evidence = self.evidence
        fields = [('key', '<i4', 3), ('tsdf', '<f4', VOXELS), ('weight', '<f4', VOXELS), ('color', '<f4', (VOXELS, 3))]
        fields.append(('evidence', '<f4', (VOXELS, evidence.kept)))
        if evidence.classes is not None:
            fields.append(('classes', 'u1', (VOXELS, evidence.kept)))
        return np.dtype(fields)

    def _records(self, buffers: np.ndarray) -> np.ndarray:
        """The blocks in some buffers, as records."""
        records = np.empty(len(buffers), self._record)
        records['key'] = self._grid.hashmap().key_tensor().numpy()[buffers]
        for name, values in self._attributes().items():
            records[name] = values[buffers]
        return records

    def _put(self, records: np.ndarray) -> None:
        """Add blocks that are not there."""
        if not len(records):
            return
        self._reserve(self.blocks + len(records))
        keys = o3c.Tensor(np.ascontiguousarray(records['key']))
        self._grid.hashmap().activate(keys)
        buffers = self._grid.hashmap().find(keys)[0].numpy().astype(np.int64)
        for name, values in self._attributes().items():
            values[buffers] = records[name]
        self._seen[buffers] = self.frames

    def _attributes(self) -> dict[str, np.ndarray]:
        """By field of a record, the memory of all buffers."""
        attributes = {name: self._grid.attribute(name).numpy() for name in ('tsdf', 'weight', 'color')}
        evidence = {'evidence': self.evidence.evidence, 'classes': self.evidence.classes}
        shapes = {'tsdf': (VOXELS,), 'weight': (VOXELS,), 'color': (VOXELS, 3)}
        shapes |= dict.fromkeys(evidence, (VOXELS, self.evidence.kept))
        found = {name: values for name, values in (attributes | evidence).items() if values is not None}
        return {name: values.reshape(-1, *shapes[name]) for name, values in found.items()}

    def _add_classes(self, frame: MapFrame, buffers: np.ndarray) -> None:
        """Each voxel at the surface gets what the pixel that it is seen in says."""
        coordinates, voxels = self._grid.voxel_coordinates_and_flattened_indices(o3c.Tensor(buffers.astype(np.int32)))
        rows, columns, depth, near = self._seen_at_surface(frame, coordinates.numpy())
        voxels = voxels.numpy()[near].astype(np.int64)
        labels = frame.labels[rows, columns]
        known = labels != IGNORE_INDEX
        if not known.any():
            return
        rows, columns, depth = rows[known], columns[known], depth[known]
        if frame.probabilities is None:
            confidence = frame.confidence[rows, columns].astype(np.float32) / 255
            probabilities = spread(labels[known], confidence, self.evidence.num_classes)
        else:
            probabilities = _sampled(frame.probabilities, rows, columns, frame.depth.shape)
        self.evidence.add(voxels[known], probabilities, distance_weight(depth))

    def _seen_at_surface(self, frame: MapFrame, points: np.ndarray) -> tuple[np.ndarray, ...]:
        """Row, column and depth of the voxels that lie within a voxel of the surface, and which these are (bool)."""
        T_camera_world = np.linalg.inv(frame.T_world_camera).astype(np.float32)
        x, y, z = T_camera_world[:3, :3] @ points.T + T_camera_world[:3, 3:]
        camera = frame.intrinsics
        z = np.where(z > 1e-3, z, np.float32(np.inf))
        column = np.rint(x / z * camera.fx + camera.cx)
        row = np.rint(y / z * camera.fy + camera.cy)
        height, width = frame.depth.shape
        near = np.isfinite(z) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
        rows, columns = row[near].astype(np.intp), column[near].astype(np.intp)
        depth = frame.depth[rows, columns]
        close = (depth > 0) & (depth < self.max_depth) & (np.abs(depth - z[near]) <= REACH * self.voxel_size)
        near[near] = close
        return rows[close], columns[close], depth[close], near

    def _voxels(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat indices of voxels (int64 N,3, in units of voxels), and whether there are such (bool N)."""
        if not len(indices):  # which Open3D refuses
            return np.zeros(0, np.int64), np.zeros(0, bool)
        blocks, inside = np.divmod(indices, BLOCK)
        # As one number each: sorting rows takes many times as long.
        packed = (blocks + 2**20) @ np.array([2**42, 2**21, 1])
        _, first, inverse = np.unique(packed, return_index=True, return_inverse=True)
        buffers, found = self._grid.hashmap().find(o3c.Tensor(blocks[first].astype(np.int32)))
        local = inside @ np.array([1, BLOCK, BLOCK**2])
        found = found.numpy()[inverse]
        return np.where(found, buffers.numpy()[inverse].astype(np.int64) * VOXELS + local, 0), found

    def _active(self) -> np.ndarray:
        """int64: buffers in use."""
        return self._grid.hashmap().active_buf_indices().numpy().astype(np.int64)

    def _clear(self, buffers: np.ndarray) -> None:
        """Open3D hands a buffer out again as it was left."""
        for name in ('tsdf', 'weight', 'color'):
            self._grid.attribute(name).numpy()[buffers] = 0
        self.evidence.forget(_voxels_of(buffers))
        self._seen[buffers] = -1


def _voxels_of(buffers: np.ndarray) -> np.ndarray:
    """int64: flat indices of all voxels of some buffers."""
    return (buffers[:, None] * VOXELS + np.arange(VOXELS)).reshape(-1)


def distance_weight(depth: np.ndarray) -> np.ndarray:
    """float32 M: how much a look from `depth` metres counts: 1 up to a metre, then falling with the square.

    The error of depth from one image, as of structured light, grows with the square of the distance (Nguyen et al.,
    3DIMPVT 2012, section 4).
    """
    return (1 / np.maximum(depth, 1) ** 2).astype(np.float32)


def _sampled(probabilities: np.ndarray, rows: np.ndarray, columns: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """float32 M,C of float32 C,h,w at pixels of an image of another size: the nearest."""
    height, width = probabilities.shape[1:]
    at_row = ((rows + 0.5) * height / size[0]).astype(np.intp)
    at_column = ((columns + 0.5) * width / size[1]).astype(np.intp)
    return np.ascontiguousarray(probabilities[:, at_row, at_column].T, np.float32)


def _matrix(camera: Intrinsics) -> 'o3c.Tensor':
    return o3c.Tensor(np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]], np.float64))


def _check(frame: MapFrame) -> None:
    size = (frame.intrinsics.height, frame.intrinsics.width)
    found = {map_.shape[:2] for map_ in (frame.depth, frame.labels, frame.confidence, frame.image) if map_ is not None}
    if found != {size}:
        raise InputError(f'maps of {sorted(found)} with a camera of {size}: expected one height and width')
