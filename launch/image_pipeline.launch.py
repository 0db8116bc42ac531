# SPDX-License-Identifier: Apache-2.0
"""The perception node with image_proc before it, which rectifies, and depth_image_proc after it, which makes a cloud.

`ros2 launch mtperception image_pipeline.launch.py image:=/camera/image_raw` runs these two in a container of their own;
`container:=/camera/container` loads them into one that is running, where images of a camera in it are not copied. All
arguments of perception.launch.py are arguments here. The node is Python, so it is a process beside the container.
"""

from pathlib import Path

import yaml
from launch import Action, LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction, SetLaunchConfiguration
from launch.conditions import IfCondition
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import ComposableNodeContainer, LoadComposableNodes
from launch_ros.descriptions import ComposableNode

from mtperception.messages.names import camera_info_topic, check_below_cameras, sibling

ARGUMENTS = {
    'rectify': ('true', 'Remove lens distortion with image_proc; the camera_info must have a calibration.'),
    'cloud': ('true', 'Publish depth/points with depth_image_proc.'),
    'cloud_color': ('overlay/image', 'Colour of the cloud: overlay/image, or semantic/color for exact class colours.'),
    'container': ('', 'A container that runs already, such as the one of the camera. Empty: one of its own.'),
}
"""Arguments beside those of perception.launch.py, with their defaults."""


def generate_launch_description() -> LaunchDescription:
    """The components, then the node as perception.launch.py starts it, on the rectified image where there is one."""
    perception = Path(__file__).with_name('perception.launch.py')
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, (default, text) in ARGUMENTS.items()
            ),
            OpaqueFunction(function=_pipeline),
            OpaqueFunction(function=_look_at_rectified, condition=IfCondition(LaunchConfiguration('rectify'))),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(perception))),
        ]
    )


def _pipeline(context: LaunchContext) -> list[Action]:
    """The components, in the container that was named or in a new one."""
    given = context.launch_configurations
    cameras = yaml.safe_load(given.get('cameras') or "['']")
    # Before anything is started, which would be left running.
    check_below_cameras(cameras, {name: given.get(name, '') for name in ('image', 'camera_info')})
    components = [component for camera in cameras for component in (_rectify(given, camera), _cloud(given, camera))]
    if given['container']:
        return [LoadComposableNodes(composable_node_descriptions=components, target_container=given['container'])]
    container = ComposableNodeContainer(
        package='rclcpp_components',
        executable='component_container_mt',
        name='image_pipeline',
        namespace=given.get('namespace', ''),
        composable_node_descriptions=components,
        output='screen',
    )
    return [container]


def _rectify(given: dict[str, str], camera: str) -> ComposableNode:
    """image -> image_rect beside it.

    image_transport takes the camera_info beside the image, whatever `camera_info` is remapped to: so that name is.
    """
    image = _image(given)
    beside = camera_info_topic(image)
    return ComposableNode(
        package='image_proc',
        plugin='image_proc::RectifyNode',
        name='rectify',
        namespace=_namespace(given, camera),
        parameters=[_clock(given) | {'image_transport': given.get('image_transport') or 'raw'}],
        remappings=[
            ('image', image),
            ('image_rect', sibling(image, 'image_rect')),
            (beside, given.get('camera_info') or beside),
        ],
        extra_arguments=[{'use_intra_process_comms': True}],
        condition=IfCondition(given['rectify']),
    )


def _cloud(given: dict[str, str], camera: str) -> ComposableNode:
    """Our depth and colours -> depth/points. Their stamps are equal, and both come reliably, as the component asks for.

    The image itself would not do for a colour: drivers publish it best effort, and the component would never hear it.
    """
    color = given['cloud_color']
    return ComposableNode(
        package='depth_image_proc',
        plugin='depth_image_proc::PointCloudXyzrgbNode',
        name='depth_cloud',
        namespace=_namespace(given, camera),
        parameters=[_clock(given) | {'exact_sync': True}],
        remappings=[
            ('depth_registered/image_rect', 'depth/image'),
            ('rgb/image_rect_color', color),
            (camera_info_topic(color), 'depth/camera_info'),
            ('points', 'depth/points'),
        ],
        condition=IfCondition(given['cloud']),
    )


def _look_at_rectified(context: LaunchContext) -> list[Action]:
    """From here on, `image` is what the component publishes, which is raw whatever came in."""
    return [
        SetLaunchConfiguration('image', sibling(_image(context.launch_configurations), 'image_rect')),
        SetLaunchConfiguration('image_transport', 'raw'),
    ]


def _image(given: dict[str, str]) -> str:
    return given.get('image', 'image')


def _namespace(given: dict[str, str], camera: str) -> str:
    return '/'.join(part for part in (given.get('namespace'), camera) if part)


def _clock(given: dict[str, str]) -> dict[str, bool]:
    """What it was told about /clock; parameter files are not read for it."""
    return {'use_sim_time': yaml.safe_load(given['use_sim_time'])} if given.get('use_sim_time') else {}
