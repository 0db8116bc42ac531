"""Expert labelling: what a data set has no ground truth for is annotated by a network that knows it.

After V. Nekrasov et al., Real-Time Joint Semantic Segmentation and Depth Estimation Using Asymmetric Annotations
(ICRA 2019): hard labels of a large network stand in for the missing ones.

The result is a data set in the `folder` layout whose images and known annotations stay where they are:

out/dataset.json      the layout of the source, its paths leading there, and what was added
    <split>.txt       the ids; written last: a folder that has it is complete
    labels/{id}.png   and depth/{id}.png: what was added
    expert.json       who made it, of what: nobody else may go on with it
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtperception.data.dataset import DatasetError
from mtperception.media import write_image
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
    """Images whose files were there already."""


def label_images(
    images: ImageSet,
    expert: Teacher,
    out: Path,
    request: Request,
    report: Callable[[int], None] = lambda done: None,
) -> Done:
    """Annotate images. A run that was interrupted goes on where it stopped.

    Args:
        images: what to annotate.
        expert: annotates.
        out: the folder to write; made if need be.
        request: what to write.
        report: told after each image how many are done.

    Raises:
        DatasetError: at an image that cannot be read (what was done before is kept), or if `out` holds something else.
        TeacherError: if the expert cannot do what is asked for, or there is nothing to do.
        ValueError: if the expert's label space has no such grouping.
        OSError: if a file cannot be written.
    """
    annotations = _annotations(images, expert, request)
    layout = images.layout_seen_from(out)
    _claim(out, images, _record(layout['rgb'], expert, annotations, request))
    labelled = 0
    for count, name in enumerate(images.ids, 1):
        labelled += _label_image(images, name, expert, annotations, out)
        report(count)
    added = {key: value for annotation in annotations for key, value in annotation.entries.items()}
    _write_json(out / LAYOUT, {**layout, **added})
    _write_text(out / f'{images.split}.txt', ''.join(f'{name}\n' for name in images.ids))
    return Done(labelled, len(images.ids) - labelled)


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


def _claim(out: Path, images: ImageSet, record: Mapping[str, Any]) -> None:
    """Make the folder, or check that it is one of the same expert, source and request."""
    if out.resolve() == images.root.resolve():
        raise DatasetError(f'{out} holds the images: expected another folder for what is made of them')
    if (out / RECORD).exists():
        _check_record(out, record)
        return
    strangers = [name for name in (LAYOUT, *KEY_OF_TASK.values()) if (out / name).exists()]
    if strangers:
        raise DatasetError(f'{out}: has {strangers[0]} but no {RECORD}: not made by an expert: choose another folder')
    out.mkdir(parents=True, exist_ok=True)
    _write_json(out / RECORD, record)


def _check_record(out: Path, record: Mapping[str, Any]) -> None:
    path = out / RECORD
    try:
        found = json.loads(path.read_text(encoding='utf-8'))
        differences = [
            f'{key} {found.get(key)!r} instead of {value!r}' for key, value in record.items() if found.get(key) != value
        ]
    except (ValueError, AttributeError) as error:
        raise DatasetError(f'{path}: not readable as a JSON object: {error}') from error
    if differences:
        raise DatasetError(f'{out}: made with {"; ".join(differences)}: choose another folder, or remove this one')


def _label_image(images: ImageSet, name: str, expert: Teacher, annotations: Sequence[Annotation], out: Path) -> bool:
    """Write those files of an image that are not there; whether there were any."""
    missing = [annotation for annotation in annotations if not annotation.path(out, name).exists()]
    if not missing:
        return False
    prediction = expert(*images.read(name))
    for annotation in missing:
        path = annotation.path(out, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = _unfinished(path)
        write_image(unfinished, annotation.encode(prediction))
        unfinished.replace(path)
    return True


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _write_text(path, json.dumps(content, indent=1) + '\n')


def _write_text(path: Path, text: str) -> None:
    unfinished = _unfinished(path)
    unfinished.write_text(text, encoding='utf-8')
    unfinished.replace(path)


def _unfinished(path: Path) -> Path:
    """Where a file is written before it gets its name: whoever sees the name sees a complete file."""
    return path.with_name(f'.unfinished-{path.name}')
