# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a perfect network: it knows the exact answer, as its training camera would have it.

The Predictor around it is the real one, so what is wrong in its answers is the Predictor's doing.
"""

from dataclasses import dataclass

import numpy as np

from mtperception.backends.backend import Backend
from mtperception.card import ModelCard
from mtperception.input_policy import TrainingCamera
from mtperception.labels import load_label_space
from mtperception.predictor import BackendPredictor
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics

TRAINING = TrainingCamera(100.0, 160, 120)


@dataclass(frozen=True)
class Wall:
    """The plane of all P with normal . P = distance; the normal points to the camera. Its class is 0."""

    distance: float
    normal: tuple[float, float, float] = (0.0, 0.0, -1.0)

    def maps(self, camera):
        """Exact depth, labels and normals at every pixel."""
        rows, columns = np.mgrid[: camera.height, : camera.width]
        normal = np.array(self.normal) / np.linalg.norm(self.normal)
        rays = np.stack(
            [(columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(rows.shape)], axis=2
        )
        depth = -self.distance / (rays @ normal)
        normals = np.broadcast_to(normal, (*rows.shape, 3))
        return {'depth': depth, 'labels': np.zeros(rows.shape, np.uint8), 'normals': normals}


@dataclass(frozen=True)
class Room:
    """The rendered room at a time of the camera's walk."""

    seconds: float = 3.0

    def maps(self, camera):
        """Exact depth and labels at every pixel."""
        sample = SyntheticRoom(camera.width, camera.height, camera.fx, fy=camera.fy).render(pose(self.seconds))
        return {'depth': sample.depth, 'labels': sample.labels}


class PerfectBackend(Backend):
    """Answers for one scene seen by one camera, whatever the size of the image.

    Args:
        scene: what is seen.
        camera: of the images.
        trained: focal lengths x and y of the training images, as the network saw them.
        depth_range: what the graph clamps to.
        precision: of the clamp.
        cut: the network sees parts of the image, which says of each pixel where it is (`coordinates`).
    """

    name = 'perfect'

    def __init__(self, scene, camera, trained, depth_range, precision='fp32', cut=False):
        super().__init__('cpu', precision)
        self.scene, self.camera, self.trained = scene, camera, trained
        self.depth_range, self.cut = depth_range, cut

    def _compile(self, batch, height, width):
        camera = self.camera if self.cut else self.camera.resized(width, height)
        x, y = camera.fx / self.trained[0], camera.fy / self.trained[1]
        maps = dict(self.scene.maps(camera))
        # What the training camera would have had before it, had it taken this picture: objects of the same size.
        depth = (maps['depth'] / np.sqrt(x * y)).astype(np.float32)
        maps['depth'] = rounded(depth.clip(*np.float32(self.depth_range)), self.precision)
        maps['confidence'] = np.full(depth.shape, 200, np.uint8)
        if 'normals' in maps:
            normals = maps['normals'] / np.array([x, y, 1])
            maps['normals'] = (normals / np.linalg.norm(normals, axis=2, keepdims=True)).astype(np.float32)

        def run(images):
            return {name: np.stack([self._part(map_, image) for image in images]) for name, map_ in maps.items()}, {}

        return run

    def _part(self, map_, image):
        if not self.cut:
            return map_.copy()
        columns, rows, more = np.moveaxis(image.astype(int), 2, 0)
        return map_[rows + 256 * (more // 16), columns + 256 * (more % 16)]


def rounded(depth, precision):
    """Float32 values as a clamp in this precision leaves them."""
    if precision == 'fp16':
        return depth.astype(np.float16).astype(np.float32)
    if precision == 'bf16':
        return ((depth.view(np.uint32) + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)
    return depth


def coordinates(width, height):
    """An image of which each pixel says where it is."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([columns % 256, rows % 256, columns // 256 + 16 * (rows // 256)], axis=2).astype(np.uint8)


def pinhole(fx, width, height, fy=None):
    """A camera that looks along its image's centre."""
    return Intrinsics(fx, fy or fx, (width - 1) / 2, (height - 1) / 2, width, height)


def perfect_predictor(
    scene,
    camera,
    *,
    training=TRAINING,
    input=None,
    trained=None,
    space='nyuv2_40',
    depth_range=(0.3, 10.0),
    precision='fp32',
    **options,
):
    """The real predictor around a perfect network.

    Args:
        trained: focal lengths of what the network was shown in training; by default the training camera's own.
    """
    labels = load_label_space(space)
    tasks = tuple(task for task in ('segmentation', 'depth', 'normals') if task != 'normals' or isinstance(scene, Wall))
    card = ModelCard(
        'perfect', 'joint_lw_refinenet', len(labels), tasks, space, (0, len(labels)), depth_range, training, input
    )
    cut = input is not None and input.policy == 'tiles'
    trained = trained or (training.fx, training.fy or training.fx)
    backend = PerfectBackend(scene, camera, trained, depth_range, precision, cut)
    return BackendPredictor(card, labels, backend, **options)
