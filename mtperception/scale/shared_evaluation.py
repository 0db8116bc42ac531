# SPDX-License-Identifier: Apache-2.0
"""An evaluation that several processes divide: each scores parts of the data set, the last one merges them."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mtperception import __version__
from mtperception.card import CARD, open_model, sha256
from mtperception.data import Dataset, DatasetError, open_dataset
from mtperception.data.fold import Subset, held_back
from mtperception.dataset_json import NAME as DATASET_JSON
from mtperception.errors import InputError
from mtperception.evaluation.evaluate import Evaluation, Evaluator, conclude
from mtperception.evaluation.protocol import Setting
from mtperception.evaluation.scores import Scores
from mtperception.predictor import Predictor
from mtperception.scale.part_folder import PartFolder, parts_of
from mtperception.scale.shard import Shard
from mtperception.scale.workers import Outcome


def digest(names: Iterable[str]) -> str:
    """Stands for a list of ids in the record of a job."""
    return hashlib.sha256('\n'.join(names).encode()).hexdigest()


def _description(root: Path) -> str:
    """Stands for what a folder says about itself, if it does: another depth scale is another truth."""
    path = root / DATASET_JSON
    return sha256(path) if path.is_file() else ''


@dataclass(frozen=True)
class ImageSelection:
    """Which images of a data set."""

    dataset: str
    root: Path
    split: str
    fold: int | None
    """Of those, the ones that are held back in a fold; None: all."""

    @cached_property
    def images(self) -> Dataset:
        """The samples.

        Raises:
            DatasetError: if the data set cannot be read, or there are none.
            InputError: if there are none in the fold.
        """
        images = open_dataset(self.dataset, self.root, self.split)
        if not len(images):
            raise DatasetError(f'{self.root}: no images in {self.split}: expected at least one')
        if self.fold is None:
            return images
        part = held_back(len(images), self.fold)
        if not part:
            raise InputError(
                f'{self.root}: fold {self.fold} has none of the {len(images)} images of {self.split}: leave --fold out'
            )
        return Subset(images, part)

    @property
    def description(self) -> dict[str, Any]:
        """What the protocol says of where the images are from."""
        on = 10 * (self.fold or 0)
        fold = {} if self.fold is None else {'fold': f'{self.fold}: of every hundred ids the ten from {on} on'}
        return {'dataset': self.dataset, 'split': self.split, **fold, 'images': len(self.images)}


@dataclass(frozen=True)
class EvaluationPlan:
    """What is evaluated on what, in words that another process understands."""

    model: str
    selection: ImageSelection
    normals_window: int
    backend: str
    device: str
    precision: str
    protocol: str = ''
    """Protocol of a paper, a key of `evaluation.paper_protocols.PROTOCOLS`; empty: none."""

    @property
    def images(self) -> Dataset:
        """The samples; raises as `ImageSelection.images`."""
        return self.selection.images

    def open_folder(self, folder: Path) -> PartFolder:
        """The folder of its parts; raises as `PartFolder`."""
        record = {
            'mtperception': __version__,
            'command': 'evaluate',
            'model': sha256(open_model(self.model).path / CARD),
            **self.selection.description,
            'root': str(self.selection.root),
            'description': _description(self.selection.root),
            'ids': digest(self.images.ids),
            'backend': self.backend,
            'precision': self.precision,
            'normals_window': self.normals_window,
            'protocol': self.protocol,
        }
        return PartFolder(folder, record, parts_of(len(self.images)))

    def part(self, position: int) -> range:
        """Positions of the samples of a part."""
        return Shard(position + 1, parts_of(len(self.images))).positions(len(self.images))

    def share(self, shard: Shard) -> range:
        """Positions of the parts of a share."""
        return shard.positions(parts_of(len(self.images)))

    @cached_property
    def evaluator(self) -> Evaluator:
        """What scores; loaded when it is first asked for. Raises as `Predictor` and `Evaluator`."""
        return Evaluator(
            Predictor(self.model, self.backend, self.device, self.precision),
            self.images,
            self.normals_window,
            self.protocol,
        )

    def close(self) -> None:
        """Release the model, if it was loaded."""
        if 'evaluator' in vars(self):
            self.evaluator.predictor.close()


class PartScorer:
    """Scores parts that nobody has scored.

    Args:
        plan: what to score.
        folder: where the parts are kept.
        on_image: called with the number of samples done of a part, after each one.
    """

    def __init__(
        self, plan: EvaluationPlan, folder: PartFolder, on_image: Callable[[int], None] = lambda done: None
    ) -> None:
        self._plan = plan
        self._folder = folder
        self._on_image = on_image

    def __call__(self, parts: Sequence[str]) -> Iterator[Outcome]:
        """Score parts, named by their positions; bad samples are noted in them."""
        for part in self._folder.unfinished(map(int, parts)):
            evaluator = self._plan.evaluator
            scores = evaluator.scores(self._plan.part(part), skip_bad=True, on_image=self._on_image)
            self._folder.write(part, {'setting': asdict(evaluator.setting), 'scores': scores.state()})
            yield Outcome(str(part))


def open_part_scorer(plan: EvaluationPlan, folder: Path) -> PartScorer:
    """A scorer with a model of its own, for another process, which ends with it."""
    return PartScorer(plan, plan.open_folder(folder))


def retry_failures(folder: PartFolder) -> None:
    """Of a finished job, let the parts be made again in which samples could not be used: they may be repaired now."""
    if folder.missing():
        return
    for position, content in enumerate(folder.contents()):
        if content['scores']['failed']:
            folder.remove(position)


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
