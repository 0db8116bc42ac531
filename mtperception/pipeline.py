"""From a network to the graph that is exported: RGB bytes in, finished maps of the same size out.

Everything between the bytes of an image and the maps that a robot uses is here and nowhere else, so that every backend,
and a C++ user of the ONNX file, gets identical results.
"""

import torch
from torch import nn
from torch.nn import functional

from mtperception.upsampling import upsample, upsampled_argmax

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalize(image: torch.Tensor) -> torch.Tensor:
    """Map RGB uint8 N,H,W,3 to the ImageNet-normalised float32 N,3,H,W that networks take."""
    mean, std = (
        torch.tensor(values, device=image.device)[:, None, None] * 255 for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    # Bytes are moved, not floats; and what is then done by channel runs over whole planes.
    return (image.permute(0, 3, 1, 2).to(torch.float32) - mean) / std


class Pipeline(nn.Module):
    """A network with its pre- and post-processing.

    Args:
        network: maps normalised float32 N,3,H,W to a dict of raw head outputs.
        depth_range: smallest and largest depth in metres; outputs are clamped to it.
        classes: first class and end of the slice of the network's classes among which labels are chosen; an end of None
            is the last class.
    """

    def __init__(
        self, network: nn.Module, depth_range: tuple[float, float], classes: tuple[int, int | None] = (0, None)
    ) -> None:
        super().__init__()
        self.network = network
        self.depth_range = depth_range
        self.classes = classes

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map uint8 N,H,W,3 (RGB, any H and W) to the maps of the tasks that the network has.

        Returns:
            `labels` uint8 N,H,W (logits are upsampled before the argmax), `confidence` uint8 N,H,W (largest softmax
            probability at the network's output resolution, upsampled, 0..255), `depth` float32 N,H,W in metres inside
            `depth_range`, `normals` float32 N,H,W,3 unit vectors.
        """
        dtype = next(self.network.parameters()).dtype
        raw = self.network(normalize(image).to(dtype))
        size = image.shape[1:3]
        maps = {}
        if 'segmentation' in raw:
            maps |= self._labels(raw['segmentation'].float(), size)
        if 'depth' in raw:
            # The network's output is signed; the published post-processing takes its absolute value.
            maps['depth'] = upsample(raw['depth'].float(), size)[:, 0].abs().clamp(*self.depth_range)
        if 'normals' in raw:
            normals = functional.normalize(upsample(raw['normals'].float(), size), dim=1)
            maps['normals'] = normals.permute(0, 2, 3, 1)
        return maps

    def _labels(self, logits: torch.Tensor, size: torch.Size) -> dict[str, torch.Tensor]:
        first, end = self.classes
        logits = logits[:, first:end]
        labels = upsampled_argmax(logits, size) + first
        # The classes last: that is the axis along which every backend has a fast softmax.
        largest = logits.permute(0, 2, 3, 1).softmax(dim=-1).amax(dim=-1)
        confidence = upsample(largest[:, None], size)[:, 0]
        return {
            # TensorRT converts uint8 only from and to floats; both are.
            'labels': labels.to(torch.uint8),
            'confidence': (confidence * 255).round().to(torch.uint8),
        }
