# SPDX-License-Identifier: Apache-2.0
"""Sizes as they are written on the command line."""

import re

import typer


def parse_size(text: str, option: str) -> tuple[int, int]:
    """Width and height of a text such as 640x480; raises typer.BadParameter, which names the option, for another."""
    match = re.fullmatch(r'(\d+)x(\d+)', text)
    if not match or not (int(match[1]) and int(match[2])):
        raise typer.BadParameter(f'{text!r}: expected width and height, as in 640x480', param_hint=option)
    return int(match[1]), int(match[2])
