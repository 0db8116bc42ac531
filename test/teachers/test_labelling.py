# SPDX-License-Identifier: Apache-2.0
"""Expert labelling by a real model: what is written, what is kept, and what is refused."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mtperception import resources
from mtperception.card import CARD, WEIGHTS, ModelCard, sha256
from mtperception.data.dataset import DatasetError
from mtperception.data.folder import Folder
from mtperception.labels import load_label_space
from mtperception.media import write_image
from mtperception.scale.job_file import JobFile
from mtperception.scale.shard import Shard
from mtperception.teachers import TeacherError, TeacherOptions, open_teacher
from mtperception.teachers.image_set import open_images
from mtperception.teachers.labelling import Request, label_images

CPU = TeacherOptions(backend='onnxruntime', device='cpu')
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(Path(__file__).resolve().parents[2])}
CAMERA = {'fx': 90.0, 'fy': 90.0, 'cx': 31.5, 'cy': 23.5, 'width': 64, 'height': 48}


@pytest.fixture(scope='module')
def teacher():
    with closing(open_teacher('nyuv2_indoor', CPU)) as opened:
        yield opened


def image(seed, width=64, height=48):
    """Smooth noise, RGB."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)


def make_source(root, count=3, annotations=(), **size):
    """A data set in the folder layout, with a ground truth for some annotations."""
    layout = {'rgb': 'rgb/{id}.png', 'note': 'kept', **(CAMERA if not size else {})}
    (root / 'rgb').mkdir(parents=True)
    ids = [f'{seed:03}' for seed in range(count)]
    for seed, name in enumerate(ids):
        write_image(root / 'rgb' / f'{name}.png', image(seed, **size))
    for key in annotations:
        (root / 'truth').mkdir(exist_ok=True)
        layout |= {'labels': {'labels': 'truth/{id}.png', 'label_space': 'nyuv2_13', 'ignore_index': 254}}.get(
            key, {'depth': 'truth/{id}.png', 'depth_scale': 0.1, 'depth_offset': 1.0, 'depth_invalid': 9}
        )
        for name in ids:
            write_image(root / 'truth' / f'{name}.png', np.full((48, 64), 7, np.uint8))
    (root / 'dataset.json').write_text(json.dumps(layout))
    (root / 'train.txt').write_text('\n'.join(ids))
    return root


def label(source, teacher, out, split='train', **request):
    return label_images(open_images(source, split), teacher, out, Request(**request))


def contents(folder):
    """Bytes by relative path."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def test_what_the_source_lacks_is_added_and_the_rest_stays_where_it_is(tmp_path, teacher):
    source, out = make_source(tmp_path / 'source', annotations=['depth']), tmp_path / 'made' / 'out'
    before = contents(source)
    done = label(source, teacher, out)
    assert (done.labelled, done.kept) == (3, 0)
    assert contents(source) == before
    names = ['dataset.json', 'expert.json', *(f'labels/00{i}.png' for i in range(3)), 'train.txt']
    assert [str(path) for path in contents(out)] == names
    labelled = Folder(out, 'train')
    assert (list(labelled.ids), labelled.label_space) == (['000', '001', '002'], 'nyuv2_40')
    for seed, sample in enumerate(labelled):
        np.testing.assert_array_equal(sample.image, image(seed))
        np.testing.assert_array_equal(sample.labels, teacher(image(seed), None).labels)
        np.testing.assert_allclose(sample.depth, 1.7, rtol=1e-6)  # the truth: 7 * 0.1 + 1
        assert sample.intrinsics.fx == 90
    layout = json.loads((out / 'dataset.json').read_text())
    assert layout['rgb'] == '../../source/rgb/{id}.png'
    assert layout['note'] == 'kept'


def test_depth_is_that_of_the_camera(tmp_path, teacher):
    source, out = make_source(tmp_path / 'source', annotations=['labels']), tmp_path / 'out'
    label(source, teacher, out)
    labelled = Folder(out, 'train')
    assert labelled.label_space == 'nyuv2_13'
    sample = labelled[1]
    expected = teacher(image(1), sample.intrinsics).depth
    np.testing.assert_allclose(sample.depth, expected, atol=0.00051)
    # fx 90 at the 64 pixels that the network sees, 389.145 in training: much nearer than without the camera.
    np.testing.assert_allclose(expected, teacher(image(1), None).depth * 90 / 389.145, rtol=1e-4)


def test_a_ground_truth_is_replaced_only_if_asked_for(tmp_path, teacher):
    source = make_source(tmp_path / 'source', count=1, annotations=['labels', 'depth'])
    with pytest.raises(TeacherError, match='has ground truth for every task of nyuv2_indoor'):
        label(source, teacher, tmp_path / 'nothing')
    label(source, teacher, tmp_path / 'labels', task='segmentation', grouping='nyuv2_13')
    sample = Folder(tmp_path / 'labels', 'train')[0]
    table = load_label_space('nyuv2_40').grouping('nyuv2_13')
    np.testing.assert_array_equal(sample.labels, table[teacher(image(0), None).labels])
    np.testing.assert_allclose(sample.depth, 1.7, rtol=1e-6)
    label(source, teacher, tmp_path / 'depth', task='depth')
    sample = Folder(tmp_path / 'depth', 'train')[0]
    assert np.unique(sample.labels).tolist() == [7]
    np.testing.assert_allclose(sample.depth, teacher(image(0), sample.intrinsics).depth, atol=0.00051)


def test_a_bare_folder_becomes_a_data_set(tmp_path, teacher):
    images = tmp_path / 'images'
    images.mkdir()
    for seed, name in enumerate(('b.png', 'a.png')):
        write_image(images / name, image(seed))
    (images / 'notes.md').write_text('no image')
    label(images, teacher, tmp_path / 'out', split='val')
    labelled = Folder(tmp_path / 'out', 'val')
    assert labelled.ids == ['a', 'b']
    np.testing.assert_array_equal(labelled[1].image, image(0))
    np.testing.assert_array_equal(labelled[1].labels, teacher(image(0), None).labels)
    assert labelled[1].depth is not None


def test_images_of_one_name_and_two_formats_are_two_images(tmp_path, teacher):
    (tmp_path / 'images').mkdir()
    for seed, name in enumerate(('a.bmp', 'a.png')):
        write_image(tmp_path / 'images' / name, image(seed))
    label(tmp_path / 'images', teacher, tmp_path / 'out')
    labelled = Folder(tmp_path / 'out', 'train')
    assert labelled.ids == ['a.bmp', 'a.png']
    for seed in range(2):
        np.testing.assert_array_equal(labelled[seed].labels, teacher(image(seed), None).labels)


def test_one_teacher_after_another(tmp_path, teacher):
    """Labels by one run, depth by the next: the second refers to the files of the first and to the source's images."""
    source = make_source(tmp_path / 'source', count=1)
    label(source, teacher, tmp_path / 'one', task='segmentation')
    label(tmp_path / 'one', teacher, tmp_path / 'two')
    layout = json.loads((tmp_path / 'two' / 'dataset.json').read_text())
    patterns = ['../source/rgb/{id}.png', '../one/labels/{id}.png', 'depth/{id}.png']
    assert [layout[key] for key in ('rgb', 'labels', 'depth')] == patterns
    sample = Folder(tmp_path / 'two', 'train')[0]
    np.testing.assert_array_equal(sample.labels, teacher(image(0), None).labels)


def test_a_split_that_is_a_path_gives_a_list_of_its_name(tmp_path, teacher):
    source = make_source(tmp_path / 'source', 2)
    (source / 'lists').mkdir()
    (source / 'train.txt').rename(source / 'lists' / 'v1.2.txt')
    listed = (source / 'lists' / 'v1.2.txt').read_text()
    for split in ('lists/v1.2', str(source / 'lists' / 'v1.2'), str(source / 'lists' / 'v1.2.txt')):
        label(source, teacher, tmp_path / 'out', split=split)
        assert len(Folder(tmp_path / 'out', 'v1.2')) == 2
        (tmp_path / 'out' / 'v1.2.txt').unlink()
    assert (source / 'lists' / 'v1.2.txt').read_text() == listed


def test_two_splits_in_one_folder(tmp_path, teacher):
    source = make_source(tmp_path / 'source')
    (source / 'val.txt').write_text('002\n')
    (source / 'train.txt').write_text('000\n001\n')
    label(source, teacher, tmp_path / 'out')
    assert label(source, teacher, tmp_path / 'out', split=str(source / 'val.txt')).labelled == 1
    assert [len(Folder(tmp_path / 'out', split)) for split in ('train', 'val')] == [2, 1]


def test_an_unreadable_image_costs_itself_only(tmp_path, teacher):
    source, out = make_source(tmp_path / 'source'), tmp_path / 'out'
    good = (source / 'rgb' / '001.png').read_bytes()
    (source / 'rgb' / '001.png').write_bytes(good[:40])
    done = label(source, teacher, out)
    assert (done.labelled, done.kept, done.missing, list(done.failed)) == (2, 0, 1, ['001'])
    assert 'rgb/001.png: OpenCV cannot decode it: damaged' in done.failed['001']
    with pytest.raises(DatasetError, match=r'dataset\.json: no such file'):  # not taken for a complete data set
        Folder(out, 'train')
    (source / 'rgb' / '001.png').write_bytes(good)
    done = label(source, teacher, out)
    assert (done.labelled, done.kept, done.missing, done.failed) == (1, 2, 0, {})
    assert len(Folder(out, 'train')) == 3


@pytest.mark.parametrize('order', [(1, 2, 3), (3, 1, 2)])
def test_shards_make_the_same_folder_as_one_run(tmp_path, teacher, order):
    source, out = make_source(tmp_path / 'source', 5), tmp_path / 'out'
    label(source, teacher, tmp_path / 'whole')
    images = open_images(source, 'train')
    done = [label_images(images, teacher, out, Request(), shard=Shard(number, 3)) for number in order]
    assert sum(part.labelled for part in done) == 5
    assert [part.missing > 0 for part in done] == [True, True, False]
    assert contents(out) == contents(tmp_path / 'whole')


class CountingTeacher:
    """Another teacher, which notes what it is shown."""

    def __init__(self, teacher):
        self.seen = []
        self._teacher = teacher

    def __getattr__(self, name):
        return getattr(self._teacher, name)

    def __call__(self, image, intrinsics):
        self.seen.append(image.tobytes())
        return self._teacher(image, intrinsics)


def test_runs_share_a_folder_without_doing_anything_twice(tmp_path, teacher):
    """Threads: each has its own open file, as processes have. No file is written again once it is there."""
    source, out = make_source(tmp_path / 'source', 24), tmp_path / 'out'
    label(source, teacher, tmp_path / 'whole')
    images, counting = open_images(source, 'train'), CountingTeacher(teacher)

    def run(_):
        done = label_images(images, counting, out, Request())
        files = [path for path in out.rglob('*') if path.is_file() and path.name != 'expert.json']
        return done, {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    with ThreadPoolExecutor(3) as pool:
        done, files = zip(*pool.map(run, range(3)), strict=True)
    assert sum(part.labelled for part in done) == 24
    assert all(part.labelled + part.kept == 24 and not part.missing for part in done)
    assert sorted(counting.seen) == sorted(image(seed).tobytes() for seed in range(24))
    assert files[0] == files[1] == files[2]
    assert contents(out) == contents(tmp_path / 'whole')


def test_a_run_waits_for_what_another_one_has_begun(tmp_path, teacher):
    """And does it itself if the other one gives up: after it, all is there."""
    source, out = make_source(tmp_path / 'source', 3), tmp_path / 'out'
    label(source, teacher, out)
    for path in (out / 'labels' / '000.png', out / 'train.txt'):
        path.unlink()
    record = json.loads((out / 'expert.json').read_text())
    with ThreadPoolExecutor(1) as pool, JobFile(out / 'expert.json', record) as other:
        with other.claim('item 000'):
            run = pool.submit(label, source, teacher, out)
            with pytest.raises(TimeoutError):
                run.result(timeout=0.5)
            assert not (out / 'train.txt').exists()
        assert run.result(timeout=60).labelled == 1
    assert len(Folder(out, 'train')) == 3


def test_only_the_file_that_is_missing_is_made_again(tmp_path, teacher):
    source, out = make_source(tmp_path / 'source'), tmp_path / 'out'
    label(source, teacher, out)
    (out / 'labels' / '001.png').unlink()
    stamps = {path: path.stat().st_mtime_ns for path in (out / 'depth').iterdir()}
    assert label(source, teacher, out).labelled == 1
    assert {path: path.stat().st_mtime_ns for path in (out / 'depth').iterdir()} == stamps
    assert (out / 'labels' / '001.png').exists()


def retrained(folder):
    """A model of the same name and graph whose weights file is another."""
    shutil.copytree(resources.find('model', 'nyuv2_indoor'), folder)
    weights = bytearray((folder / WEIGHTS).read_bytes())
    weights[-1] ^= 1
    (folder / WEIGHTS).write_bytes(weights)
    card = ModelCard.read(folder / CARD)
    replace(card, sha256={**card.sha256, WEIGHTS: sha256(folder / WEIGHTS)}).write(folder / CARD)
    return folder


def test_a_folder_of_another_teacher_source_or_request_is_refused(tmp_path, teacher):
    source, out = make_source(tmp_path / 'source', count=1), tmp_path / 'out'
    label(source, teacher, out)
    before = contents(out)
    with closing(open_teacher(str(retrained(tmp_path / 'retrained')), CPU)) as other:
        found, expected = f"'{teacher.sha256}'", f"'{other.sha256}'"
        with pytest.raises(
            DatasetError, match=f'made with sha256 {found} instead of {expected}: choose another folder'
        ):
            label(source, other, out)
    with pytest.raises(DatasetError, match=r"made with source '[./]+/source/rgb/.* instead of '[./]+/other/rgb/"):
        label(make_source(tmp_path / 'other', count=1), teacher, out)
    with pytest.raises(DatasetError, match="made with grouping '' instead of 'nyuv2_13'"):
        label(source, teacher, out, grouping='nyuv2_13')
    with pytest.raises(DatasetError, match=r'made with minimum_confidence 0\.0 instead of 0\.5'):
        label(source, teacher, out, minimum_confidence=0.5)
    with pytest.raises(DatasetError, match='made with annotations'):
        label(source, teacher, out, task='depth')
    assert contents(out) == before
    assert label(source, teacher, out).kept == 1


def test_a_folder_that_no_teacher_made_is_refused(tmp_path, teacher):
    source = make_source(tmp_path / 'source', count=1)
    with pytest.raises(DatasetError, match='holds the images'):
        label(source, teacher, source)
    with pytest.raises(DatasetError, match=r'has dataset\.json but no expert\.json'):
        label(source, teacher, make_source(tmp_path / 'other'))
    (tmp_path / 'broken').mkdir()
    (tmp_path / 'broken' / 'expert.json').write_text('[]')
    with pytest.raises(DatasetError, match='not readable as a JSON object'):
        label(source, teacher, tmp_path / 'broken')


def test_what_a_teacher_cannot_do_is_said_before_anything_is_written(tmp_path, teacher):
    source = make_source(tmp_path / 'source', count=1)
    with pytest.raises(
        TeacherError, match='grouping or minimum confidence given, but no labels are written, only depth'
    ):
        label(source, teacher, tmp_path / 'out', task='depth', grouping='nyuv2_13')
    with pytest.raises(ValueError, match="no grouping 'kitti_6' of nyuv2_40"):
        label(source, teacher, tmp_path / 'out', grouping='kitti_6')
    with pytest.raises(TeacherError, match='its card has one'):
        open_teacher('nyuv2_indoor', TeacherOptions('nyuv2_40'))
    with pytest.raises(DatasetError, match='no such folder'):
        open_images(tmp_path / 'missing', 'train')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DatasetError, match=r'found neither a dataset\.json nor images'):
        open_images(tmp_path / 'empty', 'train')
    assert not (tmp_path / 'out').exists()


def test_unsure_labels_are_left_out(tmp_path, teacher):
    source = make_source(tmp_path / 'source', count=1)
    label(source, teacher, tmp_path / 'out', minimum_confidence=0.4)
    prediction = teacher(image(0), None)
    expected = np.where(prediction.confidence < 0.4 * 255, 255, prediction.labels)
    assert 0 < np.count_nonzero(expected == 255) < expected.size  # or else this says nothing
    np.testing.assert_array_equal(Folder(tmp_path / 'out', 'train')[0].labels, expected)


def command(source, out, *more):
    options = ['--model', 'nyuv2_indoor', '--backend', 'onnxruntime', '--device', 'cpu', '--out', str(out), *more]
    return [sys.executable, '-m', 'mtperception', 'label', str(source), *options]


@pytest.mark.parametrize('shards', [1, 2])
def test_killed_half_way_it_goes_on_to_the_same_bytes(tmp_path, teacher, shards):
    """All processes of a folder are killed at once, and started again."""
    count = 30
    source = make_source(tmp_path / 'source', count, width=160, height=120)
    label(source, teacher, tmp_path / 'whole')
    out = tmp_path / 'killed'
    commands = [command(source, out, '--shard', f'{number}/{shards}') for number in range(1, shards + 1)]
    running = [subprocess.Popen(args, stderr=subprocess.PIPE, env=ENVIRONMENT) for args in commands]
    deadline = time.monotonic() + 60
    while len(list(out.glob('depth/0*.png'))) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    for process in running:
        process.kill()
    for process in running:
        said = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, said.decode()
    kept = {path: path.stat().st_mtime_ns for path in out.glob('*/0*.png')}
    assert 3 <= len(list(out.glob('depth/0*.png'))) < count
    assert not (out / 'train.txt').exists()
    for args in commands:
        done = subprocess.run(args, capture_output=True, text=True, check=False, timeout=60, env=ENVIRONMENT)
        assert done.returncode == 0, done.stderr
    assert contents(out) == contents(tmp_path / 'whole')
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(Folder(out, 'train')) == count


def test_two_processes_label_each_image_once(tmp_path, teacher):
    source, out = make_source(tmp_path / 'source', 60), tmp_path / 'out'
    label(source, teacher, tmp_path / 'whole')
    running = [
        subprocess.Popen(command(source, out), stderr=subprocess.PIPE, text=True, env=ENVIRONMENT) for _ in range(2)
    ]
    labelled = []
    for process in running:
        said = process.communicate(timeout=120)[1]
        assert process.returncode == 0, said
        labelled.append(int(re.search(r': (\d+) images labelled', said)[1]))
    assert sum(labelled) == 60
    assert contents(out) == contents(tmp_path / 'whole')
