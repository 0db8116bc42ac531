# SPDX-License-Identifier: Apache-2.0
"""The parameters of the perception node: one table, which it declares and whose defaults hold without a node too."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from mtperception.backends import BACKENDS, PRECISIONS
from mtperception.card import DEFAULT_MODEL
from mtperception.labels import DEFAULT_INVALID_DEPTH_CLASSES, DEFAULT_LABEL_OFFSET, MAX_LABEL_OFFSET
from mtperception.messages.parameter_table import ParameterSpec, ParameterTable
from mtperception.types import DEPTH_SCALE_MODES, OUTPUT_SIZES

NODE_NAME = 'perception'
"""What the node is called unless it is renamed."""
MAX_SIDE = 8192
"""Largest side of `network_size`, pixels."""
DEFAULT_MASK_CLASSES = ('person', 'car')
PUBLISHED_DEPTH = ('32FC1', '16UC1')
IMAGE_TRANSPORTS = ('raw', 'compressed')
_CAMERA_NAME = re.compile(r'[A-Za-z]\w*(/[A-Za-z]\w*)*', re.ASCII)


def _problem_with_cameras(value: Sequence[str]) -> str:
    names = list(value)
    if names == ['']:
        return ''
    wrong = [name for name in names if not _CAMERA_NAME.fullmatch(name)]
    # Below a camera's name are its topics: another one's name must not be among them.
    nested = any(f'{name}/'.startswith(f'{other}/') for name, other in permutations(names, 2))
    if wrong or nested or not names:
        return f"cameras {names}: expected different names of topics, such as ['front', 'rear'], or [''] for one camera"
    return ''


def _problem_with_network_size(value: Sequence[int]) -> str:
    if len(value) != 2 or not all(0 <= side <= MAX_SIDE for side in value) or any(value) != all(value):
        return f'network_size {list(value)}: expected a width and a height up to {MAX_SIDE}, or [0, 0]'
    return ''


_SPECS = (
    ParameterSpec('model', DEFAULT_MODEL, 'Model directory, or the name of an installed model.'),
    ParameterSpec('backend', 'auto', 'Library that runs the model.', choices=('auto', *BACKENDS)),
    ParameterSpec('device', 'auto', 'auto, cpu, cuda:N, or tensorrt:N with onnxruntime.'),
    ParameterSpec(
        'precision', 'auto', 'Number format of the computation; auto is fp32.', choices=('auto', *PRECISIONS)
    ),
    ParameterSpec(
        'network_size',
        (0, 0),
        'Width and height of the network input: larger images are reduced, stretched or cut into tiles, as the model '
        "does it. 0, 0: the model's size.",
        limits=(0, MAX_SIDE),
        check=_problem_with_network_size,
    ),
    ParameterSpec(
        'output_size', 'input', 'Size of the maps: that of the image, or of the network input.', OUTPUT_SIZES
    ),
    ParameterSpec(
        'depth_encoding', '32FC1', 'Metres with NaN invalid, or millimetres with 0 invalid.', PUBLISHED_DEPTH, live=True
    ),
    ParameterSpec(
        'min_depth',
        0.0,
        'Nearer depth is invalid, in metres as published; 0: no limit but the range of the model.',
        limits=(0, 1000),
        live=True,
    ),
    ParameterSpec(
        'max_depth',
        0.0,
        'Farther depth is invalid, in metres as published; 0: no limit but the range of the model.',
        limits=(0, 1000),
        live=True,
    ),
    ParameterSpec('depth_scale', 1.0, 'Factor on the depth.', limits=(1e-3, 1e3), live=True),
    ParameterSpec(
        'depth_scale_mode',
        'focal',
        'focal: scale depth by the focal length in camera_info; none: do not.',
        DEPTH_SCALE_MODES,
        live=True,
    ),
    ParameterSpec(
        'camera_height',
        0.0,
        "Camera height above the floor in metres; used to correct each camera's depth scale; 0: off.",
        limits=(0, 100),
        live=True,
    ),
    ParameterSpec(
        'invalid_depth_classes',
        DEFAULT_INVALID_DEPTH_CLASSES,
        "Classes of the model's own label space without depth; the default where the space has it; '' is none.",
        live=True,
    ),
    ParameterSpec(
        'depth_edge_threshold',
        0.0,
        'Pixels at depth edges above this relative step are invalid; 0: off.',
        limits=(0, 10),
        live=True,
    ),
    ParameterSpec(
        'label_offset',
        DEFAULT_LABEL_OFFSET,
        'Published id = class index + this; unknown is 0, or 255 with offset 0.',
        limits=(0, MAX_LABEL_OFFSET),
        live=True,
    ),
    ParameterSpec('label_space', '', "A grouping of the model's classes, such as nyuv2_13; empty: none.", live=True),
    ParameterSpec(
        'mask_classes',
        DEFAULT_MASK_CLASSES,
        "Classes of the model's own label space that semantic/mask marks with 255; '' marks none.",
        live=True,
    ),
    ParameterSpec('confidence_threshold', 0.0, 'Pixels of lower confidence become unknown.', limits=(0, 1), live=True),
    ParameterSpec(
        'depth_confidence_threshold',
        0.0,
        'Depth below this confidence is invalid, if the model gives a depth confidence.',
        limits=(0, 1),
        live=True,
    ),
    ParameterSpec('overlay_alpha', 0.5, 'Opacity of the labels in overlay/image.', limits=(0, 1), live=True),
    ParameterSpec('point_stride', 4, 'Every n-th pixel in both directions becomes a point.', limits=(1, 64), live=True),
    ParameterSpec(
        'cameras',
        ('',),
        "Names of several cameras, whose topics become <camera>/image and so on; '': one camera without a name.",
        check=_problem_with_cameras,
    ),
    ParameterSpec('image_transport', 'raw', 'raw: image; compressed: image/compressed.', IMAGE_TRANSPORTS),
    ParameterSpec(
        'memory_budget',
        0,
        'Memory for prepared image sizes, MB; 0: a quarter of what is available.',
        limits=(0, 1_000_000),
    ),
    ParameterSpec(
        'max_rate',
        0.0,
        'Largest number of frames per second for each camera; 0: no limit.',
        limits=(0, 1000),
        live=True,
    ),
    ParameterSpec(
        'min_output_rate',
        0.0,
        'Diagnostics warn below this many frames per second of a camera; 0: off.',
        limits=(0, 1000),
        live=True,
    ),
    ParameterSpec('warm_up_iterations', 3, 'Runs on configure, after the self-test.', limits=(0, 1000)),
    ParameterSpec('autostart', True, 'Configure and activate by itself; off under a lifecycle manager.', fixed=True),
)


@dataclass(frozen=True)
class Settings:
    """The values of all parameters; see PARAMETERS for what each means."""

    model: str
    backend: str
    device: str
    precision: str
    network_size: tuple[int, int]
    output_size: str
    depth_encoding: str
    min_depth: float
    max_depth: float
    depth_scale: float
    depth_scale_mode: str
    camera_height: float
    invalid_depth_classes: tuple[str, ...]
    depth_edge_threshold: float
    label_offset: int
    label_space: str
    mask_classes: tuple[str, ...]
    confidence_threshold: float
    depth_confidence_threshold: float
    overlay_alpha: float
    point_stride: int
    cameras: tuple[str, ...]
    image_transport: str
    memory_budget: int
    max_rate: float
    min_output_rate: float
    warm_up_iterations: int
    autostart: bool


PARAMETERS = ParameterTable(_SPECS, Settings)
"""The node's table."""


def default_settings() -> Settings:
    """The defaults of the node."""
    return PARAMETERS.defaults()
