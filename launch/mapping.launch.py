# SPDX-License-Identifier: Apache-2.0
"""Perception and mapping on a camera: `ros2 launch mtperception mapping.launch.py image:=/camera/image_raw`.

With poses of a topic: `pose_source:=odometry pose:=/odom map_frame:=odom`. All arguments of perception.launch.py but
`cameras` are arguments here.
"""

from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mtperception import resources

PARAMETERS = {
    'label_space': (str, "Classes of the labels: the model's, or the label_space of the perception node."),
    'map_frame': (str, 'Frame of the map.'),
    'pose_source': (str, 'tf, odometry or pose_stamped.'),
    'voxel_size': (float, 'Metres.'),
}
"""Parameters of the mapping node that are arguments too; without a default here, so that mapping_params_file counts."""

TF = (('/tf', 'tf'), ('/tf_static', 'tf_static'))
"""As Nav2 has it for several robots."""


def generate_launch_description() -> LaunchDescription:
    """The perception node by its own launch file, and the mapping node in the same namespace."""
    perception = Path(__file__).with_name('perception.launch.py')
    return LaunchDescription(
        [
            OpaqueFunction(function=_refuse_cameras),  # before anything is started, which would be left running
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(perception))),
            DeclareLaunchArgument('pose', default_value='pose', description='Topic of the poses.'),
            DeclareLaunchArgument(
                'mapping_params_file',
                default_value=str(resources.find('config', 'mapping')),
                description='YAML file with parameters of the mapping node. Launch arguments override it.',
            ),
            *(
                DeclareLaunchArgument(name, default_value='', description=f'{text} Empty: as in mapping_params_file.')
                for name, (_, text) in PARAMETERS.items()
            ),
            DeclareLaunchArgument(
                'namespaced_tf',
                default_value='false',
                choices=['true', 'false'],
                description='Whether transforms come on tf and tf_static in the namespace, not on /tf and /tf_static.',
            ),
            OpaqueFunction(function=_mapping),
        ]
    )


def _refuse_cameras(context: LaunchContext) -> None:
    """Raises ValueError if several cameras are named."""
    cameras = context.launch_configurations.get('cameras', '')
    if cameras:
        raise ValueError(
            f'cameras:={cameras}: a map is made of one camera: expected the argument image, or for several cameras '
            'perception.launch.py, and a mapping node in the namespace of each'
        )


def _mapping(context: LaunchContext) -> list[Node]:
    """The node, now that it is known which arguments were given."""
    given = context.launch_configurations
    kinds = PARAMETERS | {'use_sim_time': (bool, ''), 'autostart': (bool, ''), 'image_transport': (str, '')}
    overrides = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _) in kinds.items()
        if given[name]
    }
    tf = TF if given['namespaced_tf'] == 'true' else ()
    node = Node(
        package='mtperception',
        executable='mapping_node',
        name='mapping',
        namespace=given['namespace'],
        parameters=[given['mapping_params_file'], *([overrides] if overrides else [])],
        remappings=[('image', given['image']), ('pose', given['pose']), *tf],
        arguments=['--ros-args', '--log-level', given['log_level']],
        output='screen',
    )
    return [node]
