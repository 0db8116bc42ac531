# SPDX-License-Identifier: Apache-2.0
"""Model directories and label spaces of strangers: refused in a moment, in a short message, with nothing executed."""

import os
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO

import numpy as np
import pytest
import yaml

from mtperception.bounded_read import MAX_MESSAGE, MAX_YAML, read_yaml, shortened
from mtperception.card import CARD, GRAPH, SELF_TEST, WEIGHTS, ModelCard, ModelError, open_model
from mtperception.errors import InputError, MTPerceptionError
from mtperception.labels import load_label_space
from mtperception.selftest import SelfTestError, read_self_test, write_self_test

VALID = {
    'name': 'tiny',
    'network': {'name': 'joint_lw_refinenet', 'options': {}},
    'num_classes': 6,
    'tasks': ['segmentation', 'depth'],
    'label_space': 'kitti_6',
    'classes': [0, 6],
    'depth_range': [1.0, 80.0],
    'camera': {'fx': 721.5, 'width': 1242, 'height': 375},
}
NEST = 'a0: &a0 [x, x]\n' + '\n'.join(f'a{i}: &a{i} [{", ".join([f"*a{i - 1}"] * 9)}]' for i in range(1, 40))


def card(folder, **changes):
    content = VALID | changes
    (folder / CARD).write_text(yaml.safe_dump(content))
    return folder / CARD


def with_camera(**changes):
    return {'camera': VALID['camera'] | changes}


def test_the_card_that_the_others_are_changed_from_is_valid(tmp_path):
    assert ModelCard.read(card(tmp_path)).network == 'joint_lw_refinenet'


@pytest.mark.parametrize(
    'changes',
    [
        with_camera(fx=float('nan')),
        with_camera(fx=float('inf')),
        with_camera(fx='500'),
        with_camera(fx=True),
        with_camera(fx=1e12),
        with_camera(width=480.5),
        with_camera(width=10**9),
        with_camera(width=16384, height=16384),
        with_camera(height=0),
        with_camera(height=None),
        with_camera(depth=3),
        {'camera': None},
        {'num_classes': 6.0},
        {'num_classes': 10**6, 'classes': [0, 10**6]},
        {'num_classes': -1},
        {'classes': [0.5, 6]},
        {'classes': [0, 6, 7]},
        {'classes': 3},
        {'depth_range': [1.0, float('inf')]},
        {'depth_range': [float('nan'), 80]},
        {'depth_range': ['1', '80']},
        {'depth_range': [1.0, 1e9]},
        {'tasks': ['depth', 'depth']},
        {'tasks': [['depth']]},
        {'tasks': 'depth'},
        {'name': 'x' * 100_000},
        {'name': 3},
        {'label_space': ['kitti_6']},
        {'network': {'options': {}}},
        {'network': {'name': 'joint_lw_refinenet', 'weights': 'http://x'}},
        {'network': {'name': ['joint_lw_refinenet']}},
        {'network': {'name': 'joint_lw_refinenet', 'options': [1]}},
        {'training': 'much'},
        {'metrics': [1]},
        {'sha256': 'abc'},
        {'input': {'policy': 'stretch', 'width': 10**9, 'height': 2}},
        {'x' * 100_000: 1},
        {f'key{i}': i for i in range(10_000)},
    ],
    ids=lambda changes: str(changes)[:50],
)
def test_values_that_cannot_be_are_refused_in_a_short_message(changes, tmp_path):
    with pytest.raises(ModelError) as raised:
        ModelCard.read(card(tmp_path, **changes))
    assert len(str(raised.value)) <= MAX_MESSAGE


@pytest.mark.parametrize(
    'text',
    [
        NEST,
        '&a [*a]',
        '[' * 100_000,
        '{a: ' * 50_000,
        '- ' * 100_000,
        'name: !!python/object/apply:os.mkdir [harm]',
        'name: !!python/name:os.system',
        f'name: {"9" * 100_000}',
        'name: \x00',
        '!!binary aGVsbG8=',
        '? {a: 1}\n: b',
    ],
    ids=lambda text: text[:20],
)
def test_yaml_that_is_none_of_ours(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / CARD).write_text(text)
    (tmp_path / 'space.yaml').write_text(text)
    with pytest.raises(ModelError) as raised:
        ModelCard.read(tmp_path / CARD)
    with pytest.raises(MTPerceptionError):
        load_label_space(str(tmp_path / 'space.yaml'))
    assert len(str(raised.value)) <= MAX_MESSAGE
    assert not (tmp_path / 'harm').exists()


def test_aliases_are_refused_even_where_they_are_harmless(tmp_path):
    (tmp_path / 'a.yaml').write_text('a: &x 1\nb: *x\n')
    with pytest.raises(InputError, match='line 2: an alias'):
        read_yaml(tmp_path / 'a.yaml')


def test_files_are_measured_before_they_are_read(tmp_path):
    path = tmp_path / CARD
    with path.open('wb') as file:
        file.truncate(4 * 2**30)  # sparse
    with pytest.raises(ModelError, match=f'expected at most {MAX_YAML}'):
        ModelCard.read(path)


def test_devices_and_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / 'pipe.yaml')
    for path in ('/dev/zero', str(tmp_path / 'pipe.yaml')):
        with pytest.raises(MTPerceptionError, match='not a plain file'):
            load_label_space(path)
        with pytest.raises(SelfTestError, match='not a plain file'):
            read_self_test(tmp_path / path)
    link = tmp_path / CARD
    link.symlink_to('/dev/zero')
    with pytest.raises(ModelError):
        ModelCard.read(link)


def test_label_spaces_that_group_into_each_other(tmp_path):
    for name, other in (('a', 'b'), ('b', 'a')):
        (tmp_path / f'{name}.yaml').write_text(
            f'classes: [{{name: x, color: [1, 2, 3]}}]\ngroupings: {{{tmp_path / other}.yaml: {{x: [x]}}}}'
        )
    with pytest.raises(MTPerceptionError) as raised:
        load_label_space(str(tmp_path / 'a.yaml'))
    assert len(str(raised.value)) <= MAX_MESSAGE


@pytest.mark.parametrize('count', [0, 255, 5000])
def test_label_spaces_of_absurd_size(count, tmp_path):
    classes = [{'name': f'c{i}', 'color': [i % 250, i // 250, 0]} for i in range(count)]
    (tmp_path / 'a.yaml').write_text(yaml.safe_dump({'classes': classes}, default_flow_style=True))
    with pytest.raises(MTPerceptionError) as raised:
        load_label_space(str(tmp_path / 'a.yaml'))
    assert len(str(raised.value)) <= MAX_MESSAGE


def test_long_names_of_classes(tmp_path):
    (tmp_path / 'a.yaml').write_text(yaml.safe_dump({'classes': [{'name': 'x' * 100_000, 'color': [1, 2, 3]}]}))
    with pytest.raises(MTPerceptionError, match='up to 100 characters'):
        load_label_space(str(tmp_path / 'a.yaml'))


def maps(height, width):
    return {'labels': np.zeros((height, width), np.uint8), 'depth': np.ones((height, width), np.float32)}


def header(shape, dtype='|u1'):
    """A NumPy array file that ends after its header."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {'descr': dtype, 'fortran_order': False, 'shape': shape})
    return file.getvalue()


def archive(path, **members):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f'{name}.npy', content)
    return path


def test_a_self_test_is_read_back(tmp_path):
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    write_self_test(tmp_path / SELF_TEST, image, maps(4, 5))
    found, outputs = read_self_test(tmp_path / SELF_TEST)
    assert np.array_equal(found, image)
    assert {name: map_.shape for name, map_ in outputs.items()} == {'labels': (4, 5), 'depth': (4, 5)}


@pytest.mark.parametrize(
    'members',
    [
        {'image': header((40_000, 40_000, 3)), 'depth': header((40_000, 40_000), '<f4')},
        {'image': header((1, 60_000, 3)), 'depth': header((1, 60_000), '<f4')},
        {'image': header((0, 0, 3)), 'depth': header((0, 0), '<f4')},
        {'image': header((8, 8, 3)), 'depth': header((40_000, 40_000), '<f4')},
        {'image': header((8, 8, 3)), 'depth': header((8, 8), '|O')},
        {'image': header((8, 8, 3)), 'depth': header((8, 8), '<f4')},
        {'image': header((8, 8, 3)) + bytes(192), 'flow': header((8, 8), '<f4') + bytes(256)},
        {'image': header((8, 8, 3)) + bytes(192)},
        {'depth': header((8, 8), '<f4') + bytes(256)},
        {'image': b'\x93NUMPY\x02\x00' + b'\xff' * 5000},
        {'image': b'GIF'},
    ],
    ids=lambda members: '-'.join(members),
)
def test_what_a_self_test_says_of_its_arrays_is_checked_before_they_are_unpacked(members, tmp_path):
    with pytest.raises(SelfTestError, match='not a self-test') as raised:
        read_self_test(archive(tmp_path / SELF_TEST, **members))
    assert len(str(raised.value)) <= MAX_MESSAGE


@pytest.mark.parametrize('content', [b'', b'PK\x03\x04', b'text' * 100])
def test_a_self_test_that_is_no_archive(content, tmp_path):
    (tmp_path / SELF_TEST).write_bytes(content)
    with pytest.raises(SelfTestError, match='not a self-test'):
        read_self_test(tmp_path / SELF_TEST)


def test_four_gigabytes_of_self_test_cost_nothing(tmp_path):
    """Zeros compress a thousandfold: 64 MB of zip hold an array that no machine has the memory for."""
    path = archive(tmp_path / SELF_TEST, image=header((30_000, 47_000, 3)) + bytes(2**24), labels=header((8, 8)))
    code = (
        'import resource, sys; from pathlib import Path; from mtperception.selftest import read_self_test\n'
        'resource.setrlimit(resource.RLIMIT_AS, (3 * 2**30, resource.RLIM_INFINITY))\n'
        'try: read_self_test(Path(sys.argv[1]))\nexcept Exception as error: print(type(error).__name__)'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == 'SelfTestError', done.stderr


@pytest.mark.parametrize('name', [WEIGHTS, GRAPH, SELF_TEST])
def test_files_of_a_model_that_are_no_plain_files(name, tmp_path):
    copy = shutil.copytree(open_model('nyuv2_indoor').path, tmp_path / 'copy')
    (copy / name).unlink()
    (copy / name).symlink_to('/dev/zero')
    with pytest.raises(ModelError, match=name):
        open_model(copy)
    (copy / name).unlink()
    with (copy / name).open('wb') as file:
        file.truncate(3 * 2**30)  # sparse
    with pytest.raises(ModelError, match='expected at most'):
        open_model(copy)


def test_options_of_the_network_travel_with_the_card(tmp_path):
    path = card(tmp_path, network={'name': 'joint_lw_refinenet', 'options': {'channels': 512}})
    read = ModelCard.read(path)
    assert (read.network, dict(read.network_options)) == ('joint_lw_refinenet', {'channels': 512})
    read.write(path)
    assert yaml.safe_load(path.read_text())['network'] == VALID['network'] | {'options': {'channels': 512}}
    assert ModelCard.read(path) == read
    assert ModelCard.read(card(tmp_path, network='joint_lw_refinenet')).network_options == {}


def test_messages_are_one_short_line():
    assert shortened('a\nb') == 'a b'
    assert len(shortened('x' * 10**6)) <= MAX_MESSAGE
