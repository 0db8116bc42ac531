# SPDX-License-Identifier: Apache-2.0
"""Exported models: parity with PyTorch is proved, not assumed."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from shallow_network import ShallowNet

import mtperception
from mtperception.card import CARD, GRAPH, open_model
from mtperception.errors import InputError
from mtperception.export import ParityError, check_parity, export_model
from mtperception.networks import load_network
from mtperception.pipeline import Pipeline
from mtperception.predictor import Predictor

SHARED = Path(__file__).resolve().parents[2] / 'shared'


def test_weights_round_trip(every_task_network, every_task_model):
    loaded = load_network(every_task_model).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in every_task_network.state_dict().items())


@pytest.fixture(scope='module')
def session(every_task_model):
    """The graph as a user has it who has only the ONNX file."""
    return onnxruntime.InferenceSession(every_task_model / GRAPH, providers=['CPUExecutionProvider'])


def test_graph_contract(session):
    """Names, types, free batch, height and width."""
    described = {value.name: (value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())}
    assert described == {
        'image': ('tensor(uint8)', ['N', 'H', 'W', 3]),
        'labels': ('tensor(uint8)', ['N', 'H', 'W']),
        'confidence': ('tensor(uint8)', ['N', 'H', 'W']),
        'depth': ('tensor(float)', ['N', 'H', 'W']),
        'normals': ('tensor(float)', ['N', 'H', 'W', 3]),
        'depth_confidence': ('tensor(uint8)', ['N', 'H', 'W']),
    }


@pytest.mark.parametrize('shape', [(1, 1, 1, 3), (2, 97, 131, 3), (3, 37, 53, 3)])
def test_the_graph_equals_pytorch(session, every_task_network, shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {'image': images}), strict=True))
    with torch.inference_mode():
        expected = Pipeline(every_task_network, (0.5, 80.0), (0, 6))(torch.tensor(images))
    assert set(found) == set(expected)
    assert (found['labels'] == expected['labels'].numpy()).mean() >= 0.999
    for name in ('depth', 'normals'):
        assert found[name] == pytest.approx(expected[name].numpy(), abs=1e-3)


def test_three_tasks_run_in_the_predictor(every_task_model):
    prediction = Predictor(every_task_model, 'openvino', 'cpu')(np.full((90, 160, 3), 80, np.uint8))
    assert prediction.normals.shape == (90, 160, 3)
    assert np.linalg.norm(prediction.normals, axis=2) == pytest.approx(np.ones((90, 160)), abs=1e-4)


class OtherWhenTraced(ShallowNet):
    """Computes something else while its graph is made, as a branch on the values of the example does."""

    def forward(self, image):
        return super().forward(image.flip(1) if torch.compiler.is_compiling() else image)


def test_a_graph_that_differs_fails_parity_and_leaves_the_old_model(every_task_model, tmp_path):
    out = shutil.copytree(every_task_model, tmp_path / 'three')
    before = (out / CARD).read_bytes()
    torch.manual_seed(0)
    other = OtherWhenTraced(6, ('segmentation', 'depth'))
    torch.nn.init.constant_(other.heads['depth'].bias, 4.0)
    card = replace(open_model(out).card, tasks=other.tasks, training={'run': 2})
    with pytest.raises(ParityError, match='differs from PyTorch'):
        export_model(other.eval(), card, out)
    assert (out / CARD).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ['three']


def test_a_folder_that_is_no_model_is_not_replaced(every_task_network, every_task_model, tmp_path):
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='not a model directory'):
        export_model(every_task_network, open_model(every_task_model).card, tmp_path)
    assert (tmp_path / 'thesis.tex').exists()


def test_a_model_with_other_files_beside_its_own_is_not_replaced(every_task_network, every_task_model, tmp_path):
    out = shutil.copytree(every_task_model, tmp_path / 'three')
    (out / 'notes.txt').write_text('mine')
    with pytest.raises(InputError, match=r'holds notes\.txt'):
        export_model(every_task_network, open_model(every_task_model).card, out)
    assert (out / 'notes.txt').read_text() == 'mine'
    assert (out / GRAPH).is_file()


def test_the_default_model_on_real_images():
    """Parity on photographs, at full and odd sizes, for single images and a pair."""
    rgb = SHARED / 'data' / 'nyuv2' / 'rgb'
    if not rgb.is_dir():
        pytest.skip('needs real images')
    images = [cv2.imread(str(path))[..., ::-1].copy() for path in sorted(rgb.glob('*.jpg'))[::400]]
    images[1:] = [image[:361, :477].copy() for image in images]
    model = open_model('nyuv2_indoor')
    card = model.card
    pipeline = Pipeline(load_network(model.path), card.depth_range, card.classes, card.temperature).eval()
    parity = check_parity(pipeline, model, images)
    assert parity.graph['labels'].mean <= 0.001
    assert parity.graph['depth'].largest <= 1e-3


def test_a_graph_says_nothing_of_the_machine_it_was_made_on(every_task_model):
    assert str(Path(mtperception.__file__).parent).encode() not in (every_task_model / GRAPH).read_bytes()
