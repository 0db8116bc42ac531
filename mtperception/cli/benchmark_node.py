# SPDX-License-Identifier: Apache-2.0
"""`mtperception benchmark-node`: what the node keeps up with when camera, node and subscriber share this machine."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mtperception import __version__
from mtperception.benchmark.node_run import NodeRun
from mtperception.card import ModelDirectory
from mtperception.cli.folders import make_room_for_json, write_json
from mtperception.cli.option_records import with_records
from mtperception.cli.options import JsonOption
from mtperception.cli.progress import progress
from mtperception.cli.session import (
    NODE,
    PLAYER,
    InterruptedRunError,
    Session,
    log_folder,
    open_joint_model,
    ros_session,
)
from mtperception.cli.settings import ModelSettings
from mtperception.cli.sizes import parse_size
from mtperception.cli.tables import table_console
from mtperception.doctor.limits import profile_in_use
from mtperception.errors import RunError
from mtperception.hardware import describe_hardware

LISTENER, COMPLETE = 'listener', 'complete'
"""The subscriber, and what it counts."""
RATE = 15.0
WARM_UP_RATE = 0.5
"""So rarely that hardly any image comes in vain while the node prepares for the first."""
PRELOADED_BYTES = 128e6
"""Images that the player keeps, to play them over and over."""
STAGES = ('convert', 'inference', 'publish', 'overhead', 'total')


@dataclass(frozen=True)
class Plan:
    """What all rates have in common."""

    model: ModelDirectory
    backend: str
    device: str
    precision: str
    size: tuple[int, int]
    """Width and height of the images."""
    network_size: tuple[int, int]
    """Width and height that the node reduces them to; 0, 0: the model's own."""
    seconds: float


@with_records
def benchmark_node(
    model: ModelSettings,
    rate: Annotated[
        list[float] | None,
        typer.Option(min=0.1, max=1000, help=f'Images per second, by default {RATE:g}; may be repeated.'),
    ] = None,
    size: Annotated[str, typer.Option(metavar='WxH', help='Size of the images.')] = '640x480',
    network_size: Annotated[
        str | None, typer.Option(metavar='WxH', help="Size that the node reduces images to; default: the model's own.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, help='Duration of each rate.')] = 20.0,
    json_file: JsonOption = None,
) -> None:
    """Measure the rate that the node keeps up with: a camera, the node and a subscriber, as three processes.

    Each rate plays rendered images to the node, and a subscriber receives its three main outputs. It reports the
    dropped images, and the time from publishing an image to the arrival of the last of its maps. Connecting and
    preparing the model are not part of the measurement.

    Example: mtperception benchmark-node --rate 15 --rate 20 --backend openvino --device cpu --seconds 600 --json n.json
    """
    sides = (0, 0) if network_size is None else parse_size(network_size, '--network-size')
    joint, sent = open_joint_model(model.model), parse_size(size, '--size')
    plan = Plan(joint, model.backend, model.device, model.precision, sent, sides, seconds)
    if json_file:
        make_room_for_json(json_file)
    runs: list[NodeRun] = []
    try:
        for each in rate or (RATE,):
            runs.append(_measure(plan, each))
            if json_file:  # after each: the next one can take long, and fail
                write_json(json_file, as_json(plan, runs), '--json')
    except InterruptedRunError as error:
        measured = ', '.join(f'{run.rate:g} Hz' for run in runs) or 'nothing'
        typer.echo(f'interrupted: {measured} was measured', err=True)
        raise typer.Exit(error.status) from None
    finally:
        if runs:
            _print(as_json(plan, runs))


def as_json(plan: Plan, runs: Sequence[NodeRun]) -> dict[str, Any]:
    """What `--json` writes; there must be a run."""
    return {
        'mtperception': __version__,
        'command': 'benchmark-node',
        'model': plan.model.card.name,
        'hardware': describe_hardware(),
        **runs[0].backend,
        'dds_profile': profile_in_use(os.environ) or None,
        'width': plan.size[0],
        'height': plan.size[1],
        'network_size': plan.network_size,
        'seconds': plan.seconds,
        'results': [run.as_row() for run in runs],
    }


def _measure(plan: Plan, rate: float) -> NodeRun:
    """Start all processes, play at a rate, and end them."""
    with log_folder('benchmark_node') as folder, ros_session(folder) as session:
        answers = folder / 'answers.npy'
        _start(plan, session, answers)
        _warm_up(plan, session)
        since_ns, replaced = time.time_ns(), _replaced(session)
        _play(plan, session, rate)
        session.started.stop(NODE, LISTENER)
        return NodeRun(
            backend=session.backend(),
            rate=rate,
            input_rate=session.monitor.number(f'/{PLAYER}: frames', 'mean rate [Hz]'),
            frames_in=session.monitor.count(f'/{PLAYER}: frames', 'published'),
            replaced=_replaced(session) - replaced,
            answers=_answers(answers, since_ns, rate),
            stages_ms=session.latency_ms(),
        )


def _start(plan: Plan, session: Session, answers: Path) -> None:
    """Start the node and the listener, and make the node active."""
    session.start_perception(
        {
            'model': str(plan.model.path),
            'backend': plan.backend,
            'device': plan.device,
            'precision': plan.precision,
            'network_size': plan.network_size,
        }
    )
    session.started.start_node(LISTENER, {'out': str(answers)})
    session.activate(LISTENER)


def _start_player(plan: Plan, session: Session, rate: float, preload: int) -> None:
    width, height = plan.size
    session.started.start_node(PLAYER, {'rate': rate, 'width': width, 'height': height, 'preload': preload})


def _warm_up(plan: Plan, session: Session) -> None:
    """Play an image now and then until one is answered: then all are connected, and the node is prepared."""
    _start_player(plan, session, WARM_UP_RATE, preload=1)
    session.try_out(lambda: session.monitor.count(f'/{LISTENER}: frames', COMPLETE) > 0)
    session.drain(LISTENER, COMPLETE)


def _play(plan: Plan, session: Session, rate: float) -> None:
    """Play for the time that was asked for, and until what was played is answered."""
    monitor, player = session.monitor, f'/{PLAYER}: frames'
    started = time.monotonic()
    width, height = plan.size
    _start_player(plan, session, rate, preload=max(1, int(PRELOADED_BYTES / (width * height * 3))))
    with progress('rendering', None):
        monitor.wait_until(lambda: monitor.reported(player, since=started) and monitor.count(player, 'published') > 0)
    session.wait(f'playing at {rate:g} Hz', plan.seconds)
    session.drain(LISTENER, COMPLETE)


def _replaced(session: Session) -> int:
    return session.monitor.count(session.status('processing'), 'dropped')


def _answers(path: Path, since_ns: int, rate: float) -> np.ndarray:
    """What the listener noted about images from a moment of the system clock on; raises RuntimeError without any."""
    answers = np.load(path, allow_pickle=False)
    answers = answers[answers[:, 0] >= since_ns]
    if not len(answers):
        raise RunError(f'no image was answered at {rate:g} Hz: try a lower rate or a smaller --network-size')
    return answers


def _print(summary: Mapping[str, Any]) -> None:
    rows = summary['results']
    console = table_console()
    title = f'{summary["model"]} by {summary["backend"]} on {summary["device"]}, {summary["precision"]}'
    console.print(
        _stream_table(rows, f'{title}: {summary["width"]}x{summary["height"]}, {summary["seconds"]:g} s each')
    )
    console.print(_node_table(rows))
    console.print(summary['hardware'], markup=False, highlight=False)


def _stream_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    names = ('Hz', 'Hz reached', 'in', 'out', 'dropped', 'share', 'end to end p50 [ms]', 'p99 [ms]', 'max [ms]')
    table = _table(title, names)
    for row in rows:
        counts = (str(row[key]) for key in ('frames_in', 'frames_out', 'dropped'))
        latencies = (f'{row["end_to_end_ms"][key]:.1f}' for key in ('p50', 'p99', 'max'))
        table.add_row(
            f'{row["rate"]:g}', f'{row["input_rate"]:.2f}', *counts, f'{row["dropped_share"]:.2%}', *latencies
        )
    return table


def _node_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    names = ('Hz', *STAGES, 'replaced')
    table = _table('inside the node: p50 / p99 [ms]', names)
    for row in rows:
        stages = (row['latency_ms'][stage] for stage in STAGES)
        cells = (f'{figures["p50"]:.2f} / {figures["p99"]:.2f}' for figures in stages)
        table.add_row(f'{row["rate"]:g}', *cells, str(row['replaced']))
    return table


def _table(title: str, names: Sequence[str]) -> Table:
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in names:
        table.add_column(name, justify='right')
    return table
