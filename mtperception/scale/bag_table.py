# SPDX-License-Identifier: Apache-2.0
"""Scores of many bags, put together: by bag, by group and over all."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.card import ModelDirectory
from mtperception.labels import LabelSpace
from mtperception.replay.replay import ScoredPart, conclude
from mtperception.replay.result import DEFINITIONS, SERIES, Replay, ordering_metrics, summary_of
from mtperception.replay.scorer import Scorer
from mtperception.tasks import TASKS, larger_is_better

SHARED = ('network_size', 'input', 'depth_range', *TASKS, *DEFINITIONS)
"""Entries of a bag's protocol that are the same for all bags."""


@dataclass(frozen=True)
class BagScore:
    """One bag."""

    bag: str
    group: str
    """What the regular expression found in its path; empty without one."""
    frames: int
    metrics: Mapping[str, float]
    topics: Mapping[str, str]
    notes: Sequence[str]


@dataclass
class Pool:
    """The frames of several bags, as sums: not one by one, since a fleet has millions."""

    scorer: Scorer
    bags: int = 0
    frames: int = 0
    series: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in SERIES})

    def add(self, part: ScoredPart, replay: Replay) -> None:
        """Add a bag."""
        self.scorer.merge_sums(part.scorer)
        self.bags += 1
        self.frames += len(replay.frames)
        for name, columns in self.series.items():
            columns.append(replay.column(name))

    def metrics(self) -> dict[str, float]:
        """As those of one recording; the changes from one frame to the next are those within the bags."""
        if not self.bags:
            return {}
        tasks = {
            task: {name: value for name, value in values.items() if not np.isnan(value)}
            for task, values in self.scorer.task_metrics().items()
        }
        return summary_of(tasks, self.scorer.depth_metrics(), self.series)


@dataclass(frozen=True)
class BagTable:
    """What a model achieved on many bags."""

    model: str
    metrics: Mapping[str, float]
    """Over all bags."""
    frames: int
    bags: Sequence[BagScore]
    """The worst first."""
    groups: Mapping[str, tuple[int, int, Mapping[str, float]]]
    """Bags, frames and metrics by group; none without a regular expression."""
    failed: Mapping[str, str]
    """Why a bag could not be used."""
    protocol: Mapping[str, Any]
    hardware: str


def merge_bags(
    paths: Mapping[str, Path],
    failed: Mapping[str, str],
    model: ModelDirectory,
    truth_space: LabelSpace | None,
    pattern: str = '',
) -> BagTable:
    """Put the scores of bags together.

    Args:
        paths: where the scores of each bag are kept; in this order they are read, one at a time.
        failed: the bags that could not be used, with the reasons.
        model: that was scored.
        truth_space: of their label topics; None for the model's own.
        pattern: a regular expression: what its first group, else all of it, finds in a path names the bag's group.
    """
    bags, groups = [], {}
    space = truth_space or model.label_space if 'segmentation' in model.card.tasks else None
    overall, protocol = Pool(Scorer(model, space)), {}
    hardware, backends = {}, {}
    for bag, path in paths.items():
        content = json.loads(path.read_text(encoding='utf-8'))
        scorer = Scorer(model, (truth_space or model.label_space) if content['topics']['labels'] else None)
        part = ScoredPart.restored(content['part'], scorer)
        replay = conclude(part)
        group = group_of(bag, pattern)
        bags.append(BagScore(bag, group, len(replay.frames), replay.summary(), content['topics'], list(replay.notes)))
        overall.add(part, replay)
        if pattern:
            groups.setdefault(group, Pool(Scorer(model, space))).add(part, replay)
        hardware[part.hardware] = backends[part.backend] = None
        protocol = replay.protocol
    return BagTable(
        model=model.card.name,
        metrics=overall.metrics(),
        frames=overall.frames,
        bags=worst_first(bags),
        groups={name: (pool.bags, pool.frames, pool.metrics()) for name, pool in sorted(groups.items())},
        failed=failed,
        protocol={**{name: protocol[name] for name in SHARED if name in protocol}, 'backend': '; '.join(backends)},
        hardware='; '.join(hardware),
    )


def group_of(bag: str, pattern: str) -> str:
    """What a regular expression finds in a path: its first group if it has one; empty if it finds nothing."""
    found = re.search(pattern, bag) if pattern else None
    if found is None:
        return ''
    return (found[1] if found.re.groups else found[0]) or ''


def worst_first(bags: Sequence[BagScore]) -> list[BagScore]:
    """By the first of `ordering_metrics` that any bag has; bags without it last, equal ones in their order."""
    metric = next((name for name in ordering_metrics() if any(not _lacks(bag, name) for bag in bags)), None)
    if metric is None:
        return list(bags)
    sign = 1 if larger_is_better(metric) else -1
    return sorted(bags, key=lambda bag: (_lacks(bag, metric), 0 if _lacks(bag, metric) else sign * bag.metrics[metric]))


def _lacks(bag: BagScore, metric: str) -> bool:
    return bool(np.isnan(bag.metrics.get(metric, np.nan)))
