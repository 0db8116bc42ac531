# SPDX-License-Identifier: Apache-2.0
"""Label spaces."""

import numpy as np
import pytest

from mtperception import resources
from mtperception.data.camvid import COLORS
from mtperception.labels import load_label_space


@pytest.mark.parametrize(
    ('name', 'count', 'first', 'last'),
    [
        ('nyuv2_40', 40, 'wall', 'otherprop'),
        ('nyuv2_13', 13, 'bed', 'window'),
        ('kitti_6', 6, 'sky', 'car'),
        ('nyuv2_kitti_46', 46, 'wall', 'car'),
        ('cityscapes_19', 19, 'road', 'bicycle'),
        ('cityscapes_7', 7, 'flat', 'vehicle'),
        ('sunrgbd_37', 37, 'wall', 'bag'),
        ('camvid_11', 11, 'sky', 'bicyclist'),
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


def test_the_categories_of_cityscapes():
    table = load_label_space('cityscapes_19').grouping('cityscapes_7')
    # flat 0, construction 1, object 2, nature 3, sky 4, human 5, vehicle 6, in the order of the train ids
    expected = [0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 5, 6, 6, 6, 6, 6, 6]
    assert table[:19].tolist() == expected


def test_sun_rgbd_is_nyuv2_without_its_last_three_classes():
    sun, nyu = load_label_space('sunrgbd_37'), load_label_space('nyuv2_40')
    assert sun.names == nyu.names[:37]
    assert np.array_equal(sun.palette, nyu.palette[:37])
    assert sun.conversion(nyu)[:38].tolist() == [*range(37), 255]
    assert nyu.grouping('sunrgbd_37')[:40].tolist() == [*range(37), 255, 255, 255]
    # one fine class has one coarse class, whichever way it goes
    assert np.array_equal(sun.grouping('nyuv2_13')[:37], nyu.grouping('nyuv2_13')[:37])


def test_the_colours_of_camvid_and_its_classes_say_the_same():
    """The official label images come in colours, SegNet's as indices; a pixel is the same in KITTI-6 either way."""
    space = load_label_space('camvid_11')
    coarse = (*load_label_space('kitti_6').names, None)
    by_index = [coarse[min(index, 6)] for index in space.grouping('kitti_6')[:11].tolist()]
    assert by_index == [COLORS[tuple(color)] for color in space.palette.tolist()]


def test_what_classes_are_to_a_vehicle():
    navigation = load_label_space('kitti_6').navigation
    expected = {
        'traversable': ('road', 'sidewalk'),
        'overhead': ('sky',),
        'obstacle': ('building', 'vegetation', 'car'),
    }
    assert navigation == expected


def test_every_installed_space_says_what_its_classes_are_to_a_vehicle():
    for name in resources.available('labels'):
        space = load_label_space(name)
        assert sorted(name for names in space.navigation.values() for name in names) == sorted(space.names)


@pytest.mark.parametrize(('offset', 'ids'), [(1, [1, 6, 0, 0]), (0, [0, 5, 255, 255]), (249, [249, 254, 0, 0])])
def test_ids_are_indices_with_an_offset(offset, ids):
    assert load_label_space('kitti_6').id_table(offset)[[0, 5, 6, 255]].tolist() == ids


def test_ids_fit_into_a_byte():
    with pytest.raises(ValueError, match='label_offset 250: the 6 classes of kitti_6 need an offset of 249 at most'):
        load_label_space('kitti_6').id_table(250)


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
        ('[]', 'not a label space: expected classes:'),
        ('a text', 'not a label space: expected classes:'),
        ('classes: [', 'not a label space: while parsing'),
        ('classes: [{name: wall}]', "a class without 'color'"),
        (f'classes: [{WALL}]\ngroupings: [nyuv2_13]', 'not a label space'),
        ('classes: []', '1 to 254'),
        (f'classes: [{WALL}, {FLOOR}]\ngroupings: {{nyuv2_13: {{wall: [wall]}}}}', 'exactly one group'),
        (f'classes: [{WALL}]\ngroupings: {{nyuv2_13: {{wall: [wall], unlabelled: [wall]}}}}', 'exactly one group'),
        (f'classes: [{WALL}]\ngroupings: {{nyuv2_13: {{roof: [wall]}}}}', 'no group roof: expected any of bed, '),
        (f'classes: [{WALL}]\nnavigation: {{obstacle: [wall]}}', 'navigation: expected'),
        (f'classes: [{WALL}]\nnavigation: {{traversable: [floor]}}', 'navigation: expected'),
        (f'classes: [{WALL}]\nnavigation: {{traversable: [wall], overhead: [wall]}}', 'none of them twice'),
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
    assert (space.name, space.names) == (str(path), ('wall', 'floor'))  # by which it is found again
    assert space.palette.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert space.navigation == {}


def test_classes_of_the_same_name_are_found_in_another_space():
    """The joint space has the 40 indoor classes and the six of the street, which have no place in the indoor one."""
    joint, indoor = load_label_space('nyuv2_kitti_46'), load_label_space('nyuv2_40')
    there, back = indoor.by_name(joint), joint.by_name(indoor)
    assert [joint.names[there[index]] for index in range(40)] == list(indoor.names)
    assert (there[40:] == 255).all()
    np.testing.assert_array_equal(back[there[:40]], np.arange(40))
    assert (back < 255).sum() == 40
    np.testing.assert_array_equal(indoor.conversion(joint), there)
