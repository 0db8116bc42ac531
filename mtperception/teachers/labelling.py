# SPDX-License-Identifier: Apache-2.0
"""Expert labelling: what a data set has no ground truth for is annotated by a network that knows it.

After V. Nekrasov et al., Real-Time Joint Semantic Segmentation and Depth Estimation Using Asymmetric Annotations
(ICRA 2019): hard labels of a large network stand in for the missing ones.

The result is a data set in the `folder` layout whose images and known annotations stay where they are:

out/dataset.json      the layout of the source, its paths leading there, and what was added
    <split>.txt       the ids; written last: a folder that has it is complete
    labels/{id}.png   and depth/{id}.png: what was added
    expert.json       who made it, of what: no other teacher may continue it

Any number of processes may write to one folder: who annotates an image has claimed it in `expert.json` (`JobFile`).
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from mtperception.atomic_write import write_if_changed
from mtperception.data.dataset import DatasetError
from mtperception.media import write_image
from mtperception.scale.job_file import JobError, JobFile, check_record
from mtperception.scale.shard import WHOLE, Shard
from mtperception.scale.workers import Outcome, Worker
from mtperception.tasks import TASKS
from mtperception.teachers import TeacherOptions, open_teacher
from mtperception.teachers.annotations import Annotation, depth_annotation, labels_annotation
from mtperception.teachers.image_set import LAYOUT, ImageSet
from mtperception.teachers.teacher import Teacher, TeacherError

RECORD = 'expert.json'
KEY_OF_TASK = {name: task.stored for name, task in TASKS.items() if task.stored}
"""The tasks that can be labelled, with their key in `dataset.json`."""


@dataclass(frozen=True)
class Request:
    """What to write."""

    task: str = ''
    """'segmentation' or 'depth', even over a ground truth; empty: all that the images lack and the teacher knows."""
    grouping: str = ''
    """Label space to map the labels to; empty: the teacher's own."""
    minimum_confidence: float = 0.0
    """0..1: labels that the teacher is less sure of become 255."""


@dataclass(frozen=True)
class Done:
    """What a run did."""

    labelled: int
    """Images that the teacher looked at."""
    kept: int
    """Images of its share whose files already existed, or were made by another process meanwhile."""
    failed: Mapping[str, str]
    """Why an image could not be annotated, by id."""
    missing: int
    """Images of the whole split that are not annotated yet; the list of ids is written when there are none."""


class Labeller:
    """Annotates images of a set. A context manager: it holds the record of the folder.

    Args:
        images: what to annotate.
        teacher: annotates.
        out: the folder to write; created if missing.
        request: what to write.

    Raises:
        DatasetError: if `out` holds something else.
        TeacherError: if the teacher cannot do what is asked for, or there is nothing to do.
        ValueError: if the teacher's label space has no such grouping.
    """

    def __init__(self, images: ImageSet, teacher: Teacher, out: Path, request: Request) -> None:
        self._images = images
        self._teacher = teacher
        self._out = out
        self._annotations = _annotations(images, teacher, request)
        self._layout = images.layout_seen_from(out)
        self._record = _record(self._layout['rgb'], images, teacher, self._annotations, request)
        _check_place(out, images, self._record)
        self._job: JobFile | None = None

    @property
    def keys(self) -> list[str]:
        """What is written for each image: `labels`, `depth`."""
        return [annotation.key for annotation in self._annotations]

    def open(self) -> 'Labeller':
        """Make the folder and its record; before, nothing is written."""
        self._out.mkdir(parents=True, exist_ok=True)
        self._job = JobFile(self._out / RECORD, self._record)
        return self

    def __call__(self, names: Sequence[str]) -> Iterator[Outcome]:
        """Annotate the images that are not annotated yet, each after what another process is at.

        Raises:
            OSError: if a file cannot be written.
        """
        for name in self._job.divide(names, self.is_done):
            yield self._annotate(name)

    def is_done(self, name: str) -> bool:
        """Whether all files of an image are there."""
        return not self._missing(name)

    def complete(self) -> int:
        """Write what makes the folder a data set, if all images are annotated and it is not there.

        Returns:
            How many images are missing.
        """
        with self._job.claim('list of ids', wait=True):
            missing = sum(not self.is_done(name) for name in self._images.ids)
            if not missing:
                added = {key: value for annotation in self._annotations for key, value in annotation.entries.items()}
                write_if_changed(self._out / LAYOUT, json.dumps({**self._layout, **added}, indent=1) + '\n')
                ids = ''.join(f'{name}\n' for name in self._images.ids)
                write_if_changed(self._out / f'{self._images.split}.txt', ids)
        return missing

    def close(self) -> None:
        """Let go of the folder; the teacher stays open."""
        self._job.close()

    def __enter__(self) -> 'Labeller':
        """Make the folder."""
        return self.open()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the folder."""
        self.close()

    def _annotate(self, name: str) -> Outcome:
        """Write those files of an image that are not there. An image that cannot be used costs itself only."""
        missing = self._missing(name)
        if not missing:
            return Outcome(name, kept=True)
        try:
            prediction = self._teacher(*self._images.read(name))
        except ValueError as error:
            return Outcome(name, failed=str(error))
        for annotation in missing:
            write_image(annotation.path(self._out, name), annotation.encode(prediction))
        return Outcome(name)

    def _missing(self, name: str) -> list[Annotation]:
        return [annotation for annotation in self._annotations if not annotation.path(self._out, name).exists()]


def label_images(
    images: ImageSet,
    teacher: Teacher,
    out: Path,
    request: Request,
    report: Callable[[int], None] = lambda done: None,
    shard: Shard = WHOLE,
    worker: Worker | None = None,
) -> Done:
    """Annotate images. A run that was interrupted resumes where it stopped.

    Several runs may share a folder, be it with a shard each or all with the whole: no image is annotated twice. A run
    ends when its share is done, whoever did it; the last one completes the folder.

    Args:
        images: what to annotate.
        teacher: annotates.
        out: the folder to write; created if missing.
        request: what to write.
        report: told after each image how many are done.
        shard: the share of the images to annotate.
        worker: does it instead of a `Labeller` in this process: others like it, elsewhere.

    Raises:
        DatasetError, TeacherError, ValueError: as `Labeller`.
        OSError: if a file cannot be written.
    """
    names = [images.ids[position] for position in shard.positions(len(images.ids))]
    with Labeller(images, teacher, out, request) as labeller:
        todo = [name for name in names if not labeller.is_done(name)]
        labelled, kept, failed = 0, len(names) - len(todo), {}
        report(kept)
        for count, outcome in enumerate((worker or labeller)(todo), kept + 1):
            kept += outcome.kept
            if outcome.failed:
                failed[outcome.item] = outcome.failed
            labelled = count - kept - len(failed)
            report(count)
        missing = labeller.complete()
    return Done(labelled, kept, {name: failed[name] for name in names if name in failed}, missing)


def _annotations(images: ImageSet, teacher: Teacher, request: Request) -> list[Annotation]:
    """What is to be written for each image."""
    known = [task for task in KEY_OF_TASK if task in teacher.tasks]
    tasks = [request.task] if request.task else [task for task in known if KEY_OF_TASK[task] not in images.layout]
    if not known or set(tasks) - set(known):
        expected = request.task or ' or '.join(KEY_OF_TASK)
        raise TeacherError(f'{teacher.name} has {", ".join(teacher.tasks)}: expected a teacher for {expected}')
    if not tasks:
        raise TeacherError(
            f'{images.root} has ground truth for every task of {teacher.name} ({", ".join(known)}): '
            'pass --task to overwrite one'
        )
    annotations = []
    if 'segmentation' in tasks:
        annotations.append(labels_annotation(teacher, request.grouping, request.minimum_confidence))
    elif request.grouping or request.minimum_confidence:
        raise TeacherError(f'grouping or minimum confidence given, but no labels are written, only {", ".join(tasks)}')
    if 'depth' in tasks:
        annotations.append(depth_annotation(teacher))
    return annotations


def _record(
    source: str, images: ImageSet, teacher: Teacher, annotations: Sequence[Annotation], request: Request
) -> dict[str, Any]:
    """What the files of an output folder depend on."""
    return {
        'expert': teacher.name,
        'sha256': teacher.sha256,
        'label_space': teacher.label_space.name,
        'source': source,
        'camera': list(astuple(images.camera)) if images.camera else None,
        'annotations': [annotation.key for annotation in annotations],
        'grouping': request.grouping,
        'minimum_confidence': request.minimum_confidence,
    }


def _check_place(out: Path, images: ImageSet, record: Mapping[str, Any]) -> None:
    """Check that nothing is in the way of a folder, or that it is of the same teacher, source and request."""
    if out.resolve() == images.root.resolve():
        raise DatasetError(f'{out} holds the images: choose another folder for the output')
    strangers = [name for name in (LAYOUT, *KEY_OF_TASK.values()) if (out / name).exists()]
    path = out / RECORD
    if path.exists():  # looked at last: who makes the others has made it before
        content = path.read_bytes()
        try:
            check_record(path, content or json.dumps(record).encode(), record)
        except JobError as error:
            raise DatasetError(str(error)) from error
    elif strangers:
        raise DatasetError(
            f'{out}: has {strangers[0]} but no {RECORD}: not an output of this command: choose another folder'
        )


def open_labeller(images: ImageSet, model: str, options: TeacherOptions, out: Path, request: Request) -> Labeller:
    """A labeller with a teacher of its own, for another process, which ends with it.

    Raises:
        TeacherError, ResourceNotFoundError, ModelError, BackendUnavailableError, SelfTestError: as `open_teacher`.
        DatasetError, ValueError: as `Labeller`.
    """
    return Labeller(images, open_teacher(model, options), out, request).open()
