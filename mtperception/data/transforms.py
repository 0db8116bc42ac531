# SPDX-License-Identifier: Apache-2.0
"""Random views of a sample for training: scale, crop, mirror and light, the same for the image and all its maps."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torchvision.transforms.v2 import InterpolationMode, functional

from mtperception.data.camera_rotation import rotated
from mtperception.input_policy import InputPolicy, Layout, TrainingCamera, focal_ratios, seen_focal_lengths
from mtperception.labels import IGNORE_INDEX
from mtperception.tasks import TASKS, Target, Task, in_order
from mtperception.types import Intrinsics, Sample

Targets = dict[str, torch.Tensor]
"""By task, h,w or, of several channels, C,h,w: `segmentation` uint8 (255 unknown), `depth` float32 (metres, 0 invalid),
`normals` float32 of 3 channels (unit vectors, 0 invalid), `depth_confidence` as `depth`."""
GREY = (124, 116, 104)
"""ImageNet's mean colour: outside of an image, before its light is changed."""


@dataclass
class ViewConfig:
    """How a training image is looked at."""

    scale: list[float] = field(default_factory=lambda: [0.9, 1.7])
    """Smallest and largest factor on the size at which the model sees the image, drawn log-uniformly. A view that the
    image does not fill is padded, without annotations there."""
    crop: list[int] = field(default_factory=lambda: [320, 320])
    """Height and width in pixels."""
    class_balance: float = 0.0
    """Share of the views that are placed on a class, each of those in the image being as likely: small things and rare
    classes are seen more often. It needs labels."""
    copy_paste: float = 0.0
    """Share of the views of images with labels that are to get a thing of another image of the same data set. One that
    has no thing that fits, or would be hidden, gives none."""
    pitch: float = 0.0
    """Largest angle, degrees, that the camera is tilted by, up or down; a view then shows what it would have seen."""
    roll: float = 0.0
    """Likewise about the optical axis."""
    mirror: bool = True
    brightness: float = 0.3
    """Largest relative change of the image; likewise the following."""
    contrast: float = 0.2
    saturation: float = 0.3
    white_balance: float = 0.08
    """Largest change of each colour channel by itself."""
    normals_window: int = 15
    """Pixels of the window that planes are fitted over for the normals."""


@dataclass(frozen=True)
class Example:
    """What the network is shown, and what it should have said."""

    image: torch.Tensor
    """uint8 3,h,w, RGB."""
    targets: Targets
    """Targets of the tasks that the sample has annotations for."""


def random_view(
    sample: Sample,
    tasks: tuple[str, ...],
    view: ViewConfig,
    camera: TrainingCamera,
    policy: InputPolicy,
    rng: np.random.Generator,
) -> Example:
    """One random view of a sample.

    The network judges distance by size in pixels. An image that is enlarged by s looks like one taken from nearer, or
    with a longer lens: its depth is divided by s, and by the ratio of its camera's focal length to the training
    camera's, so that all views are of one camera. Divided depth tilts planes: normals are those of the divided depth.
    Where the model's images are stretched, so are the views, by the rules that predictions follow (`input_policy`).

    Args:
        sample: image, and the annotations that it has.
        tasks: those wanted; of them a view has the targets whose `tasks.Target.needs` the sample has.
        view: how random it is.
        camera: what depth is learnt for; without intrinsics the sample's camera is taken to be that one.
        policy: how the model will see images.
        rng: decides; the same generator state gives the same view.
    """
    rows, columns = sample.image.shape[:2]
    layout = policy.training_layout(columns, rows)
    if view.pitch or view.roll:
        sample = _turned(sample, view, layout, seen_focal_lengths(camera, policy), rng)
    scale = float(np.exp(rng.uniform(*np.log(view.scale))))
    columns, rows = layout.plane
    size = [max(1, round(rows * scale)), max(1, round(columns * scale))]
    free = [full - part for full, part in zip(size, view.crop, strict=True)]
    top, left = (int(rng.integers(min(0, space), max(0, space) + 1)) for space in free)
    if view.class_balance and 'segmentation' in tasks and sample.labels is not None:
        top, left = _on_a_class(sample.labels, size, view, rng) or (top, left)
    mirrored = view.mirror and rng.random() < 0.5
    focal = (1.0, 1.0) if sample.intrinsics is None else focal_ratios(sample.intrinsics, layout, camera, policy)
    zoom = focal[0] * scale, focal[1] * scale

    def see(x: torch.Tensor, smooth: bool, outside: float | Sequence[float]) -> torch.Tensor:
        mode = InterpolationMode.BILINEAR if smooth else InterpolationMode.NEAREST_EXACT
        x = _window(functional.resize(x, size, mode, antialias=smooth), top, left, view.crop, outside)
        return functional.horizontal_flip(x) if mirrored else x

    def target(task: Task) -> torch.Tensor:
        map_ = torch.from_numpy(task.target.read(sample, zoom, view.normals_window))
        if task.target.channels == 1:
            return see(map_[None], False, task.target.invalid)[0]
        seen = see(map_.permute(2, 0, 1), False, task.target.invalid)
        return seen * torch.tensor(task.target.mirror)[:, None, None] if mirrored else seen

    image = see(torch.from_numpy(sample.image).permute(2, 0, 1), True, GREY)
    targets = {task.name: target(task) for task in in_order(tasks) if task.target.is_in(sample)}
    return Example(_relight(image, view, rng), targets)


def _turned(
    sample: Sample, view: ViewConfig, layout: Layout, focal: tuple[float, float | None], rng: np.random.Generator
) -> Sample:
    """The sample as seen by its camera at another angle; without intrinsics it is seen with these focal lengths."""
    pitch, roll = np.radians([rng.uniform(-largest, largest) for largest in (view.pitch, view.roll)])
    (width, height), plane = layout.image, layout.plane
    fx = focal[0] * width / plane[0]
    fy = fx if focal[1] is None else focal[1] * height / plane[1]
    own = sample.intrinsics or Intrinsics(fx, fy, (width - 1) / 2, (height - 1) / 2, width, height)
    return rotated(sample, own, pitch, roll, GREY)


def _window(
    x: torch.Tensor, top: int, left: int, crop: Sequence[int], outside: float | Sequence[float]
) -> torch.Tensor:
    """...,height,width of ...,H,W from a corner on, which may be negative; what lies outside of it has a value."""
    height, width = crop
    below, right = max(0, top + height - x.shape[-2]), max(0, left + width - x.shape[-1])
    padding = [max(0, -left), max(0, -top), right, below]
    x = functional.pad(x, padding, fill=outside) if any(padding) else x
    return functional.crop(x, max(0, top), max(0, left), height, width)


def _on_a_class(
    labels: np.ndarray, size: list[int], view: ViewConfig, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Top and left of a crop, of an image of this height and width, that shows a pixel of a class; or none."""
    classes = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)[:IGNORE_INDEX])
    if not classes.size or rng.random() >= view.class_balance:
        return None
    pixels = np.argwhere(labels == rng.choice(classes))
    pixel = (pixels[rng.integers(len(pixels))] + 0.5) * size / labels.shape
    free = [full - part for full, part in zip(size, view.crop, strict=True)]
    first = [max(min(0, space), int(at) - part + 1) for at, space, part in zip(pixel, free, view.crop, strict=True)]
    last = [min(max(0, space), int(at)) for at, space in zip(pixel, free, strict=True)]
    top, left = (int(rng.integers(low, high + 1)) for low, high in zip(first, last, strict=True))
    return top, left


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


def _invalid(target: Target, height: int, width: int) -> torch.Tensor:
    """A target without truth anywhere."""
    shape = (height, width) if target.channels == 1 else (target.channels, height, width)
    return torch.full(shape, target.invalid, dtype=getattr(torch, target.dtype))


def _has_truth(example: Example, task: str) -> bool:
    """Whether a view shows anything that is annotated: a loss of no pixel teaches nothing."""
    target = example.targets.get(task)
    return target is not None and bool((target != TASKS[task].target.invalid).any())


def collate(examples: list[Example], tasks: tuple[str, ...]) -> tuple[torch.Tensor, Targets, dict[str, int]]:
    """Stack examples of one size into a batch.

    Returns:
        Images uint8 N,3,h,w; targets N,... of every task, invalid everywhere in those images that lack them; by task,
        the number of images that have it somewhere.
    """
    height, width = examples[0].image.shape[1:]
    invalid = {task: _invalid(TASKS[task].target, height, width) for task in tasks}
    targets = {task: torch.stack([e.targets.get(task, invalid[task]) for e in examples]) for task in tasks}
    annotated = {task: sum(_has_truth(e, task) for e in examples) for task in tasks}
    return torch.stack([e.image for e in examples]), targets, annotated
