# SPDX-License-Identifier: Apache-2.0
"""The files in `config` say what the node says."""

import json

import pytest
import yaml
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy
from sensor_msgs.msg import Image, PointCloud2

from mtperception import resources
from mtperception.labels import load_label_space
from mtperception.messages.outputs import OUTPUTS
from mtperception.messages.parameters import PARAMETERS
from mtperception.ros import conversions
from mtperception.ros.camera_player import PARAMETERS as PLAYER_PARAMETERS
from mtperception.ros.inputs import INPUT_QOS
from mtperception.ros.publishers import FRAME_QOS

MESSAGE_TYPES = {'rviz_default_plugins/Image': Image, 'rviz_default_plugins/PointCloud2': PointCloud2}
SHOWN = {'image', 'depth/color', 'semantic/color', 'overlay/image', 'points'}


def load(kind, name):
    return yaml.safe_load(resources.find(kind, name).read_text(encoding='utf-8'))


def rviz():
    return load('rviz', 'perception.rviz')['Visualization Manager']


def test_perception_yaml_holds_every_parameter_with_its_default():
    written = load('config', 'perception')['/**']['perception']['ros__parameters']
    declared = {
        spec.name: list(spec.default) if isinstance(spec.default, tuple) else spec.default for spec in PARAMETERS
    }
    assert written == declared
    assert {name: type(value) for name, value in written.items()} == {
        name: type(value) for name, value in declared.items()
    }


def test_perception_yaml_groups_parameters_by_when_they_can_change():
    text = resources.find('config', 'perception').read_text(encoding='utf-8')
    at_any_time = yaml.safe_load(text.partition('# Can change at any time')[2])
    assert set(at_any_time) == {spec.name for spec in PARAMETERS if spec.live}


def test_rviz_shows_the_input_and_what_a_person_looks_at():
    assert {display['Topic']['Value'] for display in rviz()['Displays']} == SHOWN


@pytest.mark.parametrize('display', [pytest.param(display, id=display['Name']) for display in rviz()['Displays']])
def test_every_display_matches_an_endpoint_of_the_node(display):
    offered = {output.topic: (conversions.MESSAGE_TYPES[output.kind], FRAME_QOS) for output in OUTPUTS}
    message_type, qos = {'image': (Image, INPUT_QOS), **offered}[display['Topic']['Value']]
    assert MESSAGE_TYPES[display['Class']] is message_type
    policies = {ReliabilityPolicy: qos.reliability, DurabilityPolicy: qos.durability, HistoryPolicy: qos.history}
    for kind, expected in policies.items():
        name = kind.__name__.replace('Policy', ' Policy')
        wanted = display['Topic'][name].lower().replace(' ', '_')
        assert kind.get_from_short_key(wanted) == expected, name


def test_the_fixed_frame_is_the_one_of_the_camera_player():
    (frame_id,) = (spec.default for spec in PLAYER_PARAMETERS if spec.name == 'frame_id')
    assert rviz()['Global Options']['Fixed Frame'] == frame_id


class TestNav2:
    """What Nav2's semantic segmentation layer reads (its README and sources)."""

    def layer(self):
        costmap = load('config', 'nav2_semantic')['local_costmap']['local_costmap']['ros__parameters']
        assert 'semantic_segmentation_layer' in costmap['plugins']
        return costmap['semantic_segmentation_layer']

    def test_its_topics_are_ours(self):
        camera = self.layer()['camera']
        offered = {f'/{output.topic}' for output in OUTPUTS} | {'/semantic/label_info'}
        assert {camera[f'{kind}_topic'] for kind in ('segmentation', 'confidence', 'pointcloud', 'labels')} <= offered

    def test_its_classes_are_those_of_the_default_model_each_once(self):
        camera = self.layer()['camera']
        named = [name for kind in camera['class_types'] for name in camera[kind]['classes']]
        assert sorted(named) == sorted(set(load_label_space('nyuv2_40').names) - {'ceiling'})
        assert [camera[kind]['max_cost'] for kind in camera['class_types']] == [0, 254]

    def test_the_parameters_of_our_node_exist_and_the_bond_is_off(self):
        content = load('config', 'nav2_semantic')
        ours = content['/**']['perception']['ros__parameters']
        assert set(ours) <= {spec.name for spec in PARAMETERS}
        assert (ours['autostart'], ours['point_stride']) == (False, 1)
        manager = content['lifecycle_manager_perception']['ros__parameters']
        assert (manager['node_names'], manager['bond_timeout']) == (['perception'], 0.0)


def test_foxglove_shows_topics_of_the_node():
    text = (resources.find('config', 'perception').parent / 'foxglove' / 'perception.json').read_text(encoding='utf-8')
    layout = json.loads(text)
    panels = layout['configById']
    images = {panel['imageMode']['imageTopic'] for panel in panels.values() if 'imageMode' in panel}
    offered = {f'/{output.topic}' for output in OUTPUTS} | {'/image'}
    assert images <= offered
    assert set(panels['3D!points']['topics']) <= offered

    def placed(node):
        return {node} if isinstance(node, str) else placed(node['first']) | placed(node['second'])

    assert placed(layout['layout']) == set(panels)
