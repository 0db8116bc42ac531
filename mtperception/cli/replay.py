# SPDX-License-Identifier: Apache-2.0
"""`mtperception replay`: how good a model is on a recording of one's own robot."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import typer

from mtperception import __version__
from mtperception.card import CARD, open_model, sha256
from mtperception.cli.folders import make_folder, make_room_for_json, naming_option, write_json
from mtperception.cli.live_replay import LivePlan, check_model, live_run
from mtperception.cli.option_records import with_records
from mtperception.cli.options import JsonOption, TruthSpaceOption
from mtperception.cli.progress import progress
from mtperception.cli.replay_output import as_json, print_live, print_result
from mtperception.cli.reports import prepare_report, report_needs
from mtperception.cli.session import InterruptedRunError
from mtperception.cli.settings import LabelledBagSettings, ModelSettings
from mtperception.cli.sharing import PartsOption, ShardOption
from mtperception.cli.usage import check_label_options, check_usage
from mtperception.labels import LabelSpace, load_label_space
from mtperception.predictor import Predictor
from mtperception.recording.recording import Recording
from mtperception.recording.recording_options import RecordingOptions
from mtperception.replay.live_answers import LiveComparison, LiveRun
from mtperception.replay.out_bag import LEFT_OUT, BagRecorder, check_free, recorded_bag
from mtperception.replay.replay import conclude
from mtperception.replay.replay import replay as replay_recording
from mtperception.replay.result import Replay
from mtperception.resources import find
from mtperception.scale.part_folder import PartFolder, stored_count
from mtperception.scale.shard import WHOLE, Shard
from mtperception.scale.shared_evaluation import digest
from mtperception.scale.shared_replay import merge_shares, score_shares


@dataclass(frozen=True)
class _Outputs:
    """What is written besides the figures."""

    json_file: JsonOption = None
    report: Annotated[
        Path | None, typer.Option(metavar='DIR', help='Write a page with plots over time and the worst frames here.')
    ] = None
    out_bag: Annotated[
        Path | None,
        typer.Option(
            metavar='PATH',
            help='Write the topics that were used and all outputs here: .mcap, .db3, or a folder like BAG.',
        ),
    ] = None


@dataclass(frozen=True)
class _Sharing:
    """Which part of the bag is done here."""

    shard: ShardOption = WHOLE
    parts: PartsOption = None


@dataclass(frozen=True)
class _Live:
    """Whether the node is played to, and how."""

    live: Annotated[
        bool, typer.Option('--live', help='First play the images to the node over ROS 2, and compare its answers.')
    ] = False
    rate: Annotated[
        float, typer.Option(min=0, max=1000, help='Images per second with --live; 0: as they were recorded.')
    ] = 0.0


@with_records
def replay(
    bag: Annotated[Path, typer.Argument(help='A rosbag2 folder, or an .mcap or .db3 file.')],
    model: ModelSettings,
    reading: LabelledBagSettings,
    outputs: _Outputs,
    sharing: _Sharing,
    playing: _Live,
    label_space: TruthSpaceOption = '',
) -> None:
    """Score a model on every image of a ROS 2 bag, in order.

    ROS is needed only for --live. Depth is compared with the bag's depth sensor three times: as it is, aligned by the
    median, and aligned by scale and shift. An error that alignment removes is one of scale; the rest is one of shape.
    Flicker says how much labels and depth change from frame to frame, also without a sensor; if the bag has poses, the
    motion of the camera is compensated. A bag that was cut off is scored as far as it can be read.

    Several processes with --shard and the same --parts divide the bag. The one that finishes last merges the parts, and
    so does every later run. Apart from the time taken, the result equals that of a single process.

    Example: mtperception replay drive/ --depth-topic /camera/depth/image_raw --json result.json --report report
    """
    _check(outputs, sharing, playing)
    check_label_options(label_space, reading)
    if outputs.out_bag:
        check_free(outputs.out_bag)
        make_folder(outputs.out_bag.parent, '--out-bag')
    plan = _live_plan(playing, model)
    write_report = _report_writer(outputs.report, bag) if outputs.report else None
    truth_space = load_label_space(label_space) if label_space else None
    with ExitStack() as stack:
        recording = stack.enter_context(Recording(bag.expanduser(), reading.options))
        for line in recording.topics.lines():
            typer.echo(line, err=True)
        if outputs.json_file:
            make_room_for_json(outputs.json_file)

        @cache
        def predictor() -> Predictor:
            return stack.enter_context(closing(model.open()))

        live_figures = {}
        if sharing.parts:
            record = _record(model, recording, reading.options, label_space)
            folder = stack.enter_context(PartFolder(sharing.parts, record, _part_count(sharing)))
            result = _shared(folder, model.model, predictor, recording, sharing.shard, truth_space)
            if result is None:
                return
            stack.enter_context(folder.merging())
        else:
            run = stack.enter_context(_live_run(recording, plan))
            result, live_figures = _scored(recording, predictor(), truth_space, outputs.out_bag, run)
        _present(result, recording, live_figures if playing.live else None, outputs.json_file)
        if write_report:
            with progress('drawing', None), naming_option('--report', outputs.report):
                write_report(result, recording.topics.roles(), predictor(), recording, outputs.report)
            typer.echo(f'{outputs.report / "index.html"}: written', err=True)


def _check(outputs: _Outputs, sharing: _Sharing, playing: _Live) -> None:
    check_usage(
        (playing.rate and not playing.live, '--rate', 'expected together with --live'),
        (sharing.shard != WHOLE and not sharing.parts, '--shard', 'expected together with --parts'),
        (sharing.parts and (playing.live or outputs.out_bag), '--parts', 'not together with --live or --out-bag'),
    )


def _live_plan(playing: _Live, model: ModelSettings) -> LivePlan | None:
    if not playing.live:
        return None
    directory = open_model(model.model)
    check_model(directory)
    return LivePlan(directory, model.backend, model.device, model.precision, playing.rate)


def _part_count(sharing: _Sharing) -> int:
    """As many as asked for, else as there are already."""
    return sharing.shard.count if sharing.shard != WHOLE else stored_count(sharing.parts) or 1


def _present(result: Replay, recording: Recording, live: dict[str, Any] | None, json_file: Path | None) -> None:
    """Print and write the figures; of the run with the node too, if there was one."""
    content = as_json(result, recording.topics.roles()) | ({} if live is None else {'live': live})
    print_result(result)
    if live is not None:
        print_live(live)
    if json_file:
        write_json(json_file, content, '--json')


def _record(model: ModelSettings, recording: Recording, options: RecordingOptions, label_space: str) -> dict[str, Any]:
    """What the parts of a recording depend on."""
    return {
        'mtperception': __version__,
        'command': 'replay',
        'model': sha256(open_model(model.model).path / CARD),
        'topics': recording.topics.roles(),
        'images': digest(map(str, recording.stamps_ns)),
        'label_space': label_space,
        'classes': sha256(find('labels', label_space)) if label_space else '',
        **asdict(options),
        'backend': model.backend,
        'precision': model.precision,
    }


def _shared(
    folder: PartFolder,
    model: str,
    open_predictor: Callable[[], Predictor],
    recording: Recording,
    shard: Shard,
    truth_space: LabelSpace | None,
) -> Replay | None:
    """The scores of all parts, after those of this share are made; None while others are missing."""
    with progress('replaying', len(shard.positions(recording.count))) as move:
        score_shares(folder, open_predictor, recording, shard, truth_space, move)
    if missing := len(folder.missing()):
        typer.echo(f'{missing} of {folder.count} parts are not finished yet: run the other shards', err=True)
        return None
    return conclude(merge_shares(folder, open_model(model), recording, truth_space))


@contextmanager
def _live_run(recording: Recording, plan: LivePlan | None) -> Iterator[LiveRun | None]:
    """What came of playing the recording to the node; None without a plan."""
    if plan is None:
        yield None
        return
    try:
        with live_run(recording, plan) as run:
            yield run
    except InterruptedRunError as error:
        typer.echo('interrupted: nothing was measured', err=True)
        raise typer.Exit(error.status) from None


def _scored(
    recording: Recording,
    predictor: Predictor,
    truth_space: LabelSpace | None,
    out_bag: Path | None,
    run: LiveRun | None,
) -> tuple[Replay, dict[str, Any]]:
    """The scores, and the figures of a run with the node, which are none without one."""
    comparison = run and LiveComparison(run, predictor)
    with progress('replaying', recording.count) as move, _recorder(out_bag, recording, predictor) as recorder:
        result = replay_recording(
            predictor,
            recording,
            truth_space=truth_space,
            on_frame=move,
            on_message=recorder and recorder.message,
            listeners=[*([comparison.add] if comparison else []), *([recorder.frame] if recorder else [])],
        )
    return result, {**run.summary(), 'difference': comparison.result()} if run else {}


@contextmanager
def _recorder(out: Path | None, recording: Recording, predictor: Predictor) -> Iterator[BagRecorder | None]:
    """Writes a bag, and says so in the end; None without a path."""
    if out is None:
        yield None
        return
    with (
        naming_option('--out-bag'),
        recorded_bag(out, recording.path, predictor, recording.used_topics) as recorder,
    ):
        yield recorder
    typer.echo(f'{out}: written, the outputs in the namespace {recorder.namespace or "/"}', err=True)
    for topic, reason in LEFT_OUT.items():
        typer.echo(f'{out}: without {topic}: {reason}', err=True)


def _report_writer(out: Path, bag: Path) -> Callable[..., None]:
    with report_needs('matplotlib and jinja2'):
        from mtperception.replay.replay_page import write_report
    prepare_report(out, [str(bag)])
    return write_report
