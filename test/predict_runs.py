# SPDX-License-Identifier: Apache-2.0
"""Small inputs for `mtperception predict`, and runs of it."""

import cv2
import numpy as np

from mtperception import cli
from mtperception.media import VideoWriter, write_image

BACKEND = ('--backend', 'onnxruntime', '--device', 'cpu')


def image(seed):
    """Smooth noise, 64x48, RGB."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(noise, (64, 48), interpolation=cv2.INTER_CUBIC)


def png(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image(seed))
    return path


def video(path, frames=3):
    with VideoWriter(path, 8) as writer:
        for seed in range(frames):
            writer.write(image(seed))
    return path


def run(*arguments):
    return cli.main(['predict', *map(str, arguments), *BACKEND])


def written(folder):
    return sorted(path.name for path in folder.iterdir())
