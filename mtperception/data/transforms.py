"""Random views of a sample for training: scale, crop, mirror and light, the same for the image and all its maps."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms.v2 import InterpolationMode, functional

from mtperception.geometry import normals_from_depth
from mtperception.labels import IGNORE_INDEX
from mtperception.types import Sample

Targets = dict[str, torch.Tensor]
"""By task: `segmentation` uint8 h,w (255 unknown), `depth` float32 h,w (metres, 0 invalid), `normals` float32 3,h,w
(unit vectors, 0 invalid)."""


@dataclass
class ViewConfig:
    """How a training image is looked at."""

    scale: list[float] = field(default_factory=lambda: [0.6, 1.3])
    """Smallest and largest factor on the image's size, drawn log-uniformly; raised to what fills the crop."""
    crop: list[int] = field(default_factory=lambda: [320, 320])
    """Height and width in pixels."""
    mirror: bool = True
    brightness: float = 0.3
    """Largest relative change of the image; likewise the following."""
    contrast: float = 0.2
    saturation: float = 0.3
    white_balance: float = 0.08
    """Of each colour channel by itself."""
    normals_window: int = 15
    """Pixels of the window that planes are fitted over for the normals."""


@dataclass(frozen=True)
class Example:
    """What the network is shown, and what it should have said."""

    image: torch.Tensor
    """uint8 3,h,w, RGB."""
    targets: Targets
    """Of the tasks that the sample has annotations for."""


def random_view(
    sample: Sample, tasks: tuple[str, ...], view: ViewConfig, training_fx: float, rng: np.random.Generator
) -> Example:
    """One random view of a sample.

    The network judges distance by size in pixels. An image that is enlarged by s looks like one taken from nearer, or
    with a longer lens: its depth is divided by s, and by the ratio of its camera's focal length to `training_fx`, so
    that all views are of one camera. Divided depth tilts planes: normals are those of the divided depth.

    Args:
        sample: image, and the annotations that it has.
        tasks: those wanted, of 'segmentation', 'depth' and 'normals' (which come from depth and intrinsics).
        view: how random it is.
        training_fx: focal length, pixels, of the camera that depth is learnt for; without intrinsics the sample's
            camera is taken to be that one.
        rng: decides; the same generator state gives the same view.
    """
    height, width = view.crop
    scale = float(np.exp(rng.uniform(*np.log(view.scale))))
    rows, columns = sample.image.shape[:2]
    scale = max(scale, height / rows, width / columns)
    size = [max(height, round(rows * scale)), max(width, round(columns * scale))]
    top, left = (int(rng.integers(0, full - part + 1)) for full, part in zip(size, view.crop, strict=True))
    mirrored = view.mirror and rng.random() < 0.5
    focal = 1.0 if sample.intrinsics is None else sample.intrinsics.fx / training_fx

    def see(x: torch.Tensor) -> torch.Tensor:
        smooth = isinstance(x, tv_tensors.Image)
        mode = InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST_EXACT
        x = functional.resize(x, size, mode, antialias=smooth)
        x = functional.crop(x, top, left, height, width)
        return functional.horizontal_flip(x) if mirrored else x

    image = see(tv_tensors.Image(torch.from_numpy(sample.image).permute(2, 0, 1)))
    maps = {task: see(tv_tensors.Mask(x)) for task, x in _annotations(sample, tasks, view, focal * scale).items()}
    if 'depth' in maps:
        maps['depth'] = maps['depth'] / (focal * scale)
    if 'normals' in maps and mirrored:
        maps['normals'] = maps['normals'] * torch.tensor([-1.0, 1.0, 1.0])[:, None, None]
    return Example(_relight(image, view, rng), {task: x.as_subclass(torch.Tensor) for task, x in maps.items()})


def _annotations(sample: Sample, tasks: tuple[str, ...], view: ViewConfig, zoom: float) -> Targets:
    """The annotations of a sample, at its own size; normals are those of depth / `zoom`."""
    maps = {}
    if 'segmentation' in tasks and sample.labels is not None:
        maps['segmentation'] = torch.from_numpy(sample.labels)
    if 'depth' in tasks and sample.depth is not None:
        maps['depth'] = torch.from_numpy(sample.depth)
    if 'normals' in tasks and sample.depth is not None and sample.intrinsics is not None:
        normals = torch.from_numpy(normals_from_depth(sample.depth, sample.intrinsics, view.normals_window))
        # A surface z(x, y) becomes z / zoom: its gradient is divided, so its normal's z is multiplied.
        tilted = normals.permute(2, 0, 1) * torch.tensor([1.0, 1.0, zoom])[:, None, None]
        maps['normals'] = torch.nn.functional.normalize(tilted, dim=0)
    return maps


def _relight(image: torch.Tensor, view: ViewConfig, rng: np.random.Generator) -> torch.Tensor:
    """Another light and another camera: saturation, brightness, white balance, contrast."""

    def factor(spread: float, count: int = 1) -> torch.Tensor:
        return torch.from_numpy(rng.uniform(1 - spread, 1 + spread, count)).float()[:, None, None]

    light = image.as_subclass(torch.Tensor).float()
    gray = light.mean(dim=0, keepdim=True)
    light = gray + (light - gray) * factor(view.saturation)
    light = light * factor(view.brightness) * factor(view.white_balance, 3)
    mean = light.mean()
    light = mean + (light - mean) * factor(view.contrast)
    return light.round().clamp(0, 255).to(torch.uint8)


def collate(examples: list[Example], tasks: tuple[str, ...]) -> tuple[torch.Tensor, Targets, dict[str, int]]:
    """Stack examples of one size into a batch.

    Returns:
        Images uint8 N,3,h,w; targets N,... of every task, invalid everywhere in those images that lack them; by task,
        the number of images that have it.
    """
    height, width = examples[0].image.shape[1:]
    invalid = {
        'segmentation': torch.full((height, width), IGNORE_INDEX, dtype=torch.uint8),
        'depth': torch.zeros(height, width),
        'normals': torch.zeros(3, height, width),
    }
    targets = {task: torch.stack([e.targets.get(task, invalid[task]) for e in examples]) for task in tasks}
    annotated = {task: sum(task in e.targets for e in examples) for task in tasks}
    return torch.stack([e.image for e in examples]), targets, annotated
