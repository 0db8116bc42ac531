# SPDX-License-Identifier: Apache-2.0
"""What every data set promises, checked for each entry of DATASETS on a tiny tree in its official format."""

import copy
import pickle

import numpy as np
import pytest
from dataset_trees import BUILDERS

from mtperception.data import DATASETS, DOWNLOADS, DatasetError, open_dataset, remote_files
from mtperception.download import RemoteFile
from mtperception.labels import load_label_space


def test_every_data_set_has_a_builder_and_a_word_on_how_to_get_it():
    assert set(BUILDERS) == set(DATASETS) == set(DOWNLOADS)


def test_an_unknown_name_lists_the_known(tmp_path):
    with pytest.raises(DatasetError, match="unknown data set 'nyu': expected one of folder, nyuv2"):
        open_dataset('nyu', tmp_path, 'train')


def test_an_unknown_name_lists_those_that_can_be_fetched(tmp_path):
    with pytest.raises(DatasetError, match=r"unknown data set 'nyu': expected one of nyuv2, .*, camvid$"):
        remote_files('nyu', tmp_path, 'train')


@pytest.mark.parametrize('name', DATASETS)
class TestDataset:
    @pytest.fixture
    def dataset(self, name, tmp_path):
        return open_dataset(name, tmp_path, BUILDERS[name](tmp_path))

    def test_ids_are_unique_and_as_many_as_samples(self, dataset):
        assert len(dataset) == len(dataset.ids) == len(set(dataset.ids)) > 0
        assert all(isinstance(name, str) and name for name in dataset.ids)

    def test_samples_are_of_the_types_and_ranges_of_the_package(self, dataset):
        for index in range(len(dataset)):
            sample = dataset[index]
            height, width = sample.image.shape[:2]
            assert (sample.image.dtype, sample.image.shape[2:]) == (np.uint8, (3,))
            if sample.labels is not None:
                assert (sample.labels.dtype, sample.labels.shape) == (np.uint8, (height, width))
                assert set(np.unique(sample.labels)) <= {*range(len(load_label_space(dataset.label_space))), 255}
            if sample.depth is not None:
                assert (sample.depth.dtype, sample.depth.shape) == (np.float32, (height, width))
                assert np.isfinite(sample.depth).all()
                assert (sample.depth >= 0).all()
            if sample.intrinsics is not None:
                assert (sample.intrinsics.width, sample.intrinsics.height) == (width, height)

    def test_it_annotates_something_and_names_a_label_space_exactly_with_labels(self, dataset):
        samples = [dataset[index] for index in range(len(dataset))]
        assert any(sample.labels is not None or sample.depth is not None for sample in samples)
        assert bool(dataset.label_space) == any(sample.labels is not None for sample in samples)

    def test_reading_twice_gives_the_same(self, dataset):
        first, again = dataset[0], dataset[0]
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.labels, again.labels)
        assert np.array_equal(first.depth, again.depth)

    def test_outside_of_the_samples_is_an_index_error(self, dataset):
        with pytest.raises(IndexError):
            dataset[len(dataset)]

    def test_it_goes_to_the_worker_processes_of_a_loader(self, dataset):
        for other in (pickle.loads(pickle.dumps(dataset)), copy.deepcopy(dataset)):
            assert list(other.ids) == list(dataset.ids)
            assert np.array_equal(other[0].image, dataset[0].image)

    def test_a_missing_folder_says_what_it_must_hold(self, name, tmp_path):
        with pytest.raises(DatasetError, match=r'no such folder: expected .+'):
            open_dataset(name, tmp_path / 'nowhere', 'train')

    def test_an_empty_folder_is_no_data_set(self, name, tmp_path):
        with pytest.raises(DatasetError, match=str(tmp_path)):
            open_dataset(name, tmp_path, 'train')

    def test_an_unknown_split_is_an_error(self, name, tmp_path):
        BUILDERS[name](tmp_path)
        with pytest.raises(DatasetError, match='holidays'):
            open_dataset(name, tmp_path, 'holidays')

    def test_its_files_can_be_fetched_or_it_says_how_to_get_them(self, name, tmp_path):
        BUILDERS[name](tmp_path)
        if isinstance(DOWNLOADS[name], str):
            with pytest.raises(DatasetError, match=f'{name} has no automatic download: .{{20}}'):
                remote_files(name, tmp_path, 'train')
        else:
            files = remote_files(name, tmp_path, 'train')
            assert files
            assert all(isinstance(file, RemoteFile) and file.url.startswith('http') for file in files)
