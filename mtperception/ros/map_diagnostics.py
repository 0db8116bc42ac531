# SPDX-License-Identifier: Apache-2.0
"""The status of a map on /diagnostics."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray

from mtperception.mapping.mapper import Mapper
from mtperception.mapping.plausibility import problems
from mtperception.ros.statuses import OK, WARN, status, statuses_at


@dataclass(frozen=True)
class MapStatus:
    """How a map was after a frame: made in the thread that changes it."""

    used: int
    values: Mapping[str, str]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, mapper: Mapper) -> 'MapStatus':
        """Status of the map as it is now."""
        statistics, volume = mapper.statistics, mapper.volume
        values = {
            'frames fused': str(statistics.used),
            'fusion p50 [ms]': f'{np.median(statistics.ms):.1f}' if statistics.ms else 'n/a',
            'fusion max [ms]': f'{max(statistics.ms):.1f}' if statistics.ms else 'n/a',
            'memory [MB]': f'{volume.memory_mb:.1f}',
            'blocks': str(volume.blocks),
            'dropped blocks': str(volume.dropped_blocks),
            'archived blocks': str(volume.archived_blocks),
            'depth scale factor': f'{statistics.scales[-1]:.3f}' if statistics.scales else 'off',
        }
        return cls(statistics.used, values, tuple(problems(statistics, mapper.options, '')))


def map_diagnostics(
    node_name: str,
    of_map: MapStatus,
    dropped: Mapping[str, int],
    last_reason: str,
    *,
    is_listening: bool,
    is_fusing: bool,
    is_stalled: bool,
    now_ns: int,
) -> DiagnosticArray:
    """One status `map`: OK; WARN if nothing is fused though frames come, or the map is implausible.

    Args:
        node_name: fully qualified.
        of_map: its status.
        dropped: frames by reason.
        last_reason: of the newest one that was dropped.
        is_listening: whether the node is active.
        is_fusing: whether a frame was fused a short while ago.
        is_stalled: whether frames were dropped and none was fused since the last report.
        now_ns: the node's clock.
    """
    values = {
        **of_map.values,
        'frames dropped': str(sum(dropped.values())),
        **{f'dropped {reason}': str(count) for reason, count in sorted(dropped.items()) if count},
        'last reason': last_reason,
    }
    level, text = OK, 'mapping' if is_fusing else 'waiting for frames' if is_listening else 'inactive'
    if is_stalled:
        level, text = WARN, f'nothing fused: {last_reason}'
    elif of_map.problems:
        level, text = WARN, of_map.problems[0]
    return statuses_at(now_ns, [status(f'{node_name}: map', level, text, values)])
