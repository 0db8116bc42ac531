# SPDX-License-Identifier: Apache-2.0
"""The pages of reports, as Jinja templates put together of the parts they share."""

import math
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from mtperception import __version__
from mtperception.labels import LabelSpace
from mtperception.tasks import metric_of


def render(template: str, **context: Any) -> str:
    """A page of the template of a name and what it is to show; it is an error to lack a name that the template wants.

    Args:
        template: `evaluation`, `replay` or `bags`, a file in the package's folder `templates`.
        context: what each part of the page (the files that the template includes) is made of.
    """
    environment = Environment(
        loader=PackageLoader('mtperception'),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters['metric'] = format_metric
    return environment.get_template(f'{template}.html').render(version=__version__, **context)


def format_metric(value: float, name: str) -> str:
    """A metric for people: shares in percent, lengths in metres, angles in degrees."""
    return metric_of(name).format(value)


def title_of(metric: str) -> str:
    """What a metric is called in headings."""
    return metric_of(metric).heading(metric)


def axis_label(metric: str) -> str:
    """What a metric is called on an axis: with its unit."""
    return f'{title_of(metric)} {metric_of(metric).unit.words}'.rstrip()


def hex_colors(label_space: LabelSpace) -> list[str]:
    """The palette as `#rrggbb`."""
    return ['#{:02x}{:02x}{:02x}'.format(*color) for color in label_space.palette.tolist()]


def class_rows(iou: Mapping[str, float], label_space: LabelSpace | None) -> list[dict[str, Any]]:
    """Name, IoU (None without one) and colour of each class of a space; empty without a space."""
    if label_space is None:
        return []
    return [
        {'name': name, 'iou': None if math.isnan(value) else value, 'color': color}
        for (name, value), color in zip(iou.items(), hex_colors(label_space), strict=True)
    ]
