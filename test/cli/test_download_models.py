# SPDX-License-Identifier: Apache-2.0
"""`mtperception download` of models and published checkpoints, from a server on this machine."""

import hashlib
import http.server
import io
import shutil
import socket
import subprocess
import tarfile
import threading
import zipfile
from functools import partial

import pytest

from mtperception import resources
from mtperception.card import FILES_OF_A_MODEL, ModelCard, open_model
from mtperception.cli import main

MODEL = 'every_task'


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder that a server on this machine offers, and its address."""
    folder = tmp_path / 'site'
    folder.mkdir()
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


@pytest.fixture(autouse=True)
def user_folder(tmp_path, monkeypatch):
    """The user's folder of models, empty."""
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'data'))
    return resources.user_folder('model')


def tar_gz(model, out, extra=()):
    with tarfile.open(out, 'w:gz') as archive:
        for name in FILES_OF_A_MODEL:
            archive.add(model / name, f'some_folder/{name}')
        for name in extra:
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b'evil'))
    return out


def zipped(model, out):
    with zipfile.ZipFile(out, 'w') as archive:
        for name in FILES_OF_A_MODEL:
            archive.write(model / name, name)
    return out


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(('pack', 'name'), [(tar_gz, 'm.tar.gz'), (zipped, 'm.zip')])
def test_an_archive_becomes_a_model_that_its_name_finds(served, every_task_model, user_folder, pack, name, capsys):
    folder, site = served
    archive = pack(every_task_model, folder / name)
    arguments = ['download', f'model:{site}/{name}#sha256={sha256(archive)}']
    assert main(arguments) == 0
    assert f'use it with --model {MODEL}' in capsys.readouterr().err
    assert open_model(MODEL).path == user_folder / MODEL
    assert [path.name for path in user_folder.iterdir()] == [MODEL]
    assert main(arguments) == 0
    assert 'already exists' in capsys.readouterr().err


def test_a_tar_that_ends_in_a_zip_is_a_tar(served, every_task_model, user_folder):
    """The self-test is a zip, and may come last."""
    folder, site = served
    archive = folder / 'm.tar'
    with tarfile.open(archive, 'w') as packed:
        for name in sorted(FILES_OF_A_MODEL, key=lambda name: name.endswith('.npz')):
            packed.add(every_task_model / name, f'some_folder/{name}')
    assert zipfile.is_zipfile(archive)
    assert main(['download', f'model:{site}/m.tar#sha256={sha256(archive)}']) == 0
    assert (user_folder / MODEL / 'card.yaml').is_file()


def test_nothing_but_the_model_leaves_the_archive(served, every_task_model, tmp_path, user_folder):
    folder, site = served
    archive = tar_gz(every_task_model, folder / 'm.tar.gz', ['../../evil', '/tmp/evil', 'x/y/card.yaml', 'x/evil.py'])
    assert main(['download', f'model:{site}/m.tar.gz#sha256={sha256(archive)}']) == 0
    assert sorted(path.name for path in (user_folder / MODEL).iterdir()) == sorted(FILES_OF_A_MODEL)
    assert not list(tmp_path.rglob('evil*'))


def test_another_digest_leaves_nothing(served, every_task_model, user_folder, capsys):
    folder, site = served
    tar_gz(every_task_model, folder / 'm.tar.gz')
    assert main(['download', f'model:{site}/m.tar.gz#sha256={"0" * 64}']) == 1
    assert 'SHA-256' in capsys.readouterr().err
    assert list(user_folder.iterdir()) == []


@pytest.mark.parametrize('digest', ['right', 'wrong'])
def test_a_file_of_the_user_of_the_same_name_stays(served, every_task_model, user_folder, digest):
    folder, site = served
    archive = tar_gz(every_task_model, folder / 'm.tar.gz')
    user_folder.mkdir(parents=True)
    (user_folder / 'm.tar.gz').write_bytes(b'mine')
    expected = sha256(archive) if digest == 'right' else '0' * 64
    assert main(['download', f'model:{site}/m.tar.gz#sha256={expected}']) == (digest == 'wrong')
    assert (user_folder / 'm.tar.gz').read_bytes() == b'mine'
    found = {path.name for path in user_folder.iterdir()}
    assert found == ({'m.tar.gz', MODEL} if digest == 'right' else {'m.tar.gz'})


def damaged(model, folder):
    copy = folder / 'copy'
    shutil.copytree(model, copy)
    (copy / 'model.onnx').write_bytes(b'damaged')
    return tar_gz(copy, folder / 'm.tar.gz')


def renamed_like_an_installed_one(model, folder):
    copy = folder / 'copy'
    shutil.copytree(model, copy)
    card = copy / 'card.yaml'
    card.write_text(card.read_text().replace(f'name: {MODEL}', 'name: street'))
    return tar_gz(copy, folder / 'm.tar.gz')


def with_a_password(model, folder):
    """As far as the flags of the last entry of a zip say."""
    packed = zipped(model, folder / 'm.zip')
    content = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        content[archive.infolist()[-1].header_offset + 6] |= 1
    content[content.rfind(b'PK\x01\x02') + 8] |= 1
    (folder / 'm.tar.gz').write_bytes(content)
    return folder / 'm.tar.gz'


def no_archive(model, folder):
    (folder / 'm.tar.gz').write_bytes(b'<html>not here</html>')
    return folder / 'm.tar.gz'


@pytest.mark.parametrize(
    ('make', 'said'),
    [
        (damaged, 'sha256 differs'),
        (renamed_like_an_installed_one, 'a model of that name is installed'),
        (no_archive, 'not an archive'),
        (with_a_password, 'needs a password'),
    ],
)
def test_what_is_no_model_is_not_installed(served, every_task_model, user_folder, make, said, capsys):
    folder, site = served
    archive = make(every_task_model, folder)
    assert main(['download', f'model:{site}/m.tar.gz#sha256={sha256(archive)}']) == 1
    assert said in capsys.readouterr().err
    assert list(user_folder.iterdir()) == []


@pytest.mark.parametrize(
    ('what', 'said'),
    [
        ('model:nonesuch', "no address for model 'nonesuch'"),
        ('model:http://127.0.0.1/m.tar.gz', 'URL#sha256=HEX'),
        ('published:nonesuch', 'expected one of ExpNYUD_joint, ExpNYUD_three'),
    ],
)
def test_what_has_no_address(what, said, capsys):
    assert main(['download', what]) == 1
    assert said in capsys.readouterr().err


def test_offline_is_one_clear_line(capsys):
    with socket.socket() as unused:
        unused.bind(('127.0.0.1', 0))
        port = unused.getsockname()[1]
        assert main(['download', f'model:http://127.0.0.1:{port}/m.zip#sha256={"0" * 64}']) == 1
    said = capsys.readouterr().err
    assert f'http://127.0.0.1:{port}/m.zip' in said
    assert 'run the command again to resume' in said
    assert said.count('\n') == 1


def test_a_name_has_its_address_in_the_configuration(served, every_task_model, tmp_path, user_folder, monkeypatch):
    folder, site = served
    archive = tar_gz(every_task_model, folder / 'm.tar.gz')
    index = tmp_path / 'models.yaml'
    index.write_text(f'mine: {site}/m.tar.gz#sha256={sha256(archive)}\n')
    monkeypatch.setattr('mtperception.model_archive.INDEX', index)
    assert main(['download', 'model:mine']) == 0
    assert (user_folder / MODEL / 'card.yaml').is_file()


class TestPublished:
    @pytest.fixture
    def checkpoint(self, served, monkeypatch):
        """A checkpoint of random weights in the published layout, listed as one of the authors'."""
        import torch
        from published_layout import in_published_layout

        from mtperception import published_weights
        from mtperception.networks import create_network

        torch.manual_seed(2)
        network = create_network('joint_lw_refinenet', 6).eval()
        torch.nn.init.normal_(network.heads['segmentation'].predict.bias, std=0.05)
        torch.nn.init.normal_(network.heads['depth'].predict.bias, 10.0, 0.1)
        folder, site = served
        path = folder / 'ExpKITTI_joint.ckpt'
        torch.save({'state_dict': in_published_layout(network, ('segm', 'depth'))}, path)
        blob = subprocess.run(['git', 'hash-object', path], capture_output=True, text=True, check=True).stdout.strip()
        monkeypatch.setattr(published_weights, 'SITE', site)
        listed = published_weights.PublishedWeights(blob, 'kitti_6', 'labels and depth, KITTI')
        monkeypatch.setitem(published_weights.PUBLISHED, 'ExpKITTI_joint', listed)
        return path

    def test_one_command_gives_a_model(self, checkpoint, user_folder, capsys):
        """And neither imports nor removes a file of the user's that has the name of the checkpoint."""
        user_folder.mkdir(parents=True)
        (user_folder / checkpoint.name).write_bytes(b'mine')
        assert main(['download', 'published:ExpKITTI_joint']) == 0
        said = capsys.readouterr().err
        assert 'licence: 2-clause BSD for academic usage' in said
        assert 'github.com/DrSleep/multi-task-refinenet' in said
        card = ModelCard.read(user_folder / 'ExpKITTI_joint' / 'card.yaml')
        assert card.label_space == 'kitti_6'
        assert 'academic' in card.training['licence']
        assert open_model('ExpKITTI_joint').card == card
        assert [path.read_bytes() for path in user_folder.glob('*.ckpt*')] == [b'mine']
        assert main(['download', 'published:ExpKITTI_joint']) == 0
        assert 'already exists' in capsys.readouterr().err

    def test_another_content_is_refused(self, checkpoint, user_folder, capsys):
        with checkpoint.open('ab') as file:
            file.write(b'more')
        assert main(['download', 'published:ExpKITTI_joint']) == 1
        assert 'git blob' in capsys.readouterr().err
        assert list(user_folder.iterdir()) == []

    def test_the_addresses_are_of_one_commit(self):
        from mtperception.published_weights import PUBLISHED, remote_checkpoint

        assert remote_checkpoint('ExpNYUD_joint').url == (
            'https://raw.githubusercontent.com/DrSleep/multi-task-refinenet/1986999759dfac7d38ed9ccddda5d4f5ba488e82'
            '/weights/ExpNYUD_joint.ckpt'
        )
        assert {name: weights.git_blob for name, weights in PUBLISHED.items()} == {
            'ExpNYUD_joint': '56f5f5a6bc08a64f36e83547140add41baa4216d',
            'ExpNYUD_three': '6f412c152600827cabff5e1b66efad50090c16a7',
            'ExpKITTI_joint': 'd9386a96f748001406c622100ce944333d1967ff',
            'ExpNYUDKITTI_joint': '54f57cc2bd15e5cdfa9f3f1eaba9760951218bfa',
        }
