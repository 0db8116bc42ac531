# SPDX-License-Identifier: Apache-2.0
"""CamVid as KITTI-6."""

import numpy as np
import pytest
from dataset_trees import camvid, camvid_segnet, write

from mtperception.data import DatasetError, open_dataset
from mtperception.data.camvid import COLORS

SKY, BUILDING, ROAD, SIDEWALK, VEGETATION, CAR, NONE = 0, 1, 2, 3, 4, 5, 255


def test_colors_become_six_classes(tmp_path):
    camvid(tmp_path)
    dataset = open_dataset('camvid', tmp_path, 'all')
    assert list(dataset.ids) == ['0001TP_006690', 'Seq05VD_f00000']
    # the tree's colours: Wall LaneMkgsNonDriv VegetationMisc, then Truck_Bus TrafficLight ParkingBlock
    assert dataset[1].labels.tolist() == [[BUILDING, ROAD, VEGETATION], [CAR, NONE, SIDEWALK]]


def test_all_32_classes_are_decided():
    """5 buildings, 5 cars, 3 roads, 3 sidewalks, 2 of vegetation, 1 sky; 13 without a counterpart."""
    names = list(COLORS.values())
    counts = {name: names.count(name) for name in set(names)}
    assert counts == {'building': 5, 'car': 5, 'road': 3, 'sidewalk': 3, 'vegetation': 2, 'sky': 1, None: 13}


def test_indices_of_segnet_become_six_classes(tmp_path):
    camvid_segnet(tmp_path)
    labels = open_dataset('camvid_segnet', tmp_path, 'val')[0].labels
    # sky building pole road / pavement tree sign fence / car pedestrian bicyclist unlabelled
    expected = [[SKY, BUILDING, NONE, ROAD], [SIDEWALK, VEGETATION, NONE, NONE], [CAR, NONE, NONE, NONE]]
    assert labels.tolist() == expected


@pytest.mark.parametrize(
    'line', ['0001TP_006690', '/SegNet/CamVid/train/0001TP_006690.png /SegNet/CamVid/trainannot/0001TP_006690.png']
)
def test_lists_of_ids_and_of_segnet(tmp_path, line):
    camvid(tmp_path)
    (tmp_path / 'train.txt').write_text(f'{line}\n', encoding='utf-8')
    dataset = open_dataset('camvid', tmp_path)
    assert list(dataset.ids) == ['0001TP_006690']
    assert dataset[0].labels is not None


def test_a_folder_of_the_other_kind_says_what_is_expected(tmp_path):
    camvid_segnet(tmp_path)
    with pytest.raises(DatasetError, match=r'701_StillsRaw_full: no .*mtperception download camvid'):
        open_dataset('camvid', tmp_path, 'all')


def test_segnet_values_above_its_classes_are_unlabelled(tmp_path):
    camvid_segnet(tmp_path)
    write(tmp_path / 'valannot' / '0016E5_07959.png', np.full((3, 4), 12, np.uint8))
    assert (open_dataset('camvid_segnet', tmp_path, 'val')[0].labels == NONE).all()
