# SPDX-License-Identifier: Apache-2.0
"""What is known of a model from the images that it was compared on so far."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtperception.evaluation.depth_profile import DepthProfile
from mtperception.evaluation.metrics import METRICS
from mtperception.evaluation.running_sum import RunningSum
from mtperception.tasks import TASKS, in_order
from mtperception.types import Prediction, Sample


@dataclass(frozen=True)
class ImageScore:
    """The metrics of one image."""

    index: int
    """Position in the data set."""
    id: str
    metrics: Mapping[str, float]
    """By name; those of tasks that the image has no truth for are missing."""
    depth_pixels: int = 0
    """Pixels with a true depth, if depth was compared."""


class Scores:
    """Sums, scores by image, and facts for the protocol; those of parts merge to those of the whole, to the last bit.

    Args:
        num_classes: of the truth; 0 without labels.
        furthest: metres, the end of the model's range of depth.
    """

    def __init__(self, num_classes: int, furthest: float) -> None:
        self._num_classes = num_classes
        self.totals: dict[str, RunningSum] = {}
        """By accumulator (`tasks.Measure`); only those of tasks that something was compared for."""
        self.images: list[ImageScore] = []
        """In the order in which they were added."""
        self.failed: dict[str, str] = {}
        """Why a sample could not be used, by id."""
        self.depth_profile = DepthProfile(furthest)
        self.sizes: set[tuple[int, int]] = set()
        """Width and height of images."""
        self.with_camera = 0
        """Images that have a camera."""
        self.depth_pixels = np.zeros(2, np.int64)
        """int64 2: pixels with a true depth, and all pixels of the images that have one."""

    def add(
        self, index: int, name: str, sample: Sample, prediction: Prediction, sums: Mapping[str, RunningSum]
    ) -> None:
        """Add an image.

        Args:
            index: its position in the data set.
            name: its id.
            sample: image and truth.
            prediction: of the model.
            sums: over this image alone, by accumulator; at least one.
        """
        values = {key: value for metrics in sums.values() for key, value in metrics.compute().items()}
        pixels = int(np.count_nonzero(sample.valid_mask)) if 'metres' in sums else 0
        self.images.append(ImageScore(index, name, values, pixels))
        self._merge_totals(sums)
        self.sizes.add(sample.image.shape[1::-1])
        self.with_camera += sample.intrinsics is not None
        if 'metres' in sums:
            self.depth_profile.update(prediction.depth, sample.depth)
            self.depth_pixels += pixels, sample.depth.size

    def merge(self, other: 'Scores') -> None:
        """Add the images of another part of the data set."""
        self._merge_totals(other.totals)
        self.images += other.images
        self.failed |= other.failed
        self.depth_profile.merge(other.depth_profile)
        self.sizes |= other.sizes
        self.with_camera += other.with_camera
        self.depth_pixels += other.depth_pixels

    def metrics(self) -> dict[str, dict[str, float]]:
        """By task, in the table's order, then by name; only tasks that something was compared for."""
        return metrics_by_task(TASKS, self.totals)

    def state(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            'totals': {name: metrics.state() for name, metrics in self.totals.items()},
            'images': [[image.index, image.id, dict(image.metrics), image.depth_pixels] for image in self.images],
            'failed': self.failed,
            'depth_profile': self.depth_profile.state(),
            'sizes': sorted(map(list, self.sizes)),
            'with_camera': self.with_camera,
            'depth_pixels': self.depth_pixels.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the scores that a state was taken of.

        Raises:
            ValueError, KeyError: if it is of something else.
        """
        for name, sums in state['totals'].items():
            self.totals[name] = METRICS[name](self._num_classes)
            self.totals[name].restore(sums)
        self.images = [ImageScore(*image) for image in state['images']]
        self.failed = dict(state['failed'])
        self.depth_profile.restore(state['depth_profile'])
        self.sizes = set(map(tuple, state['sizes']))
        self.with_camera = state['with_camera']
        self.depth_pixels[:] = state['depth_pixels']

    def _merge_totals(self, totals: Mapping[str, RunningSum]) -> None:
        for name, metrics in totals.items():
            self.totals.setdefault(name, METRICS[name](self._num_classes)).merge(metrics)


def metrics_by_task(tasks: Iterable[str], totals: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """What sums come to: by task, in the table's order, then by name; only tasks that something was compared for.

    Args:
        tasks: the tasks to look for.
        totals: sums by accumulator (`tasks.Measure.accumulator`).
    """
    return {
        task.name: {
            name: value for measure in task.measures for name, value in totals[measure.accumulator].compute().items()
        }
        for task in in_order(tasks)
        if task.measures[0].accumulator in totals
    }
