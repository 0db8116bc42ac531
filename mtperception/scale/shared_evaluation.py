"""An evaluation that several processes divide: each scores parts of the data set, the last one merges them."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from mtperception.evaluation.evaluate import Evaluation, Evaluator, conclude
from mtperception.evaluation.protocol import Setting
from mtperception.evaluation.scores import Scores
from mtperception.scale.part_folder import PartFolder, parts_of
from mtperception.scale.shard import WHOLE, Shard


def digest(names: Iterable[str]) -> str:
    """Stands for a list of ids in the record of a job."""
    return hashlib.sha256('\n'.join(names).encode()).hexdigest()


def score_parts(
    folder: PartFolder,
    open_evaluator: Callable[[], Evaluator],
    items: int,
    shard: Shard = WHOLE,
    on_image: Callable[[int], None] = lambda done: None,
) -> None:
    """Score the parts of a share that nobody has scored.

    Args:
        folder: of `parts_of(items)` parts, where they are kept.
        open_evaluator: gives what scores; called for every part, not if there is nothing to do.
        items: samples of the data set.
        shard: the share of the parts.
        on_image: called with the number of samples of the share that are done, after each one.
    """
    share = shard.positions(parts_of(items))
    done = sum(len(part_positions(part, items)) for part in share if folder.is_finished(part))
    for part in folder.unfinished(share):
        positions = part_positions(part, items)
        content = score_part(open_evaluator(), positions, lambda count, before=done: on_image(before + count))
        folder.write(part, content)
        done += len(positions)


def share_size(items: int, shard: Shard) -> int:
    """How many samples a share has."""
    return sum(len(part_positions(part, items)) for part in shard.positions(parts_of(items)))


def part_positions(part: int, items: int) -> Sequence[int]:
    """Positions of the samples of a part, of so many in the data set."""
    return Shard(part + 1, parts_of(items)).positions(items)


def score_part(
    evaluator: Evaluator, positions: Sequence[int], on_image: Callable[[int], None] = lambda done: None
) -> dict[str, Any]:
    """What is kept of a part: scores, and the setting they came about in. Bad samples are noted."""
    scores = evaluator.scores(positions, skip_bad=True, on_image=on_image)
    return {'setting': asdict(evaluator.setting), 'scores': scores.state()}


def merge_parts(folder: PartFolder, selection: Mapping[str, Any]) -> Evaluation:
    """The evaluation that one process would have made.

    Args:
        folder: with all its parts.
        selection: as `conclude`.

    Raises:
        DatasetError: if there is nothing to compare.
    """
    settings: list[Setting] = []
    total: Scores | None = None
    for content in folder.contents():
        settings.append(Setting(**content['setting']))
        scores = settings[-1].no_scores()
        scores.restore(content['scores'])
        if total is None:
            total = scores
        else:
            total.merge(scores)
    backend, hardware = (
        '; '.join(dict.fromkeys(getattr(setting, name) for setting in settings)) for name in ('backend', 'hardware')
    )
    return conclude(replace(settings[0], backend=backend, hardware=hardware), total, selection)
