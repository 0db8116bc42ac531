# SPDX-License-Identifier: Apache-2.0
"""The parameters of Nav2's semantic segmentation layer, as the layer reads them."""

import pytest
import yaml
from spaces import SMALL, small_space

from mtperception import resources
from mtperception.labels import load_label_space
from mtperception.sequences.nav2 import write_nav2

GOLDEN = b"""\
# Classes of small for Nav2's semantic segmentation layer. Add semantic_segmentation_layer to the plugins of the costmap
# and point_stride: 1 to the parameters of the perception node: the layer expects a point for every pixel.
local_costmap:
  local_costmap:
    ros__parameters:
      semantic_segmentation_layer:
        plugin: semantic_segmentation_layer::SemanticSegmentationLayer
        enabled: true
        observation_sources: camera
        camera:
          segmentation_topic: /semantic/image
          confidence_topic: /semantic/confidence
          labels_topic: /semantic/label_info
          pointcloud_topic: /points
          max_obstacle_distance: 5.0
          min_obstacle_distance: 0.3
          tile_map_decay_time: 5.0
          class_types:
          - traversable
          - obstacle
          traversable:
            classes:
            - floor mat
            base_cost: 0
            max_cost: 0
            mark_confidence: 0
            samples_to_max_cost: 0
            dominant_priority: false
          obstacle:
            classes:
            - wall
            base_cost: 254
            max_cost: 254
            mark_confidence: 0
            samples_to_max_cost: 0
            dominant_priority: false
"""
SOURCE_DEFAULTS = {
    'segmentation_topic': '',
    'confidence_topic': '',
    'labels_topic': '',
    'pointcloud_topic': '',
    'observation_persistence': 0.0,
    'expected_update_rate': 0.0,
    'max_obstacle_distance': 5.0,
    'min_obstacle_distance': 0.3,
    'tile_map_decay_time': 5.0,
    'visualize_tile_map': False,
    'use_cost_selection': True,
    'class_types': [],
}
TYPE_DEFAULTS = {
    'classes': [],
    'base_cost': 0,
    'max_cost': 0,
    'mark_confidence': 0,
    'samples_to_max_cost': 0,
    'dominant_priority': False,
}


def declared(given, defaults):
    """The values of declared parameters; in ROS one of another type than its default is an error."""
    for name, default in defaults.items():
        assert type(given.get(name, default)) is type(default), name
    return {name: given.get(name, default) for name, default in defaults.items()}


def read_costs(path):
    """Costs of the classes, by name.

    As github.com/kiwicampus/semantic_segmentation_layer (a70cf6e), src/semantic_segmentation_layer.cpp, onInitialize.
    """
    layers = yaml.safe_load(path.read_text(encoding='utf-8'))['local_costmap']['local_costmap']['ros__parameters']
    costs = {}
    for layer in layers.values():
        assert declared(layer, {'plugin': '', 'enabled': True, 'observation_sources': ''}) == {
            'plugin': 'semantic_segmentation_layer::SemanticSegmentationLayer',
            'enabled': True,
            'observation_sources': 'camera',
        }
        for source in layer['observation_sources'].split():
            settings = declared(layer[source], SOURCE_DEFAULTS)
            assert set(layer[source]) <= {*settings, *settings['class_types']}, 'all are known to the layer'
            assert settings['class_types'], 'the layer ends the program without them'
            for class_type in settings['class_types']:
                values = declared(layer[source][class_type], TYPE_DEFAULTS)
                assert set(layer[source][class_type]) <= set(TYPE_DEFAULTS)
                assert values['classes'], 'no classes defined on a type'
                costs |= dict.fromkeys(values['classes'], (values['base_cost'], values['max_cost']))
    return costs


def test_the_bytes_of_a_small_file(tmp_path):
    write_nav2(tmp_path / 'x.yaml', small_space(tmp_path), 1)
    assert (tmp_path / 'x.yaml').read_bytes() == GOLDEN


@pytest.mark.parametrize('name', resources.available('labels'))
def test_the_layer_gets_the_costs(name, tmp_path):
    space = load_label_space(name)
    write_nav2(tmp_path / 'x.yaml', space, 1)
    costs = read_costs(tmp_path / 'x.yaml')
    assert {name for name, cost in costs.items() if cost == (0, 0)} == set(space.navigation['traversable'])
    assert {name for name, cost in costs.items() if cost == (254, 254)} == set(space.navigation['obstacle'])
    assert set(space.names) - set(costs) == set(space.navigation['overhead'])


def test_a_space_where_all_is_an_obstacle_has_one_class_type(tmp_path):
    """The layer complains of a type without classes."""
    space = small_space(tmp_path, SMALL.replace('traversable: [floor mat]', 'traversable: []'))
    write_nav2(tmp_path / 'x.yaml', space, 1)
    assert read_costs(tmp_path / 'x.yaml') == {'wall': (254, 254), 'floor mat': (254, 254)}


def test_a_space_that_does_not_say(tmp_path):
    space = small_space(tmp_path, SMALL.split('navigation')[0])
    with pytest.raises(ValueError, match=r'small\.yaml does not say what a vehicle can drive on: add `navigation:`'):
        write_nav2(tmp_path / 'x.yaml', space, 1)


def test_ids_that_a_byte_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match='need an offset of 252 at most'):
        write_nav2(tmp_path / 'x.yaml', small_space(tmp_path), 253)
