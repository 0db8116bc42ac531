# SPDX-License-Identifier: Apache-2.0
"""The parameters of the mapping node."""

from dataclasses import dataclass

from mtperception.labels import DEFAULT_INVALID_DEPTH_CLASSES, DEFAULT_LABEL_OFFSET, MAX_LABEL_OFFSET
from mtperception.mapping.filtering import DEFAULT_DYNAMIC_CLASSES
from mtperception.mapping.fusion import RULES
from mtperception.mapping.mapper import MAX_MIN_VIEWS, MEMORY_LIMITS, RECORDED, MapOptions
from mtperception.messages.parameter_table import ParameterSpec, ParameterTable
from mtperception.messages.parameters import IMAGE_TRANSPORTS
from mtperception.types import SENSOR

NODE_NAME = 'mapping'
TF, ODOMETRY, POSE_STAMPED = 'tf', 'odometry', 'pose_stamped'
POSE_SOURCES = (TF, ODOMETRY, POSE_STAMPED)
_MAP = MapOptions()

_SPECS = (
    ParameterSpec('label_space', 'nyuv2_40', 'Classes that the ids on semantic/image stand for.'),
    ParameterSpec(
        'label_offset',
        DEFAULT_LABEL_OFFSET,
        'Id of the first class, as of the perception node.',
        limits=(0, MAX_LABEL_OFFSET),
    ),
    ParameterSpec('map_frame', 'map', 'Frame of the map; a pose topic must give poses in it.'),
    ParameterSpec(
        'pose_source',
        TF,
        'tf: map_frame to the frame of the images (needs tf2_ros_py); else the type on the topic pose.',
        choices=POSE_SOURCES,
    ),
    ParameterSpec(
        'pose_tolerance',
        0.05,
        'Largest gap from a frame to a pose, seconds, where poses are not interpolated.',
        limits=(0, 10),
    ),
    ParameterSpec('voxel_size', _MAP.voxel_size, 'Metres.', limits=(0.005, 1)),
    ParameterSpec('max_depth', _MAP.max_depth, 'Metres; depth beyond this is left out.', limits=(0.1, 1000)),
    ParameterSpec('fusion', _MAP.fusion, 'How views agree on a class.', choices=tuple(RULES)),
    ParameterSpec('kept_classes', _MAP.kept_classes, 'Classes stored per voxel; 0: all.', limits=(0, 255)),
    ParameterSpec('memory_mb', _MAP.memory_mb, 'Limit of the map; the oldest parts are dropped.', limits=MEMORY_LIMITS),
    ParameterSpec(
        'max_distance', 0.0, 'Drop parts of the map farther from the camera, metres; 0: off.', limits=(0, 1e6)
    ),
    ParameterSpec(
        'archive_folder',
        '',
        "Folder for blocks dropped by memory_mb or max_distance; they return when seen again; '' discards them.",
    ),
    ParameterSpec(
        'min_views', _MAP.min_views, 'Publish only what this many frames have seen.', limits=(1, MAX_MIN_VIEWS)
    ),
    ParameterSpec(
        'dynamic_classes',
        DEFAULT_DYNAMIC_CLASSES,
        "Classes that are never mapped, where the label space has them; '' for none.",
    ),
    ParameterSpec(
        'invalid_depth_classes',
        DEFAULT_INVALID_DEPTH_CLASSES,
        "Classes without a surface, where the label space has them; '' for none.",
    ),
    ParameterSpec(
        'depth_edge_threshold',
        _MAP.depth_edge_threshold,
        'Leave out pixels at depth edges above this relative step; 0: off.',
        limits=(0, 10),
    ),
    ParameterSpec(
        'camera_height',
        0.0,
        'Camera height above the floor in metres; used to correct the depth scale; 0: off.',
        limits=(0, 100),
    ),
    ParameterSpec('use_image', True, 'Colour the map by the topic image, where it is published.'),
    ParameterSpec('image_transport', 'raw', 'Subscribe to image, or to image/compressed.', choices=IMAGE_TRANSPORTS),
    ParameterSpec('publish_period', 1.0, 'Seconds between publications, if the map changed.', limits=(0.05, 3600)),
    ParameterSpec(
        'save_folder',
        'map',
        "Where map/save writes; an earlier map there is replaced. A relative one is below the node's namespace.",
    ),
    ParameterSpec('autostart', True, 'Configure and activate by itself; off under a lifecycle manager.', fixed=True),
)


@dataclass(frozen=True)
class MappingSettings:
    """The values of all parameters; see PARAMETERS for what each means."""

    label_space: str
    label_offset: int
    map_frame: str
    pose_source: str
    pose_tolerance: float
    voxel_size: float
    max_depth: float
    fusion: str
    kept_classes: int
    memory_mb: float
    max_distance: float
    archive_folder: str
    min_views: int
    dynamic_classes: tuple[str, ...]
    invalid_depth_classes: tuple[str, ...]
    depth_edge_threshold: float
    camera_height: float
    use_image: bool
    image_transport: str
    publish_period: float
    save_folder: str
    autostart: bool

    @property
    def options(self) -> MapOptions:
        """Options of the map."""
        return MapOptions(
            depth=SENSOR,
            labels=RECORDED,
            voxel_size=self.voxel_size,
            max_depth=self.max_depth,
            fusion=self.fusion,
            kept_classes=self.kept_classes,
            memory_mb=self.memory_mb,
            archive=self.archive_folder,
            min_views=self.min_views,
            dynamic_classes=self.dynamic_classes,
            invalid_depth_classes=self.invalid_depth_classes,
            depth_edge_threshold=self.depth_edge_threshold,
            camera_height=self.camera_height,
        )


PARAMETERS = ParameterTable(_SPECS, MappingSettings)
"""The node's table."""
