"""Label spaces."""

import numpy as np
import pytest

from mtperception import resources
from mtperception.labels import load_label_space


@pytest.mark.parametrize(
    ('name', 'count', 'first', 'last'),
    [
        ('nyuv2_40', 40, 'wall', 'otherprop'),
        ('nyuv2_13', 13, 'bed', 'window'),
        ('kitti_6', 6, 'sky', 'car'),
        ('nyuv2_kitti_46', 46, 'wall', 'car'),
        ('cityscapes_19', 19, 'road', 'bicycle'),
    ],
)
def test_spaces_that_come_with_the_package(name, count, first, last):
    space = load_label_space(name)
    assert (len(space), space.names[0], space.names[-1]) == (count, first, last)


def test_every_installed_space_loads_with_distinct_colors_none_white():
    for name in resources.available('labels'):
        space = load_label_space(name)
        colors = {tuple(color) for color in space.palette.tolist()}
        assert len(colors) == len(space)
        assert (255, 255, 255) not in colors


def test_grouping_of_the_40_classes_to_13():
    fine, coarse = load_label_space('nyuv2_40'), load_label_space('nyuv2_13')
    table = fine.grouping('nyuv2_13')
    for name, group in [('bed', 'bed'), ('desk', 'table'), ('blinds', 'window'), ('toilet', 'objects')]:
        assert coarse.names[table[fine.names.index(name)]] == group
    assert table[255] == 255
    assert table.dtype == np.uint8


def test_grouping_of_the_street_classes_leaves_out_what_has_no_counterpart():
    table = load_label_space('cityscapes_19').grouping('kitti_6')
    # sky 0, building 1, road 2, sidewalk 3, vegetation 4, car 5, in the order of Cityscapes' train ids
    vehicles = [5, 5, 5]  # car, truck, bus
    expected = [2, 3, 1, *[255] * 5, 4, 4, 0, 255, 255, *vehicles, 255, 255, 255]
    assert table[:19].tolist() == expected
    assert set(table[19:]) == {255}


def test_joint_space_is_rooms_then_streets():
    joint = load_label_space('nyuv2_kitti_46').names
    assert joint == load_label_space('nyuv2_40').names + load_label_space('kitti_6').names


def test_unknown_names_list_the_known():
    space = load_label_space('kitti_6')
    assert space.indices(['car', 'sky']) == [5, 0]
    with pytest.raises(ValueError, match='no class cow in kitti_6: expected any of sky, building'):
        space.indices(['car', 'cow'])
    with pytest.raises(ValueError, match="no grouping 'nyuv2_13' of kitti_6"):
        space.grouping('nyuv2_13')


WALL, FLOOR = '{name: wall, color: [1, 2, 3]}', '{name: floor, color: [4, 5, 6]}'


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        (f'classes: [{WALL}, {WALL}]', 'unique'),
        (f'classes: [{WALL}, {{name: floor, color: [1, 2, 3]}}]', 'unique'),
        ('classes: [{name: wall, color: [255, 255, 255]}]', 'white'),
        ('classes: [{name: wall, color: [1, 2]}]', 'three'),
        ('classes: [{name: wall, color: [1, 2, 300]}]', 'not a label space'),
        ('names: [wall]', 'not a label space'),
        ('[]', 'not a label space'),
        ('classes: []', '1 to 254'),
        (f'classes: [{WALL}, {FLOOR}]\ngroupings: {{nyuv2_13: {{wall: [wall]}}}}', 'exactly one group'),
        (f'classes: [{WALL}]\ngroupings: {{nyuv2_13: {{wall: [wall], unlabelled: [wall]}}}}', 'exactly one group'),
        (f'classes: [{WALL}]\ngroupings: {{nyuv2_13: {{roof: [wall]}}}}', 'no group roof: expected any of bed, '),
    ],
)
def test_wrong_files_are_refused(tmp_path, content, problem):
    path = tmp_path / 'space.yaml'
    path.write_text(content)
    with pytest.raises(ValueError, match=problem) as error:
        load_label_space(str(path))
    assert 'space.yaml' in str(error.value)


def test_a_file_of_your_own(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text(f'classes: [{WALL}, {FLOOR}]\ngroupings: {{nyuv2_13: {{wall: [wall], floor: [floor]}}}}')
    space = load_label_space(str(path))
    assert (space.name, space.names) == ('mine', ('wall', 'floor'))
    assert space.palette.tolist() == [[1, 2, 3], [4, 5, 6]]
