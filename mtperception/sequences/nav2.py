# SPDX-License-Identifier: Apache-2.0
"""Parameters of Nav2's semantic segmentation layer: which classes cost what in a costmap."""

from pathlib import Path
from typing import Any

import yaml

from mtperception.errors import InputError
from mtperception.labels import OBSTACLE, TRAVERSABLE, LabelSpace

LAYER, CAMERA = 'semantic_segmentation_layer', 'camera'
COSTS = {TRAVERSABLE: 0, OBSTACLE: 254}
"""By class type: free space, and a lethal obstacle. What is overhead has no type: it leaves the costmap as it is."""
COMMENT = """\
# Classes of {space} for Nav2's semantic segmentation layer. Add {layer} to the plugins of the costmap
# and point_stride: 1 to the parameters of the perception node: the layer expects a point for every pixel.
"""


def write_nav2(path: Path, space: LabelSpace, offset: int) -> None:
    """Write the YAML file of parameters.

    The layer goes by the names of classes; the ids come from the topic `semantic/label_info`.

    Args:
        path: the file.
        space: names, and what they are to a vehicle.
        offset: from class indices to ids; only checked here.

    Raises:
        ValueError: if the label space does not say what its classes are to a vehicle, or an id does not fit into a
            byte.
        OSError: if the file cannot be written.
    """
    space.id_table(offset)
    if not space.navigation:
        raise InputError(
            f'label space {space.name} does not say what a vehicle can drive on: add `navigation:` with a list '
            f'{TRAVERSABLE!r} to its file, as config/labels/kitti_6.yaml has it'
        )
    types = {kind: space.navigation[kind] for kind in COSTS if space.navigation[kind]}
    source: dict[str, Any] = {
        'segmentation_topic': '/semantic/image',
        'confidence_topic': '/semantic/confidence',
        'labels_topic': '/semantic/label_info',
        'pointcloud_topic': '/points',
        'max_obstacle_distance': 5.0,
        'min_obstacle_distance': 0.3,
        'tile_map_decay_time': 5.0,
        'class_types': list(types),
    }
    source |= {kind: _class_type(names, COSTS[kind]) for kind, names in types.items()}
    layer = {
        'plugin': 'semantic_segmentation_layer::SemanticSegmentationLayer',
        'enabled': True,
        'observation_sources': CAMERA,
        CAMERA: source,
    }
    content = {'local_costmap': {'local_costmap': {'ros__parameters': {LAYER: layer}}}}
    text = COMMENT.format(space=Path(space.name).stem, layer=LAYER) + yaml.safe_dump(
        content, sort_keys=False, width=100
    )
    path.write_text(text, encoding='utf-8')


def _class_type(names: tuple[str, ...], cost: int) -> dict[str, Any]:
    """Classes with the same cost from their first observation on."""
    return {
        'classes': list(names),
        'base_cost': cost,
        'max_cost': cost,
        'mark_confidence': 0,
        'samples_to_max_cost': 0,
        'dominant_priority': False,
    }
