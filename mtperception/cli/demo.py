"""`mtperception demo`: the package at work, the node and a camera as processes of their own."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mtperception import __version__
from mtperception.backends import BACKENDS
from mtperception.card import DEFAULT_MODEL, ModelDirectory, ModelError, open_model
from mtperception.cli.folders import check_apart
from mtperception.cli.processes import Processes, processes
from mtperception.cli.progress import progress
from mtperception.hardware import describe_hardware
from mtperception.sources import SourceOptions, open_source

if TYPE_CHECKING:
    from mtperception.ros.demo_monitor import DemoMonitor

NODE, PLAYER, RECORDER = 'perception_node', 'camera_player', 'recorder'
PICTURES = 6
PATIENCE_S = 10.0
"""How long the last frames may take to be answered, and to be recorded."""
SETTLED_S = 0.5
"""After so long the node has taken notice of a message that reached its process."""
INTERRUPTED = 130


class InterruptedDemoError(Exception):
    """Ctrl-C."""


@dataclass(frozen=True)
class Plan:
    """What to show."""

    source: str
    rate: float
    seconds: float
    model: ModelDirectory
    backend: str
    device: str
    out: Path


def demo(
    source: Annotated[
        str, typer.Option(help='What to play, over and over.', metavar='synthetic|FILE|DIR|BAG|webcam:N')
    ] = 'synthetic',
    rate: Annotated[float, typer.Option(help='Images per second.', min=0.1, max=1000)] = 10.0,
    seconds: Annotated[float, typer.Option(help='How long, from the node being active.', min=0.1)] = 20.0,
    model: Annotated[str, typer.Option(help='Model directory, or the name of an installed model.')] = DEFAULT_MODEL,
    backend: Annotated[str, typer.Option(help=f'auto, {", ".join(BACKENDS)}.')] = 'auto',
    device: Annotated[str, typer.Option(help='auto, cpu or cuda:N.')] = 'auto',
    out: Annotated[Path, typer.Option(help='Folder for the video, the pictures and summary.json.')] = Path('demo'),
) -> None:
    """Play a stream to the node over ROS 2, record what it publishes, and say how fast it is.

    Example: mtperception demo --source webcam:0 --seconds 60
    """
    plan = Plan(source, rate, seconds, open_model(model), backend, device, out)
    if not {'segmentation', 'depth'} <= set(plan.model.card.tasks):
        raise ModelError(f'model {model} has {", ".join(plan.model.card.tasks)}: the demo shows segmentation and depth')
    check_apart(out, [source])
    description = open_source(source, SourceOptions(rate=rate)).description
    _say(f'playing {description} at {rate:g} Hz for {seconds:g} s')
    _say('to play something else: --source webcam:0, or the path of a video, a ROS bag or a folder of images')
    try:
        summary, interrupted = _run(plan)
    except InterruptedDemoError:
        _say('interrupted: nothing was measured')
        raise typer.Exit(INTERRUPTED) from None
    summary = _header(plan, description) | summary
    (out / 'summary.json').write_text(json.dumps(summary, indent=2) + '\n', encoding='utf-8')
    _say(f'{out}: the video, pictures, summary.json and the logs of the processes')
    Console().print(_table(summary))
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _run(plan: Plan) -> tuple[dict[str, Any], bool]:
    """The measured part of the summary, and whether Ctrl-C cut it short."""
    try:
        from mtperception.ros.demo_monitor import demo_monitor
        from mtperception.ros.domain import free_domain_id
        from mtperception.ros.process import stop_on_signals
    except ImportError as error:
        raise ImportError(
            f'the demo needs ROS 2 ({error}): source an installation, or pip install "mtperception[ros]"'
        ) from error

    domain = {'ROS_DOMAIN_ID': str(free_domain_id()), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    os.environ.update(domain)
    _say(f'to look in: {" ".join(f"{name}={value}" for name, value in domain.items())} rviz2')
    with stop_on_signals() as stop, processes(plan.out / 'logs') as started:

        def check() -> None:
            started.check()
            if stop.is_set():
                stop.clear()  # once more, while the results are collected, ends that too
                raise InterruptedDemoError

        with demo_monitor(check) as monitor:
            _start(plan, started)
            _activate(monitor, started)
            played, interrupted = _play(monitor, plan.seconds)
            _finish(monitor, started)
            return {'seconds': round(played, 2), **_measured(monitor)}, interrupted


def _start(plan: Plan, started: Processes) -> None:
    perception = {
        'autostart': False,
        'model': str(plan.model.path),
        'backend': plan.backend,
        'device': plan.device,
        # The default, best effort, is for cameras that others wrote. Without retransmission, an image that does not
        # fit into the middleware's buffers at once is lost; here the frames are to be counted, not those buffers.
        'qos_overrides./image.subscription.reliability': 'reliable',
    }
    started.start_node(NODE, perception)
    picture_period = max(0.1, plan.seconds / PICTURES)
    started.start_node(RECORDER, {'out': str(plan.out), 'rate': plan.rate, 'picture_period': picture_period})
    started.start_node(PLAYER, {'source': plan.source, 'rate': plan.rate, 'wait_for_subscriber': True})


def _activate(monitor: 'DemoMonitor', started: Processes) -> None:
    """Make the node active once the others are there; the player starts when the node then subscribes."""
    from mtperception.ros.demo_monitor import ACTIVATE, CONFIGURE

    def change(transition: int) -> None:
        if not monitor.change_state(transition):
            raise OSError(f'the node refuses to start: {started.last_line(NODE)}')

    with progress('starting the node', None):
        change(CONFIGURE)
        for name in (PLAYER, RECORDER):
            monitor.wait_for(f'the {name}', lambda name=name: monitor.reported(f'/{name}: frames'))
        change(ACTIVATE)


def _play(monitor: 'DemoMonitor', seconds: float) -> tuple[float, bool]:
    """Wait; the seconds that it really was, and whether Ctrl-C cut it short."""
    start = time.monotonic()
    interrupted = False
    with progress('playing', seconds) as move:

        def over() -> bool:
            move(time.monotonic() - start)
            return time.monotonic() - start >= seconds

        try:
            monitor.wait_until(over)
        except InterruptedDemoError:
            interrupted = True
    return time.monotonic() - start, interrupted


def _finish(monitor: 'DemoMonitor', started: Processes) -> None:
    """Stop the player, let the node answer and the recorder write what is under way, and stop them."""
    started.stop(PLAYER)
    settled = time.monotonic() + SETTLED_S

    def answered() -> bool:
        done = sum(monitor.count('/perception: processing', key) for key in ('frames out', 'dropped'))
        done += monitor.count('/perception: input', 'refused')
        received = monitor.count('/perception: input', 'frames in')
        return monitor.reported('/perception: processing', since=settled) and done >= received

    def recorded() -> bool:
        return monitor.count('/recorder: frames', 'recorded') >= _frames_out(monitor)

    monitor.wait_until(answered, PATIENCE_S)
    monitor.wait_until(recorded, PATIENCE_S)
    started.stop(NODE, RECORDER)


def _frames_out(monitor: 'DemoMonitor') -> int:
    return monitor.count('/perception: processing', 'frames out')


def _measured(monitor: 'DemoMonitor') -> dict[str, Any]:
    frames_in = monitor.count('/camera_player: frames', 'published')
    model = monitor.values('/perception: model')
    return {
        **{key: model.get(key, '') for key in ('backend', 'device', 'precision')},
        'frames_in': frames_in,
        'frames_out': _frames_out(monitor),
        'dropped': frames_in - _frames_out(monitor),
        'latency_ms': monitor.latency_ms(),
    }


def _header(plan: Plan, description: str) -> dict[str, Any]:
    return {
        'mtperception': __version__,
        'command': 'demo',
        'model': plan.model.card.name,
        'hardware': describe_hardware(),
        'source': description,
        'rate': plan.rate,
    }


def _table(summary: Mapping[str, Any]) -> Table:
    title = f'{summary["model"]} by {summary["backend"]} on {summary["device"]}, {summary["precision"]}'
    counts = f'{summary["frames_in"]} frames in, {summary["frames_out"]} out, {summary["dropped"]} dropped'
    caption = f'{counts}, in {summary["seconds"]:.1f} s'
    table = Table('stage', title=title, caption=caption, min_width=max(len(title), len(caption)))
    for name in ('p50 [ms]', 'p99 [ms]'):
        table.add_column(name, justify='right')
    for stage, figures in summary['latency_ms'].items():
        table.add_row(stage, f'{figures["p50"]:.2f}', f'{figures["p99"]:.2f}')
    return table


def _say(text: str) -> None:
    typer.echo(text, err=True)
