"""The node's parameters: one table, from which they are declared, checked and read."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from mtperception.backends import BACKENDS, PRECISIONS
from mtperception.labels import DEFAULT_LABEL_OFFSET
from mtperception.predictor import DEPTH_SCALE_MODES, OUTPUT_SIZES

DEFAULT_MASK_CLASSES = ('person', 'car')
DEPTH_ENCODINGS = ('32FC1', '16UC1')
IMAGE_TRANSPORTS = ('raw', 'compressed')


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter."""

    name: str
    default: str | bool | int | float | tuple[str, ...] | tuple[int, ...]
    description: str
    choices: tuple[str, ...] = ()
    """Allowed values of a text."""
    limits: tuple[float, float] | None = None
    """Smallest and largest number (of each element of a list)."""
    live: bool = False
    """Whether it can change while the node is configured."""
    fixed: bool = False
    """Whether it is read once, when the process starts."""


PARAMETERS = (
    ParameterSpec('model', 'nyuv2_indoor', 'Model directory, or the name of an installed model.'),
    ParameterSpec('backend', 'auto', 'Library that runs the model.', choices=('auto', *BACKENDS)),
    ParameterSpec('device', 'auto', 'auto, cpu, cuda:N, or tensorrt:N with onnxruntime.'),
    ParameterSpec('precision', 'auto', 'Arithmetic; auto is fp32.', choices=('auto', *PRECISIONS)),
    ParameterSpec(
        'network_size',
        (0, 0),
        'Width and height that larger images are reduced to; 0, 0 is the size of the training images.',
        limits=(0, 8192),
    ),
    ParameterSpec('output_size', 'input', 'Size of the maps: of the image, or of what the network saw.', OUTPUT_SIZES),
    ParameterSpec(
        'depth_encoding', '32FC1', 'Metres with NaN invalid, or millimetres with 0 invalid.', DEPTH_ENCODINGS, live=True
    ),
    ParameterSpec(
        'min_depth',
        0.0,
        'Nearer depth is invalid, in metres; 0 is the limit of the model.',
        limits=(0, 1000),
        live=True,
    ),
    ParameterSpec(
        'max_depth',
        0.0,
        'Farther depth is invalid, in metres; 0 is the limit of the model.',
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
        'label_offset',
        DEFAULT_LABEL_OFFSET,
        'Published id = class index + this; unknown is 0, or 255 with offset 0.',
        limits=(0, 253),
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
    ParameterSpec('overlay_alpha', 0.5, 'Share of the labels in overlay/image.', limits=(0, 1), live=True),
    ParameterSpec('point_stride', 4, 'Every n-th pixel in both directions becomes a point.', limits=(1, 64), live=True),
    ParameterSpec('image_transport', 'raw', 'raw: image; compressed: image/compressed.', IMAGE_TRANSPORTS),
    ParameterSpec('max_rate', 0.0, 'Frames per second at most; 0: as many as come.', limits=(0, 1000), live=True),
    ParameterSpec(
        'min_output_rate',
        0.0,
        'Diagnostics warn below this many frames per second; 0: off.',
        limits=(0, 1000),
        live=True,
    ),
    ParameterSpec('warm_up_iterations', 3, 'Runs on configure, after the self-test.', limits=(0, 1000)),
    ParameterSpec('autostart', True, 'Configure and activate by itself; off under a lifecycle manager.', fixed=True),
)
_BY_NAME = {spec.name: spec for spec in PARAMETERS}
_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAY_TYPES = {int: ParameterType.PARAMETER_INTEGER_ARRAY, str: ParameterType.PARAMETER_STRING_ARRAY}


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
    label_offset: int
    label_space: str
    mask_classes: tuple[str, ...]
    confidence_threshold: float
    overlay_alpha: float
    point_stride: int
    image_transport: str
    max_rate: float
    min_output_rate: float
    warm_up_iterations: int
    autostart: bool


def declare(node: Node, specs: Sequence[ParameterSpec] = PARAMETERS) -> dict[str, str]:
    """Declare every parameter, with its description and range.

    Returns:
        By name, what is wrong with overrides that do not fit: those parameters have their defaults, and the node must
        not be configured before they are set.
    """
    problems = {}
    for spec in specs:
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        try:
            node.declare_parameter(spec.name, default, _descriptor(spec))
        except (InvalidParameterValueException, InvalidParameterTypeException) as error:
            node.declare_parameter(spec.name, default, _descriptor(spec), ignore_override=True)
            problems[spec.name] = f'{" ".join(str(error).split())}: {_expected(spec)}'
    return problems


def read(node: Node) -> Settings:
    """The current values.

    Raises:
        ValueError: for a value that cannot be; says what was found and what is expected.
    """
    return settings_from({spec.name: node.get_parameter(spec.name).value for spec in PARAMETERS})


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Settings of values by name; raises ValueError as `read` does."""
    problems = [problem for spec in PARAMETERS if (problem := _problem(spec, values[spec.name]))]
    if problems:
        raise ValueError('; '.join(problems))
    return Settings(
        **{spec.name: tuple(values[spec.name]) if _is_list(spec) else values[spec.name] for spec in PARAMETERS}
    )


def check(changes: Sequence[Parameter]) -> None:
    """Check single values while the node is not configured; raises ValueError as `read` does."""
    problems = [_problem(_BY_NAME[change.name], change.value) for change in changes if change.name in _BY_NAME]
    if any(problems):
        raise ValueError('; '.join(filter(None, problems)))


def with_changes(settings: Settings, changes: Sequence[Parameter]) -> Settings:
    """Settings after a change while the node is configured.

    Raises:
        ValueError: for a value that cannot be, or a parameter that is read on configure only.
    """
    known = [change for change in changes if change.name in _BY_NAME]
    fixed = [change.name for change in known if not _BY_NAME[change.name].live]
    if fixed:
        raise ValueError(f'{", ".join(fixed)} is read on configure: clean the node up, set it and configure it again')
    return settings_from(asdict(settings) | {change.name: change.value for change in known})


def _is_list(spec: ParameterSpec) -> bool:
    return isinstance(spec.default, tuple)


def _expected(spec: ParameterSpec) -> str:
    """What a value must be, in words."""
    kind = type(spec.default[0] if _is_list(spec) else spec.default).__name__
    limits = f' from {spec.limits[0]} to {spec.limits[1]}' if spec.limits else ''
    return f'expected {"a list of " if _is_list(spec) else ""}{kind}{limits}'


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    first = spec.default[0] if _is_list(spec) else spec.default
    types = _ARRAY_TYPES if _is_list(spec) else _TYPES
    descriptor = ParameterDescriptor(
        name=spec.name, type=types[type(first)], description=spec.description, read_only=spec.fixed
    )
    if spec.choices:
        descriptor.additional_constraints = f'one of {", ".join(spec.choices)}'
    elif not (spec.live or spec.fixed):
        descriptor.additional_constraints = 'read on configure'
    if spec.limits and isinstance(spec.default, float):
        # A whole number in a float field is sent as other bits: convert.
        low, high = map(float, spec.limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif spec.limits:
        low, high = map(int, spec.limits)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor


def _problem(spec: ParameterSpec, value: Any) -> str:
    """What is wrong with a value; empty if nothing."""
    if spec.choices and value not in spec.choices:
        return f'{spec.name} {value!r}: expected one of {", ".join(spec.choices)}'
    if spec.name == 'network_size':
        low, high = spec.limits
        if len(value) != 2 or not all(low <= side <= high for side in value) or any(value) != all(value):
            return f'network_size {list(value)}: expected a width and a height up to {high}, or [0, 0]'
    return ''
