# SPDX-License-Identifier: Apache-2.0
"""`mtperception evaluate --protocol`, on images that are stored as NYUv2's are."""

import json

import cv2
import h5py
import numpy as np
import pytest
from rooms import rooms
from scipy.io import savemat

from mtperception import cli
from mtperception.data.nyuv2 import CAMERA
from mtperception.input_policy import resize_image
from mtperception.labels import load_label_space
from mtperception.predictor import Predictor

BACKEND = ('--backend', 'onnxruntime', '--device', 'cpu')


@pytest.fixture(scope='module')
def samples():
    """Five rooms; of the first one a quarter of the depth is missing."""
    samples = rooms(5, 192, 144)
    samples[0].depth[:72, :96] = 0
    return samples


@pytest.fixture(scope='module')
def nyuv2(samples, tmp_path_factory):
    """Them in the official files: all dimensions reversed, classes from 1 on, 0 unlabelled."""
    root = tmp_path_factory.mktemp('nyuv2')
    with h5py.File(root / 'nyu_depth_v2_labeled.mat', 'w') as content:
        content['images'] = np.stack([sample.image.transpose(2, 1, 0) for sample in samples])
        content['labels'] = np.stack([(sample.labels + np.uint8(1)).T for sample in samples]).astype(np.uint16)
        content['rawDepths'] = np.stack([sample.depth.T for sample in samples])
    numbers = np.arange(1, 1 + len(samples), dtype=np.uint16)[:, None]
    savemat(root / 'splits.mat', {'trainNdxs': numbers[:0], 'testNdxs': numbers})
    savemat(root / 'classMapping40.mat', {'mapClass': np.minimum(np.arange(1, 895), 40)[None].astype(np.uint8)})
    return root


def run(root, *arguments, dataset='nyuv2'):
    options = ('--dataset', dataset, '--root', str(root), '--split', 'test', '--protocol', 'mtan', *BACKEND)
    return cli.main(['evaluate', *options, *map(str, arguments)])


def at(map_, height=128, width=256):
    """The pixel whose centre is nearest."""
    rows = ((np.arange(height) + 0.5) * map_.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * map_.shape[1] / width).astype(int)
    return map_[rows][:, columns]


def test_mtan_is_what_the_predictions_say(nyuv2, samples, tmp_path, capsys):
    assert run(nyuv2, '--json', tmp_path / 'result.json') == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / 'result.json').read_text(encoding='utf-8'))
    predictor = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    table = load_label_space('nyuv2_40').grouping('nyuv2_13')
    by_image, errors, relative = [], [], []
    for sample in samples:
        camera = CAMERA.resized(192, 144).resized(256, 128)
        prediction = predictor(resize_image(sample.image, (256, 128)), camera)
        truth, depth = table[at(sample.labels)], at(sample.depth).astype(float)
        by_image.append((table[prediction.labels] == truth)[truth != 255])
        error = np.abs(prediction.depth - depth)[depth > 0]
        errors.append(error)
        relative.append(error / depth[depth > 0])
    figures = result['figures']
    assert figures['Pix Acc'] == pytest.approx(np.concatenate(by_image).mean())
    assert figures['Pix Acc by image'] == pytest.approx(np.mean([right.mean() for right in by_image]))
    for name, values in (('Abs Err', errors), ('Rel Err', relative)):
        pairs = [np.concatenate(values[first : first + 2]).mean() for first in (0, 2, 4)]
        assert figures[name] == pytest.approx(np.mean(pairs), rel=1e-5)
    assert result['protocol']['resolution'] == ['256x128']
    assert len(result['iou']) == 13
    assert 'as mtan has it' in printed
    assert f'{figures["Abs Err"]:.4f}' in printed


def test_classes_may_be_grouped_by_the_data_set(nyuv2, tmp_path):
    results = []
    for dataset in ('nyuv2', 'nyuv2_13'):
        assert run(nyuv2, '--json', tmp_path / f'{dataset}.json', dataset=dataset) == 0
        results.append(json.loads((tmp_path / f'{dataset}.json').read_text(encoding='utf-8')))
    assert results[0]['figures'] == results[1]['figures']


def test_shards_give_the_bytes_of_one_run(nyuv2, tmp_path):
    """Also where two images that are averaged together are in different parts."""
    assert run(nyuv2, '--json', tmp_path / 'whole.json') == 0
    for number in (2, 1):
        options = ('--shard', f'{number}/2', '--parts', tmp_path / 'parts', '--json', tmp_path / 'merged.json')
        assert run(nyuv2, *options) == 0
    assert (tmp_path / 'merged.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()


def test_parts_of_another_protocol_are_refused(nyuv2, tmp_path, capsys):
    assert run(nyuv2, '--parts', tmp_path / 'parts') == 0
    assert run(nyuv2, '--parts', tmp_path / 'parts', '--protocol', 'multitasknet') == 1
    assert "made with protocol 'mtan' instead of 'multitasknet'" in capsys.readouterr().err


def test_a_report_shows_the_figures_and_what_was_compared(nyuv2, tmp_path):
    pytest.importorskip('jinja2')
    assert run(nyuv2, '--report', tmp_path / 'report') == 0
    page = (tmp_path / 'report' / 'index.html').read_text(encoding='utf-8')
    assert 'As mtan has it' in page
    assert 'Abs Err' in page
    truth = cv2.imread(str(next((tmp_path / 'report' / 'images').glob('*_depth_truth.png'))))
    assert truth.shape == (128, 256, 3)


def test_an_unknown_protocol_is_one_clear_line(nyuv2, capsys):
    assert run(nyuv2, '--protocol', 'mtam') == 1
    assert capsys.readouterr().err == (
        "error: unknown protocol 'mtam': expected one of mtan, hybridnet, multitasknet\n"
    )
