"""The page of an evaluation's report, as a Jinja template."""

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ evaluation.model }}: evaluation</title>
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
  .worst { overflow-x: auto; }
  .worst figure { margin: 0 0 1.2em; }
  .worst img { width: 32.5%; min-width: 12em; }
  .muted { color: #5d6b78; }
</style>
</head>
<body>
<h1>{{ evaluation.model }}</h1>
<p class="muted">{{ evaluation.frames }} images · {{ evaluation.hardware }} · mtperception {{ version }}</p>

{% for task, metrics in evaluation.metrics.items() %}
<h2>{{ task | capitalize }}</h2>
<div class="figures">
{% for name, value in metrics.items() %}
  <div class="figure">{{ name }}<b>{{ value | metric(name) }}</b></div>
{% endfor %}
</div>
{% endfor %}

<h2>Protocol</h2>
<table>
{% for name, value in evaluation.protocol.items() %}
  <tr><th>{{ name }}</th><td>{{ value | join(', ') if value is sequence and value is not string else value }}</td></tr>
{% endfor %}
</table>

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

{% for plot in plots %}
<h2>{{ plot.title }}</h2>
<div class="plots"><img src="{{ plot.path }}" alt="{{ plot.title }}"></div>
{% endfor %}

{% for gallery in galleries %}
<h2>{{ gallery.title }}</h2>
<p class="muted">image | prediction | truth</p>
<div class="worst">
{% for image in gallery.images %}
  <figure>
  <figcaption>{{ image.id }}: {{ gallery.metric }} {{ image.value | metric(gallery.metric) }}</figcaption>
  {% for path in image.paths %}<a href="{{ path }}"><img src="{{ path }}" alt="{{ image.id }}" loading="lazy"></a>
  {% endfor %}</figure>
{% endfor %}
</div>
{% endfor %}
</body>
</html>
"""
