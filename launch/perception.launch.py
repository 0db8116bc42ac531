# SPDX-License-Identifier: Apache-2.0
"""The perception node on a camera: `ros2 launch mtperception perception.launch.py image:=/camera/image_raw`.

On several, in one node: `cameras:='[front, rear]' image:=image_raw` takes front/image_raw and rear/image_raw.
"""

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.conditions import IfCondition
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mtperception import resources
from mtperception.messages.names import camera_info_topic, check_below_cameras

PARAMETERS = {
    'cameras': (
        list[str],
        "Names of several cameras, such as '[front, rear]': their topics are in front/ and rear/. "
        'If only the params_file has them, image and camera_info are not remapped.',
    ),
    'image_transport': (str, 'raw: the topic image; compressed: image/compressed.'),
    'model': (str, 'Model directory, or the name of an installed model.'),
    'backend': (str, 'Library that runs the model: auto, torch, onnxruntime or openvino.'),
    'device': (str, 'auto, cpu or cuda:N; tensorrt:N with onnxruntime.'),
    'precision': (str, 'auto, fp32, fp16 or bf16.'),
    'autostart': (bool, 'Configure and activate by itself; false under a lifecycle manager.'),
    'use_sim_time': (bool, 'Take the time from /clock.'),
}
"""Parameters of the node that are arguments too. They have no default here, so that params_file keeps its say."""


def generate_launch_description() -> LaunchDescription:
    """Arguments, the node and, if wanted, rviz. The node starts by itself: no lifecycle transition is emitted here."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'image',
                default_value='image',
                description='Topic of the camera image; of several cameras, the part after their names.',
            ),
            DeclareLaunchArgument(
                'camera_info',
                default_value='',
                description='Topic of the camera_info; empty: the one beside image (/camera/image_raw has '
                '/camera/camera_info).',
            ),
            DeclareLaunchArgument(
                'params_file',
                default_value=str(resources.find('config', 'perception')),
                description='YAML file with parameters of the node. Launch arguments override it.',
            ),
            *(
                DeclareLaunchArgument(name, default_value='', description=f'{text} Empty: as in params_file.')
                for name, (_, text) in PARAMETERS.items()
            ),
            DeclareLaunchArgument('namespace', default_value='', description='Namespace of the node and its topics.'),
            DeclareLaunchArgument('log_level', default_value='info', description='debug, info, warn, error or fatal.'),
            DeclareLaunchArgument('rviz', default_value='false', description='Show images, maps and points in rviz.'),
            DeclareLaunchArgument(
                'fixed_frame',
                default_value='camera_optical_frame',
                description="rviz's fixed frame: the frame_id of the images, or a frame that tf connects with it.",
            ),
            OpaqueFunction(function=_perception),
            OpaqueFunction(function=_rviz, condition=IfCondition(LaunchConfiguration('rviz'))),
        ]
    )


def _perception(context: LaunchContext) -> list[Node]:
    """The node, now that it is known which arguments were given."""
    given = context.launch_configurations
    camera_info = given['camera_info'] or camera_info_topic(given['image'])
    topics = [('image', given['image']), ('camera_info', camera_info)]
    node = Node(
        package='mtperception',
        executable='perception_node',
        name='perception',
        namespace=given['namespace'],
        parameters=[given['params_file'], *_overrides(context, *PARAMETERS)],
        remappings=[(f'{prefix}{name}', f'{prefix}{topic}') for prefix in _prefixes(context) for name, topic in topics],
        arguments=['--ros-args', '--log-level', given['log_level']],
        output='screen',
    )
    return [node]


def _rviz(context: LaunchContext) -> list[Node]:
    """rviz in the namespace of the node, of several cameras in that of the first, by the same clock."""
    given = context.launch_configurations
    node = Node(
        package='rviz2',
        executable='rviz2',
        namespace='/'.join(part for part in (given['namespace'], _prefixes(context)[0].rstrip('/')) if part),
        parameters=_overrides(context, 'use_sim_time'),
        remappings=[('image', given['image'])],
        arguments=['-d', str(resources.find('rviz', 'perception.rviz')), '-f', given['fixed_frame']],
    )
    return [node]


def _prefixes(context: LaunchContext) -> list[str]:
    """What stands before the topics of each camera."""
    if not context.launch_configurations['cameras']:
        return ['']
    cameras = _overrides(context, 'cameras')[0]['cameras'].evaluate(context)
    check_below_cameras(cameras, {name: context.launch_configurations[name] for name in ('image', 'camera_info')})
    return [f'{camera}/' if camera else '' for camera in cameras]


def _overrides(context: LaunchContext, *names: str) -> list[dict[str, ParameterValue]]:
    """Those parameters that were given as arguments; none of them is no dictionary, since launch refuses empty ones."""
    given = {
        name: ParameterValue(LaunchConfiguration(name), value_type=PARAMETERS[name][0])
        for name in names
        if context.launch_configurations[name]
    }
    return [given] if given else []
