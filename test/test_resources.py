# SPDX-License-Identifier: Apache-2.0
"""Resources by path and by name, from the source tree and from a prefix of the ament index."""

from pathlib import Path

import pytest

from mtperception import resources


def test_a_path_is_taken_as_given(tmp_path):
    assert resources.find('model', tmp_path) == tmp_path


def test_a_home_folder_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'mine.yaml').touch()
    assert resources.find('labels', '~/mine.yaml') == tmp_path / 'mine.yaml'


@pytest.mark.parametrize('name', ['nyuv2_40', 'nyuv2_40.yaml'])
def test_a_name_is_found_with_and_without_its_suffix(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resources.find('labels', name).name == 'nyuv2_40.yaml'


@pytest.mark.parametrize('name', ['', 'nyuv2_41', '/nowhere/at/all'])
def test_an_error_says_what_there_is(name):
    with pytest.raises(resources.ResourceNotFoundError, match=r'existing path or one of: .*nyuv2_13, nyuv2_40'):
        resources.find('labels', name)


def test_names_of_files_leave_out_the_folders_beside_them():
    assert 'labels' not in resources.available('config')


def test_a_prefix_of_the_ament_index_is_searched(tmp_path, monkeypatch):
    model = tmp_path / 'share' / 'mtperception' / 'models' / 'elsewhere'
    model.mkdir(parents=True)
    (model / 'card.yaml').touch()
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{Path("/nowhere")}:{tmp_path}')
    assert resources.find('model', 'elsewhere') == model
    assert 'elsewhere' in resources.available('model')


class TestWhatIsCalledLikeAnInstalledResource:
    """In the working directory, a name alone means what is installed unless such a resource is there."""

    @pytest.fixture(autouse=True)
    def in_a_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    def test_a_folder_without_a_card_does_not_hide_a_model(self, tmp_path):
        (tmp_path / 'nyuv2_indoor').mkdir()
        assert (resources.find('model', 'nyuv2_indoor') / 'card.yaml').is_file()
        assert resources.find('model', './nyuv2_indoor') == tmp_path / 'nyuv2_indoor'

    def test_a_folder_with_a_card_is_the_model(self, tmp_path):
        (tmp_path / 'nyuv2_indoor').mkdir()
        (tmp_path / 'nyuv2_indoor' / 'card.yaml').touch()
        assert resources.find('model', 'nyuv2_indoor') == tmp_path / 'nyuv2_indoor'

    def test_for_a_process_elsewhere_a_name_stays_one_and_a_path_becomes_absolute(self, tmp_path):
        for name in ('nyuv2_indoor', 'kitti_6', 'mine'):
            (tmp_path / name).mkdir()
        assert resources.from_anywhere('model', 'nyuv2_indoor') == 'nyuv2_indoor'
        assert resources.from_anywhere('labels', 'kitti_6') == 'kitti_6'
        assert resources.from_anywhere('labels', '') == ''
        assert resources.from_anywhere('model', 'nobody') == 'nobody'
        for name in ('mine', './nyuv2_indoor'):
            assert resources.from_anywhere('model', name) == str(tmp_path / name)

    def test_a_folder_of_no_installed_name_is_taken_and_can_be_complained_about(self, tmp_path):
        (tmp_path / 'mine').mkdir()
        assert resources.find('model', 'mine') == tmp_path / 'mine'

    @pytest.mark.parametrize(
        ('kind', 'name'), [('labels', 'kitti_6'), ('train', 'nyuv2_indoor'), ('config', 'perception')]
    )
    def test_neither_a_folder_nor_a_file_without_a_suffix_hides_a_configuration(self, kind, name, tmp_path):
        (tmp_path / name).touch()
        assert resources.find(kind, name).name == f'{name}.yaml'
        (tmp_path / name).unlink()
        (tmp_path / name).mkdir()
        assert resources.find(kind, name).name == f'{name}.yaml'
        (tmp_path / f'{name}.yaml').touch()
        assert resources.find(kind, f'{name}.yaml') == tmp_path / f'{name}.yaml'


def test_an_unknown_configuration_mentions_those_in_folders():
    with pytest.raises(
        resources.ResourceNotFoundError, match=r'nyuv2_indoor, .*street.*, papers/\.\.\., systems/\.\.\.$'
    ):
        resources.find('train', 'nonesuch')
    assert resources.find('train', 'papers/mt_unet').is_file()
    with pytest.raises(resources.ResourceNotFoundError, match=r'^((?!/\.\.\.).)*$'):
        resources.find('model', 'nonesuch')
