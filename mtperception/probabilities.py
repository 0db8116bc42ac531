# SPDX-License-Identifier: Apache-2.0
"""How probable each class is, of which the exported graph tells only the largest. Needs the extra `torch`."""

import numpy as np
import torch

from mtperception.errors import InputError
from mtperception.input_policy import resize_image
from mtperception.networks import load_network
from mtperception.pipeline import normalize
from mtperception.predictor import Predictor


class Probabilities:
    """The bare network of a predictor's model, run beside it on the same working size, in fp32 on the CPU.

    Args:
        predictor: of a model with segmentation.

    Raises:
        InputError: for a model without segmentation, or one that sees images in tiles.
        ModelError: if the weights are not those of its network.
    """

    def __init__(self, predictor: Predictor) -> None:
        if 'segmentation' not in predictor.card.tasks:
            raise InputError(f'model {predictor.card.name} gives no classes: expected one with segmentation')
        if predictor.input_policy.policy == 'tiles':
            raise InputError(
                f'model {predictor.card.name} sees images in tiles: probabilities are at the resolution of its output, '
                'where tiles do not fit together: expected a model with another input policy'
            )
        self._predictor = predictor
        self._network = load_network(predictor.model.path)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """float16 C,h,w, of each class, at the network's resolution, for an image uint8 H,W,3, RGB."""
        size = self._predictor.working_size(image.shape[1], image.shape[0])
        reduced = image if size == image.shape[1::-1] else resize_image(image, size)
        logits = self._network(normalize(torch.from_numpy(np.ascontiguousarray(reduced))[None]))['segmentation'][0]
        first, end = self._predictor.card.classes
        probabilities = torch.zeros_like(logits)
        probabilities[first:end] = (logits[first:end] / self._predictor.card.temperature).softmax(dim=0)
        return probabilities.to(torch.float16).numpy()
