"""Exported models: parity with PyTorch is proved, not assumed."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from mtperception import export
from mtperception.card import CARD, GRAPH, ModelCard, TrainingCamera, open_model
from mtperception.export import ParityError, check_parity, export_model
from mtperception.networks import create_network, load_network
from mtperception.pipeline import Pipeline
from mtperception.predictor import Predictor

SHARED = Path(__file__).resolve().parents[2] / 'shared'
TASKS = ('segmentation', 'depth', 'normals')


@pytest.fixture(scope='module')
def three_tasks(tmp_path_factory):
    """A three-task model with random weights, exported; and the network it was made of."""
    torch.manual_seed(3)
    network = create_network('joint_lw_refinenet', 6, TASKS).eval()
    torch.nn.init.normal_(network.heads['depth'].predict.bias, 4.0, 0.1)
    card = ModelCard(
        'three', 'joint_lw_refinenet', 6, TASKS, 'kitti_6', (0, 6), (0.5, 80.0), TrainingCamera(300.0, 200, 100)
    )
    out = tmp_path_factory.mktemp('models') / 'three'
    return network, card, out, export_model(network, card, out)


def test_export_proves_parity(three_tasks):
    *_, parity = three_tasks
    assert parity.label_agreement >= 0.999
    assert parity.depth_difference <= 1e-3
    assert parity.normal_difference <= 1e-3


def test_weights_round_trip(three_tasks):
    network, _, out, _ = three_tasks
    loaded = load_network(out).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())


def test_graph_contract(three_tasks):
    """Names, types, free batch, height and width, for a user who has only the ONNX file."""
    _, _, out, _ = three_tasks
    session = onnxruntime.InferenceSession(out / GRAPH, providers=['CPUExecutionProvider'])
    described = {value.name: (value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())}
    assert described == {
        'image': ('tensor(uint8)', ['N', 'H', 'W', 3]),
        'labels': ('tensor(uint8)', ['N', 'H', 'W']),
        'confidence': ('tensor(uint8)', ['N', 'H', 'W']),
        'depth': ('tensor(float)', ['N', 'H', 'W']),
        'normals': ('tensor(float)', ['N', 'H', 'W', 3]),
    }
    for shape in [(1, 1, 1, 3), (3, 37, 53, 3)]:
        assert all(map_.shape[:3] == shape[:3] for map_ in session.run(None, {'image': np.zeros(shape, np.uint8)}))


def test_three_tasks_run_in_the_predictor(three_tasks):
    _, _, out, _ = three_tasks
    prediction = Predictor(out, 'openvino', 'cpu')(np.full((90, 160, 3), 80, np.uint8))
    assert prediction.normals.shape == (90, 160, 3)
    assert np.linalg.norm(prediction.normals, axis=2) == pytest.approx(np.ones((90, 160)), abs=1e-4)


def test_a_graph_of_other_weights_fails_parity(three_tasks):
    _, card, out, _ = three_tasks
    other = create_network('joint_lw_refinenet', 6, TASKS).eval()
    with pytest.raises(ParityError, match='differs from PyTorch'):
        check_parity(Pipeline(other, card.depth_range, card.classes), open_model(out))


def test_a_failed_export_leaves_the_old_model(three_tasks, monkeypatch):
    network, card, out, _ = three_tasks
    before = (out / CARD).read_bytes()

    def write_other_weights(pipeline, tasks, path):
        with torch.no_grad():
            pipeline.network.heads['depth'].predict.bias += 1.0
            real(pipeline, tasks, path)
            pipeline.network.heads['depth'].predict.bias -= 1.0

    real = export.export_graph
    monkeypatch.setattr(export, 'export_graph', write_other_weights)
    with pytest.raises(ParityError):
        export_model(network, replace(card, training={'run': 2}), out)
    assert (out / CARD).read_bytes() == before
    assert [path.name for path in out.parent.iterdir()] == ['three']


def test_a_folder_that_is_no_model_is_not_replaced(three_tasks, tmp_path):
    network, card, *_ = three_tasks
    (tmp_path / 'thesis.tex').write_text('years of work')
    with pytest.raises(FileExistsError, match='not a model directory'):
        export_model(network, card, tmp_path)
    assert (tmp_path / 'thesis.tex').exists()


def test_the_default_model_on_real_images():
    """Parity on photographs, at full and odd sizes, for single images and a pair."""
    rgb = SHARED / 'data' / 'nyuv2' / 'rgb'
    if not rgb.is_dir():
        pytest.skip('needs real images')
    images = [cv2.imread(str(path))[..., ::-1].copy() for path in sorted(rgb.glob('*.jpg'))[::200]]
    images += [image[:361, :477].copy() for image in images[:2]]
    model = open_model('nyuv2_indoor')
    pipeline = Pipeline(load_network(model.path), model.card.depth_range, model.card.classes).eval()
    parity = check_parity(pipeline, model, images)
    assert parity.label_agreement >= 0.999
    assert parity.depth_difference <= 1e-3
