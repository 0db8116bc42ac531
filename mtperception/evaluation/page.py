# SPDX-License-Identifier: Apache-2.0
"""The pages of reports, as Jinja templates put together of the parts they share."""

from typing import Any

from jinja2 import Environment, StrictUndefined

from mtperception import __version__
from mtperception.labels import LabelSpace
from mtperception.tasks import metric_of

HEAD = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; color: #1d2730; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
  h1 { font-size: 1.6em; margin-bottom: .1em; }
  h2 { font-size: 1.2em; margin-top: 2em; border-bottom: 1px solid #c8d3dc; }
  .figures { display: flex; flex-wrap: wrap; gap: .7em; }
  .figure { background: #eef3f7; border-radius: .4em; padding: .5em .9em; min-width: 6.5em; }
  .figure b { display: block; font-size: 1.35em; font-variant-numeric: tabular-nums; }
  table { border-collapse: collapse; }
  th, td { text-align: left; padding: .15em 1em .15em 0; vertical-align: top; }
  th { font-weight: 600; }
  td.number { text-align: right; font-variant-numeric: tabular-nums; }
  .classes { columns: 3 18em; list-style: none; padding: 0; }
  .classes li { display: flex; align-items: center; gap: .5em; break-inside: avoid; }
  .classes .name { flex: 1; }
  .classes meter { width: 6em; }
  .swatch { width: .9em; height: .9em; border: 1px solid #0003; }
  .plots img { max-width: 100%; }
  .worst, .wide { overflow-x: auto; }
  .worst figure { margin: 0 0 1.2em; }
  .worst img { width: 32.5%; min-width: 12em; }
  .muted { color: #5d6b78; }
</style>
</head>
<body>
<h1>{{ heading }}</h1>
<p class="muted">{{ frames }} images · {{ hardware }} · mtperception {{ version }}</p>

"""
"""With `title`, `heading`, `frames` and `hardware`."""

TASKS = """\
{% for task, values in metrics.items() %}
<h2>{{ task | capitalize }}</h2>
<div class="figures">
{% for name, value in values.items() %}
  <div class="figure">{{ name }}<b>{{ value | metric(name) }}</b></div>
{% endfor %}
</div>
{% endfor %}

"""
"""With `metrics` by task and name."""

PAPER = """\
{% if figures %}
<h2>As {{ paper }} has it</h2>
<div class="figures">
{% for name, value in figures.items() %}
  <div class="figure">{{ name }}<b>{{ '%.4f' | format(value) }}</b></div>
{% endfor %}
</div>
{% endif %}

"""
"""With `paper`, the name of a protocol, and `figures` by the paper's names."""

PROTOCOL = """\
<h2>Protocol</h2>
<table>
{% for name, value in protocol.items() %}
  <tr><th>{{ name }}</th><td>{{ value | join(', ') if value is sequence and value is not string else value }}</td></tr>
{% endfor %}
</table>

"""
"""With `protocol`."""

CLASSES = """\
{% if classes %}
<h2>IoU by class</h2>
<ul class="classes">
{% for entry in classes %}
  <li><span class="swatch" style="background: {{ entry.color }}"></span><span class="name">{{ entry.name }}</span>
  {% if entry.iou is none %}<span class="muted">absent</span>{% else %}
  <meter min="0" max="1" value="{{ entry.iou }}"></meter> {{ '%.3f' | format(entry.iou) }}{% endif %}</li>
{% endfor %}
</ul>
{% endif %}

"""
"""With `classes`: name, colour and IoU of each."""

PICTURES = """\
{% for plot in plots %}
<h2>{{ plot.title }}</h2>
<div class="plots"><img src="{{ plot.path }}" alt="{{ plot.title }}"></div>
{% endfor %}

{% for gallery in galleries %}
<h2>{{ gallery.title }}</h2>
<p class="muted">{{ gallery.caption }}</p>
<div class="worst">
{% for image in gallery.images %}
  <figure>
  <figcaption>{{ image.id }}: {{ gallery.metric }} {{ image.value | metric(gallery.metric) }}</figcaption>
  {% for path in image.paths %}<a href="{{ path }}"><img src="{{ path }}" alt="{{ image.id }}" loading="lazy"></a>
  {% endfor %}</figure>
{% endfor %}
</div>
{% endfor %}
"""
"""With `plots` and `galleries`."""

FOOT = """\
</body>
</html>
"""

NOTES = """\
{% if notes %}
<h2>Notes</h2>
<ul>
{% for note in notes %}
  <li>{{ note }}</li>
{% endfor %}
</ul>
{% endif %}
"""
"""With `notes`."""

TABLES = """\
{% for table in tables %}
<h2>{{ table.title }}</h2>
<div class="wide"><table>
<tr><th></th>{% for name in table.columns %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in table.rows %}
<tr><th>{{ row[0] }}</th>{% for value in row[1:] %}<td class="number">{{ value }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>
{% endfor %}
"""
"""With `tables`: title, columns, and rows that start with their name."""

EVALUATION_PAGE = HEAD + PAPER + TASKS + PROTOCOL + CLASSES + PICTURES + FOOT
BAGS_PAGE = HEAD + NOTES + TASKS + TABLES + PROTOCOL + FOOT
REPLAY_PAGE = HEAD + NOTES + TASKS + TABLES + CLASSES + PICTURES + PROTOCOL + FOOT


def render(template: str, **context: Any) -> str:
    """A page of a template and what it is to show; a name that the template wants and the context lacks is an error."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters['metric'] = format_metric
    return environment.from_string(template).render(version=__version__, **context)


def format_metric(value: float, name: str) -> str:
    """A metric for people: shares in percent, lengths in metres, angles in degrees."""
    return metric_of(name).format(value)


def title_of(metric: str) -> str:
    """What a metric is called in headings."""
    return metric_of(metric).title or metric.replace('_', ' ')


def axis_label(metric: str) -> str:
    """What a metric is called on an axis: with its unit."""
    return f'{title_of(metric)} {metric_of(metric).unit.words}'.rstrip()


def hex_colors(label_space: LabelSpace) -> list[str]:
    """The palette as `#rrggbb`."""
    return ['#{:02x}{:02x}{:02x}'.format(*color) for color in label_space.palette.tolist()]
