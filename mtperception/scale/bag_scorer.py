# SPDX-License-Identifier: Apache-2.0
"""Many recordings, each scored by a worker; what is scored of a bag is kept until model, bag or options change."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mtperception import __version__
from mtperception.atomic_write import write_text_atomically
from mtperception.card import CARD, open_model, sha256
from mtperception.errors import SourceError
from mtperception.labels import LabelSpace, load_label_space
from mtperception.predictor import Predictor
from mtperception.recording.recording import Recording
from mtperception.recording.recording_options import RecordingOptions
from mtperception.replay.replay import score
from mtperception.resources import find
from mtperception.scale.job_file import JobFile
from mtperception.scale.workers import Outcome

RECORD = 'job.json'


@dataclass(frozen=True)
class BagPlan:
    """How bags are scored, in words that another process understands."""

    model: str
    folder: Path
    """Where the scores are kept."""
    recording: RecordingOptions
    label_space: str
    """Label space of the label topic; empty: the model's."""
    backend: str
    device: str
    precision: str

    @cached_property
    def _record(self) -> dict[str, Any]:
        """What scores depend on, but for the bag."""
        return {
            'mtperception': __version__,
            'model': sha256(open_model(self.model).path / CARD),
            **asdict(self.recording),
            'label_space': self.label_space,
            'classes': sha256(find('labels', self.label_space)) if self.label_space else '',
            'backend': self.backend,
            'precision': self.precision,
        }

    @property
    def truth_space(self) -> LabelSpace | None:
        """Label space of the label topic, if one was asked for."""
        return load_label_space(self.label_space) if self.label_space else None

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.model, self.backend, self.device, self.precision)

    def load(self) -> Predictor:
        """The model, which is loaded once. Raises as `Predictor`."""
        return self._predictor

    def path(self, bag: str) -> Path:
        """Where the scores of a bag are kept: the name changes with all that they depend on.

        Raises:
            SourceError: if there is no such bag.
        """
        content = json.dumps({**self._record, 'bag': bag, 'files': _state_of(Path(bag))}, sort_keys=True)
        return self.folder / f'{Path(bag).stem}-{hashlib.sha256(content.encode()).hexdigest()[:16]}.json'

    def is_done(self, bag: str) -> bool:
        """Whether a bag is scored as it is now."""
        try:
            return self.path(bag).exists()
        except SourceError:
            return False

    def copy(self) -> 'BagPlan':
        """The plan without what was worked out and loaded here."""
        return replace(self)

    def close(self) -> None:
        """Release the model, if it was loaded."""
        if '_predictor' in vars(self):
            vars(self).pop('_predictor').close()


class BagScorer:
    """Scores bags that nobody has scored; the plan's model is loaded once, when it is needed.

    Args:
        plan: how.
        on_frame: called with the number of frames done of a bag and how many it has, after each one.
    """

    def __init__(self, plan: BagPlan, on_frame: Callable[[int, int], None] = lambda done, count: None) -> None:
        plan.folder.mkdir(parents=True, exist_ok=True)
        self._plan = plan
        self._on_frame = on_frame
        self._job = JobFile(plan.folder / RECORD, {'command': 'replay-many'})

    def __call__(self, bags: Sequence[str]) -> Iterator[Outcome]:
        """Score bags, each after what another process is at. A bag that cannot be used costs itself only.

        Raises:
            ResourceNotFoundError, ModelError, BackendUnavailableError, SelfTestError, ValueError: as `Predictor`; that
                is no fault of a bag, and none is read.
            WriteError: if scores cannot be kept.
        """
        for bag in self._job.divide(bags, self._plan.is_done):
            if self._plan.is_done(bag):
                yield Outcome(bag, kept=True)
                continue
            predictor = self._plan.load()
            try:
                path = self._plan.path(bag)
                content = self._score(predictor, bag)
                if path != self._plan.path(bag):
                    raise SourceError(f'{bag}: changed while it was scored: run it again when it is complete')
            except (ValueError, OSError) as error:
                yield Outcome(bag, failed=str(error))
                continue
            write_text_atomically(path, json.dumps(content))
            yield Outcome(bag)

    def close(self) -> None:
        """Release the model, if it was loaded, and what is claimed."""
        self._job.close()
        self._plan.close()

    def _score(self, predictor: Predictor, bag: str) -> Mapping[str, Any]:
        plan = self._plan
        with Recording(Path(bag), plan.recording) as recording:
            part = score(
                predictor,
                recording,
                range(recording.count),
                truth_space=plan.truth_space,
                on_frame=lambda done: self._on_frame(done, recording.count),
            )
            if not part.scorer.frames:
                raise SourceError(f'{bag}: no usable image: {"; ".join(recording.notes)}')
            return {'bag': bag, 'topics': recording.topics.roles(), 'part': part.state()}


def open_bag_scorer(plan: BagPlan) -> BagScorer:
    """A scorer with a model of its own, for another process, which ends with it."""
    return BagScorer(plan)


def _state_of(bag: Path) -> list[list[Any]]:
    """Name, size and time of change of the files of a bag."""
    if not bag.exists():
        raise SourceError(f'{bag}: no such file or folder: expected a rosbag2 folder, or an .mcap or .db3 file')
    files = sorted(path for path in bag.iterdir() if path.is_file()) if bag.is_dir() else [bag]
    return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in files]
