# SPDX-License-Identifier: Apache-2.0
"""What cameras see of a map."""

from dataclasses import dataclass

import numpy as np
import open3d
import open3d.core as o3c

from mtperception.geometry import pixel_rays
from mtperception.labels import IGNORE_INDEX
from mtperception.mapping.surface import Surface
from mtperception.types import Intrinsics


@dataclass(frozen=True)
class RenderedView:
    """The map in a camera's image."""

    depth: np.ndarray
    """float32 H,W: metres along the optical axis, 0 where there is no surface."""
    labels: np.ndarray
    """uint8 H,W: class index, 255 where no class is known."""
    confidence: np.ndarray
    """float32 H,W: probability of that class, 0..1."""
    image: np.ndarray
    """uint8 H,W,3, RGB; black where there is no surface."""


class SurfaceRenderer:
    """Renders a surface by ray casting (Embree, through Open3D).

    Args:
        surface: the mesh of a map.
    """

    def __init__(self, surface: Surface) -> None:
        self._surface = surface
        self._scene = open3d.t.geometry.RaycastingScene()
        if len(surface.triangles):
            vertices, triangles = surface.vertices.astype(np.float32), surface.triangles.astype(np.uint32)
            self._scene.add_triangles(o3c.Tensor(vertices), o3c.Tensor(triangles))

    def render(self, T_world_camera: np.ndarray, intrinsics: Intrinsics) -> RenderedView:
        """The view of a camera; each pixel has label, confidence and colour of the vertex nearest to what it sees.

        Args:
            T_world_camera: float64 4,4, pose of the optical frame.
            intrinsics: of the image to render.
        """
        size = intrinsics.height, intrinsics.width
        if not len(self._surface.triangles):
            return _nothing(*size)
        hits = self._scene.cast_rays(o3c.Tensor(_rays(T_world_camera, intrinsics)))
        depth = hits['t_hit'].numpy()  # rays have z = 1 in the camera's frame, so lengths along them are depths
        hit = np.isfinite(depth)
        triangles = self._surface.triangles[hits['primitive_ids'].numpy()[hit].astype(np.int64)]
        u, v = np.moveaxis(hits['primitive_uvs'].numpy()[hit], -1, 0)
        corner = np.stack([1 - u - v, u, v], axis=1).argmax(axis=1)
        vertices = triangles[np.arange(len(triangles)), corner]
        view = _nothing(*size)
        view.depth[hit] = depth[hit]
        view.labels[hit] = self._surface.labels[vertices]
        view.confidence[hit] = self._surface.confidence[vertices]
        view.image[hit] = self._surface.colors[vertices]
        return view


def _rays(T_world_camera: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """float32 H,W,6: origin and direction in the world, of length 1 along the optical axis."""
    x, y = pixel_rays(intrinsics)
    directions = np.ones((len(y), len(x), 3), np.float32)
    directions[..., 0], directions[..., 1] = x, y[:, None]
    rays = np.empty((*directions.shape[:2], 6), np.float32)
    rays[..., :3] = T_world_camera[:3, 3]
    rays[..., 3:] = directions @ T_world_camera[:3, :3].T
    return rays


def _nothing(height: int, width: int) -> RenderedView:
    return RenderedView(
        np.zeros((height, width), np.float32),
        np.full((height, width), IGNORE_INDEX, np.uint8),
        np.zeros((height, width), np.float32),
        np.zeros((height, width, 3), np.uint8),
    )
