"""Expert labelling: what a data set has no ground truth for is annotated by a network that knows it.

After V. Nekrasov et al., Real-Time Joint Semantic Segmentation and Depth Estimation Using Asymmetric Annotations
(ICRA 2019): hard labels of a large network stand in for the missing ones.

The result is a data set in the `folder` layout whose images and known annotations stay where they are:

out/dataset.json      the layout of the source, its paths leading there, and what was added
    <split>.txt       the ids; written last: a folder that has it is complete
    labels/{id}.png   and depth/{id}.png: what was added
    expert.json       who made it, of what: nobody else may go on with it

Any number of processes may write to one folder: who annotates an image has claimed it in `expert.json` (`JobFile`).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtperception.atomic_write import write_text_atomically
from mtperception.data.dataset import DatasetError
from mtperception.media import write_image
from mtperception.scale.job_file import JobError, JobFile
from mtperception.scale.shard import WHOLE, Shard
from mtperception.teachers.annotations import Annotation, depth_annotation, labels_annotation
from mtperception.teachers.image_set import LAYOUT, ImageSet
from mtperception.teachers.teacher import Teacher, TeacherError

RECORD = 'expert.json'
KEY_OF_TASK = {'segmentation': 'labels', 'depth': 'depth'}
"""The tasks that can be labelled, with their key in `dataset.json`."""


@dataclass(frozen=True)
class Request:
    """What to write."""

    task: str = ''
    """'segmentation' or 'depth', even over a ground truth; empty: all that the images lack and the expert knows."""
    grouping: str = ''
    """Label space to map the labels to; empty: the expert's own."""
    minimum_confidence: float = 0.0
    """0..1: labels that the expert is less sure of become 255."""


@dataclass(frozen=True)
class Done:
    """What a run did."""

    labelled: int
    """Images that the expert looked at."""
    kept: int
    """Images of its share whose files were there already, or were made by another process meanwhile."""
    failed: Mapping[str, str]
    """Why an image could not be annotated, by id."""
    missing: int
    """Images of the whole split that are not annotated yet; the list of ids is written when there are none."""


def label_images(
    images: ImageSet,
    expert: Teacher,
    out: Path,
    request: Request,
    report: Callable[[int], None] = lambda done: None,
    shard: Shard = WHOLE,
) -> Done:
    """Annotate images. A run that was interrupted goes on where it stopped.

    Several runs may share a folder, be it with a shard each or all with the whole: no image is annotated twice. A run
    ends when its share is done, whoever did it; the last one completes the folder.

    Args:
        images: what to annotate.
        expert: annotates.
        out: the folder to write; made if need be.
        request: what to write.
        report: told after each image how many are done.
        shard: the share of the images to annotate.

    Raises:
        DatasetError: if `out` holds something else.
        TeacherError: if the expert cannot do what is asked for, or there is nothing to do.
        ValueError: if the expert's label space has no such grouping.
        OSError: if a file cannot be written.
    """
    annotations = _annotations(images, expert, request)
    layout = images.layout_seen_from(out)
    with _open_job(out, images, _record(layout['rgb'], expert, annotations, request)) as job:
        run = _Run(images, expert, annotations, out)
        names = [images.ids[position] for position in shard.positions(len(images.ids))]
        for count, name in enumerate(job.divide(names, run.is_done), 1):
            run.annotate(name)
            report(count)
        added = {key: value for annotation in annotations for key, value in annotation.entries.items()}
        with job.claim('list of ids', wait=True):
            missing = sum(not run.is_done(name) for name in images.ids)
            if not missing:
                _complete(out, images, {**layout, **added})
    return Done(run.labelled, len(names) - run.labelled - len(run.failed), run.failed, missing)


def _complete(out: Path, images: ImageSet, layout: Mapping[str, Any]) -> None:
    """Write what makes the folder a data set, unless it is there already."""
    files = {LAYOUT: _as_json(layout), f'{images.split}.txt': ''.join(f'{name}\n' for name in images.ids)}
    for name, text in files.items():
        path = out / name
        if not path.exists() or path.read_text(encoding='utf-8') != text:
            write_text_atomically(path, text)


class _Run:
    """Annotates images and counts."""

    def __init__(self, images: ImageSet, expert: Teacher, annotations: Sequence[Annotation], out: Path) -> None:
        self._images = images
        self._expert = expert
        self._annotations = annotations
        self._out = out
        self.labelled = 0
        self.failed: dict[str, str] = {}

    def is_done(self, name: str) -> bool:
        """Whether all files of an image are there."""
        return not self._missing(name)

    def annotate(self, name: str) -> None:
        """Write those files of an image that are not there. An image that cannot be used costs itself only."""
        missing = self._missing(name)
        if not missing:
            return
        try:
            prediction = self._expert(*self._images.read(name))
        except ValueError as error:
            self.failed[name] = str(error)
            return
        for annotation in missing:
            path = annotation.path(self._out, name)
            write_image(path, annotation.encode(prediction))
        self.labelled += 1

    def _missing(self, name: str) -> list[Annotation]:
        return [annotation for annotation in self._annotations if not annotation.path(self._out, name).exists()]


def _annotations(images: ImageSet, expert: Teacher, request: Request) -> list[Annotation]:
    """What is to be written for each image."""
    known = [task for task in KEY_OF_TASK if task in expert.tasks]
    tasks = [request.task] if request.task else [task for task in known if KEY_OF_TASK[task] not in images.layout]
    if not known or set(tasks) - set(known):
        expected = request.task or ' or '.join(KEY_OF_TASK)
        raise TeacherError(f'{expert.name} knows {", ".join(expert.tasks)}: expected an expert for {expected}')
    if not tasks:
        raise TeacherError(
            f'{images.root} has a ground truth for all that {expert.name} knows ({", ".join(known)}): '
            'name the task to label it nevertheless'
        )
    annotations = []
    if 'segmentation' in tasks:
        annotations.append(labels_annotation(expert, request.grouping, request.minimum_confidence))
    elif request.grouping or request.minimum_confidence:
        raise TeacherError(f'grouping or minimum confidence given, but no labels are written, only {", ".join(tasks)}')
    if 'depth' in tasks:
        annotations.append(depth_annotation(expert))
    return annotations


def _record(source: str, expert: Teacher, annotations: Sequence[Annotation], request: Request) -> dict[str, Any]:
    """What the files of an output folder depend on."""
    return {
        'expert': expert.name,
        'sha256': expert.sha256,
        'label_space': expert.label_space.name,
        'source': source,
        'annotations': [annotation.key for annotation in annotations],
        'grouping': request.grouping,
        'minimum_confidence': request.minimum_confidence,
    }


def _open_job(out: Path, images: ImageSet, record: Mapping[str, Any]) -> JobFile:
    """Make the folder, or check that it is one of the same expert, source and request."""
    if out.resolve() == images.root.resolve():
        raise DatasetError(f'{out} holds the images: expected another folder for what is made of them')
    strangers = [name for name in (LAYOUT, *KEY_OF_TASK.values()) if (out / name).exists()]
    if strangers and not (out / RECORD).exists():  # looked at last: who makes the others has made it before
        raise DatasetError(f'{out}: has {strangers[0]} but no {RECORD}: not made by an expert: choose another folder')
    out.mkdir(parents=True, exist_ok=True)
    try:
        return JobFile(out / RECORD, record)
    except JobError as error:
        raise DatasetError(str(error)) from error


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1) + '\n'
