# SPDX-License-Identifier: Apache-2.0
"""`mtperception demo`: the package at work, the node and a camera as processes of their own."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mtperception import __version__
from mtperception.card import ModelDirectory
from mtperception.cli.folders import check_apart, make_folder, write_json
from mtperception.cli.notes import say_notes
from mtperception.cli.option_records import with_records
from mtperception.cli.options import CameraFileOption, ImageTopicOption
from mtperception.cli.session import (
    NODE,
    PLAYER,
    InterruptedRunError,
    Session,
    open_joint_model,
    ros_session,
)
from mtperception.cli.settings import ModelSettings
from mtperception.cli.tables import table_console
from mtperception.hardware import describe_hardware
from mtperception.sources import images_only, open_source

RECORDER = 'recorder'
LOGS = 'logs'
PICTURES = 6


@dataclass(frozen=True)
class Plan:
    """What to show."""

    source: str
    image_topic: str
    camera_file: str
    rate: float
    seconds: float
    model: ModelDirectory
    backend: str
    device: str
    precision: str
    out: Path


@with_records
def demo(
    model: ModelSettings,
    source: Annotated[
        str, typer.Option(help='Source to play, in a loop.', metavar='synthetic|FILE|DIR|BAG|webcam:N')
    ] = 'synthetic',
    image_topic: ImageTopicOption = '',
    camera: CameraFileOption = '',
    rate: Annotated[float, typer.Option(help='Images per second.', min=0.1, max=1000)] = 10.0,
    seconds: Annotated[float, typer.Option(help='How long to measure, once the node is active.', min=0.1)] = 20.0,
    out: Annotated[Path, typer.Option(help='Folder for the video, the pictures and summary.json.')] = Path('demo'),
) -> None:
    """Play a stream to the node over ROS 2, record its outputs, and report its latency.

    Example: mtperception demo --source webcam:0 --seconds 60
    """
    joint = open_joint_model(model.model)
    plan = Plan(source, image_topic, camera, rate, seconds, joint, model.backend, model.device, model.precision, out)
    check_apart(out, [source, *filter(None, [camera])], '--out')
    opened = open_source(source, images_only(image_topic, camera, rate=rate))
    description = opened.description
    make_folder(out, '--out')
    _say(f'playing {description} at {rate:g} Hz for {seconds:g} s')
    say_notes(opened.notes)
    _say('to play something else: --source webcam:0, or the path of a video, a ROS bag or a folder of images')
    try:
        summary, warnings, status = _run(plan)
    except InterruptedRunError as error:
        _say('interrupted: nothing was measured')
        raise typer.Exit(error.status) from None
    summary = _header(plan, description) | summary
    write_json(out / 'summary.json', summary, '--out')
    say_notes(note for note in warnings if note not in opened.notes)
    _say(f'{out}: the video, pictures, summary.json and the logs of the processes')
    table_console().print(_table(summary))
    if status:
        raise typer.Exit(status)


def _run(plan: Plan) -> tuple[dict[str, Any], list[str], int]:
    """The measured part of the summary, what the player warned of, and the exit status, as of `_play`."""
    with ros_session(plan.out / LOGS) as session:
        _start(plan, session)
        session.activate(PLAYER, RECORDER)  # the player starts when the node then subscribes
        played, status = _play(session, plan.seconds)
        session.drain(RECORDER, 'recorded')
        session.started.stop(NODE, RECORDER)
        summary = {'seconds': round(played, 2), **_measured(session)}
        return summary, session.started.warnings(PLAYER), status


def _start(plan: Plan, session: Session) -> None:
    session.start_perception(
        {
            'model': str(plan.model.path),
            'backend': plan.backend,
            'device': plan.device,
            'precision': plan.precision,
        }
    )
    picture_period = max(0.1, plan.seconds / PICTURES)
    recorder = {'out': str(plan.out), 'rate': plan.rate, 'picture_period': picture_period}
    session.started.start_node(RECORDER, recorder)
    player = {
        'source': plan.source,
        'image_topic': plan.image_topic,
        'camera_file': plan.camera_file,
        'rate': plan.rate,
        'wait_for_subscriber': True,
    }
    session.started.start_node(PLAYER, player)


def _play(session: Session, seconds: float) -> tuple[float, int]:
    """Wait; the seconds that it really was, and the exit status: not 0 if a signal cut it short."""
    start = time.monotonic()
    status = 0
    try:
        session.wait('playing', seconds)
    except InterruptedRunError as error:
        status = error.status
    return time.monotonic() - start, status


def _measured(session: Session) -> dict[str, Any]:
    frames_in = session.monitor.count('/camera_player: frames', 'published')
    return {
        **session.backend(),
        'frames_in': frames_in,
        'frames_out': session.frames_out,
        'dropped': frames_in - session.frames_out,
        'latency_ms': session.latency_ms(),
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
