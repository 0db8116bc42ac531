# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, each with one meaning."""

from pathlib import Path
from typing import Annotated

import typer

from mtperception.backends import BACKENDS, PRECISIONS
from mtperception.labels import MAX_LABEL_OFFSET

ModelOption = Annotated[str, typer.Option('--model', help='Model directory, or the name of an installed model.')]
BackendOption = Annotated[str, typer.Option('--backend', help=f'auto, {", ".join(BACKENDS)}.')]
DeviceOption = Annotated[str, typer.Option('--device', help='auto, cpu, cuda:N, or tensorrt:N with onnxruntime.')]
PrecisionOption = Annotated[str, typer.Option('--precision', help=f'{", ".join(PRECISIONS)}, or auto: fp32.')]
ImageTopicOption = Annotated[
    str, typer.Option('--image-topic', help='Image topic of a bag, raw or compressed; default: the first colour topic.')
]
CameraInfoTopicOption = Annotated[
    str, typer.Option('--camera-info-topic', help='Camera info topic; default: the one next to the images.')
]
CameraFileOption = Annotated[
    str,
    typer.Option(
        '--camera',
        metavar='FILE',
        help='ROS calibration file (camera_info YAML) for images whose camera is not known.',
        show_default='none',
    ),
]
DepthTopicOption = Annotated[
    str, typer.Option('--depth-topic', help='Depth topic, raw or compressedDepth; default: the nearest 16UC1 or 32FC1.')
]
LabelTopicOption = Annotated[
    str, typer.Option('--label-topic', help='Topic of recorded class ids, mono8 or PNG; default: none.')
]
PoseTopicOption = Annotated[
    str, typer.Option('--pose-topic', help='Pose topic, Odometry or PoseStamped; default: the nearest, or transforms.')
]
TruthSpaceOption = Annotated[
    str, typer.Option('--label-space', help="Label space of the label topic; default: the model's.")
]
LabelOffsetOption = Annotated[
    int, typer.Option('--label-offset', min=0, max=MAX_LABEL_OFFSET, help='Id of the first class in the label topic.')
]
ToleranceOption = Annotated[
    float,
    typer.Option(
        '--tolerance', min=0, max=3600, metavar='SECONDS', help='Largest time difference between messages of one frame.'
    ),
]
DepthRegisteredOption = Annotated[
    bool, typer.Option('--depth-registered', help='Treat depth as registered to the image, whatever its frame_id.')
]
JsonOption = Annotated[Path | None, typer.Option('--json', metavar='FILE', help='Write the result here.')]
MaxDepthOption = Annotated[
    float, typer.Option('--max-depth', min=0.1, max=1000, metavar='METRES', help='Leave out depth beyond this.')
]
CameraHeightOption = Annotated[
    float,
    typer.Option(
        '--camera-height',
        min=0,
        max=100,
        metavar='METRES',
        help='Camera height above the floor, to correct the depth scale; 0: off.',
    ),
]
EveryOption = Annotated[int, typer.Option('--every', min=1, help='Use every n-th image.')]
