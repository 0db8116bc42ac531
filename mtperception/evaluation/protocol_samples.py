# SPDX-License-Identifier: Apache-2.0
"""A data set as the protocol of a paper has it: in its classes, at its size."""

from dataclasses import replace

from mtperception.data import Dataset
from mtperception.errors import InputError
from mtperception.evaluation.grouped_truth import GroupedTruth
from mtperception.evaluation.paper_protocols import PaperProtocol
from mtperception.input_policy import Size, resize_image, resize_nearest
from mtperception.labels import load_label_space
from mtperception.types import Sample


def as_in_protocol(dataset: Dataset, protocol: PaperProtocol | None) -> Dataset:
    """A data set in the classes and at the size of a protocol; without one, as it is.

    Raises:
        InputError: if the protocol measures labels, which the data set has in other classes.
    """
    if protocol and protocol.label_space:
        dataset = GroupedTruth(dataset, load_label_space(protocol.label_space))
        if dataset.label_space not in ('', protocol.label_space):
            raise InputError(
                f'labels of {dataset.label_space}, which the protocol compares in the classes of '
                f'{protocol.label_space}: expected a data set of {protocol.label_space}, or of classes that are '
                'grouped into it'
            )
    return ResizedSamples(dataset, protocol.size) if protocol and protocol.size else dataset


class ResizedSamples:
    """A data set whose samples are brought to one size.

    Labels and depth are those of the nearest pixel: nothing is mixed across a border or with a hole. The camera is
    resized with the image; depth stays in metres.

    Args:
        dataset: images and truth.
        size: width and height.
    """

    def __init__(self, dataset: Dataset, size: Size) -> None:
        self._dataset = dataset
        self._size = size
        self.ids = dataset.ids
        self.label_space = dataset.label_space

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises as the data set does."""
        sample = self._dataset[index]
        truth = {name: getattr(sample, name) for name in ('labels', 'depth')}
        return replace(
            sample,
            image=resize_image(sample.image, self._size),
            intrinsics=sample.intrinsics and sample.intrinsics.resized(*self._size),
            **{name: None if map_ is None else resize_nearest(map_, self._size) for name, map_ in truth.items()},
        )
