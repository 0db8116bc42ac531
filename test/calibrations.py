# SPDX-License-Identifier: Apache-2.0
"""Writes the calibration of a camera as ROS has it."""


def write_calibration(path, camera):
    """A YAML file with the `Intrinsics` of a camera without distortion."""
    fx, fy, cx, cy = camera.fx, camera.fy, camera.cx, camera.cy
    k, p = [fx, 0, cx, 0, fy, cy, 0, 0, 1], [fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0]
    matrices = f'camera_matrix: {{rows: 3, cols: 3, data: {k}}}\nprojection_matrix: {{rows: 3, cols: 4, data: {p}}}\n'
    path.write_text(f'image_width: {camera.width}\nimage_height: {camera.height}\n{matrices}', encoding='utf-8')
    return path
