# SPDX-License-Identifier: Apache-2.0
"""The statuses on /diagnostics: input and processing of each camera, and the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticArray

from mtperception.backends.memory import resident_bytes
from mtperception.card import GRAPH
from mtperception.predictor import Predictor
from mtperception.ros.monitor import Monitor
from mtperception.ros.statuses import ERROR, OK, WARN, status, statuses_at

MAX_AGE_S = 10.0
IDLE = 'idle: no subscribers'
INACTIVE = 'inactive'


@dataclass(frozen=True)
class Stream:
    """What the diagnostics show of one camera."""

    camera: str
    """Its name; empty for the only one."""
    monitor: Monitor
    has_subscribers: bool
    """Whether anybody subscribes to an output of it."""
    is_preparing: bool = False
    """Whether its images wait until the model is prepared for their size."""
    depth_scale_factor: float | None = None
    """On its depth, by the height of the camera; None if that is not known."""
    is_listening: bool = True
    """Whether the node is active."""


def diagnostic_array(
    node_name: str,
    streams: Sequence[Stream],
    predictor: Predictor,
    now_ns: int,
    *,
    min_output_rate: float = 0.0,
) -> DiagnosticArray:
    """The diagnostics of this moment.

    Args:
        node_name: fully qualified; in front of the name of each status, and before that of the camera.
        streams: the cameras.
        predictor: the model that runs.
        now_ns: the node's clock: ages are by it.
        min_output_rate: frames per second below which to warn; 0 = never.
    """
    summaries = {}
    for stream in streams:
        of_camera = f'{stream.camera}: ' if stream.camera else ''
        summaries[f'{of_camera}input'] = _input(stream, now_ns)
        summaries[f'{of_camera}processing'] = _processing(stream, min_output_rate)
    summaries['model'] = _model(predictor)
    hardware_id = predictor.card.name
    return statuses_at(
        now_ns, [status(f'{node_name}: {name}', *found, hardware_id) for name, found in summaries.items()]
    )


Summary = tuple[bytes, str, dict[str, str]]


def _input(stream: Stream, now_ns: int) -> Summary:
    monitor, refusals = stream.monitor, stream.monitor.refusals
    refused = refusals.counts
    values = {
        'rate [Hz]': f'{monitor.received.rate():.2f}',
        'age [ms]': _age(monitor.last_stamp_ns, now_ns),
        'frames in': str(monitor.received.count),
        'refused': str(sum(refused.values())),
        **{f'refused {kind}': str(count) for kind, count in sorted(refused.items())},
        'last reason': refusals.last_reason,
        **{f'remarked {kind}': str(count) for kind, count in sorted(monitor.remarks.counts.items())},
    }
    if refusals.recent():
        return WARN, f'refused: {refusals.last_reason}', values
    if not stream.is_listening:
        return OK, INACTIVE, values
    if not stream.has_subscribers:
        return OK, IDLE, values
    return OK, 'receiving' if monitor.received.rate() else 'waiting for images', values


def _processing(stream: Stream, min_output_rate: float) -> Summary:
    monitor = stream.monitor
    rate = monitor.answered.rate()
    values = {
        'output rate [Hz]': f'{rate:.2f}',
        'frames out': str(monitor.answered.count),
        'dropped': str(monitor.dropped),
        **{
            f'{stage} {name} [ms]': f'{value:.2f}'
            for stage, figures in monitor.ledger.summary().items()
            for name, value in zip(('p50', 'p99', 'max'), figures, strict=True)
        },
    }
    if stream.depth_scale_factor is not None:
        values['depth scale factor'] = f'{stream.depth_scale_factor:.3f}'
    if not stream.is_listening:
        return OK, INACTIVE, values
    if not stream.has_subscribers:
        return OK, IDLE, values
    if stream.is_preparing:
        return OK, 'preparing a new image size', values
    if monitor.stalled():
        return ERROR, 'images arrive, but none was answered', values
    if rate < min_output_rate:
        return WARN, f'output rate {rate:.1f} Hz, expected at least {min_output_rate:.1f} Hz', values
    return OK, 'running' if rate else 'waiting for images', values


def _model(predictor: Predictor) -> Summary:
    backend = predictor.backend
    values = {
        'name': predictor.card.name,
        'sha256': predictor.card.sha256[GRAPH],
        'backend': backend.name,
        'device': backend.device,
        'precision': backend.precision,
        'memory [MB]': f'{(resident_bytes() or 0) / 1e6:.0f}',
    }
    return OK, predictor.description, values


def _age(stamp_ns: int | None, now_ns: int) -> str:
    """Age of the newest image; n/a for stamps of another clock (a bag without sim time)."""
    age_s = None if stamp_ns is None else (now_ns - stamp_ns) / 1e9
    return f'{age_s * 1e3:.1f}' if age_s is not None and 0 <= age_s <= MAX_AGE_S else 'n/a'
