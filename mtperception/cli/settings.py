# SPDX-License-Identifier: Apache-2.0
"""How a command reads recordings and runs a model, each as one record of options (`with_records`)."""

from dataclasses import dataclass, replace

from mtperception.card import DEFAULT_MODEL
from mtperception.cli.options import (
    BackendOption,
    CameraInfoTopicOption,
    DepthRegisteredOption,
    DepthTopicOption,
    DeviceOption,
    ImageTopicOption,
    LabelOffsetOption,
    LabelTopicOption,
    ModelOption,
    PoseTopicOption,
    PrecisionOption,
    ToleranceOption,
)
from mtperception.labels import DEFAULT_LABEL_OFFSET
from mtperception.predictor import Predictor
from mtperception.recording.recording_options import TOLERANCE, RecordingOptions
from mtperception.recording.topics import TopicRequest


@dataclass(frozen=True)
class ModelSettings:
    """Which model, and what runs it."""

    model: ModelOption = DEFAULT_MODEL
    backend: BackendOption = 'auto'
    device: DeviceOption = 'auto'
    precision: PrecisionOption = 'auto'

    def open(self, **options: object) -> Predictor:
        """Load it; `options` and errors as of `Predictor`."""
        return Predictor(self.model, self.backend, self.device, self.precision, **options)


@dataclass(frozen=True)
class BagSettings:
    """How the images, depth and poses of a bag are read."""

    image_topic: ImageTopicOption = ''
    camera_info_topic: CameraInfoTopicOption = ''
    depth_topic: DepthTopicOption = ''
    pose_topic: PoseTopicOption = ''
    tolerance: ToleranceOption = TOLERANCE
    depth_registered: DepthRegisteredOption = False

    @property
    def request(self) -> TopicRequest:
        """The topics that are asked for."""
        return TopicRequest(self.image_topic, self.camera_info_topic, self.depth_topic, pose=self.pose_topic)

    @property
    def options(self) -> RecordingOptions:
        """The same for who reads the bag."""
        return RecordingOptions(self.request, self.tolerance, depth_registered=self.depth_registered)


@dataclass(frozen=True)
class LabelledBagSettings(BagSettings):
    """The same, and how its labels are read."""

    label_topic: LabelTopicOption = ''
    label_offset: LabelOffsetOption = DEFAULT_LABEL_OFFSET

    @property
    def options(self) -> RecordingOptions:
        """The same for who reads the bag."""
        request = replace(self.request, labels=self.label_topic)
        return replace(super().options, request=request, label_offset=self.label_offset)
