# SPDX-License-Identifier: Apache-2.0
"""How a recording is to be read."""

from dataclasses import dataclass, field

from mtperception.labels import DEFAULT_LABEL_OFFSET
from mtperception.recording.topics import TopicRequest

TOLERANCE = 0.02
"""Seconds: default of how far the stamps of a pair may be apart."""


@dataclass(frozen=True)
class RecordingOptions:
    """What a user may say about a recording; the same for all that read one."""

    request: TopicRequest = field(default_factory=TopicRequest)
    """Names of topics; what is not named is found."""
    tolerance: float = TOLERANCE
    """Seconds that the stamps of an image and of what belongs to it may be apart."""
    label_offset: int = DEFAULT_LABEL_OFFSET
    """Id of the first class in the label topic."""
    depth_registered: bool = False
    """Whether depth is registered to the image whatever its frame_id says."""


DEFAULTS = RecordingOptions()
"""Everything found, as recorded."""
