# SPDX-License-Identifier: Apache-2.0
"""Files of depth networks: hand-made ones whose answer is known."""

import numpy as np
import pytest
from onnx import TensorProto
from tiny_onnx import write_mean
from tiny_tflite import write_argmax, write_red

from mtperception.teachers.depth_network import DepthNetwork, split_normalization
from mtperception.teachers.teacher import TeacherError


def of_color(*color, height=6, width=8):
    return np.full((height, width, 3), color, np.uint8)


def test_planes_of_floats_are_normalised(tmp_path):
    network = DepthNetwork(str(write_mean(tmp_path / 'mean.onnx')))
    assert network.name == 'mean'
    # Channel by channel (1 - 0.485) / 0.229, (0.2 - 0.456) / 0.224 and (0 - 0.406) / 0.225.
    expected = (0.515 / 0.229 - 0.256 / 0.224 - 0.406 / 0.225) / 3
    answer = network(of_color(255, 51, 0))
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, expected, rtol=1e-5)


def test_floats_can_be_normalised_otherwise(tmp_path):
    path = write_mean(tmp_path / 'mean.onnx')
    unit, symmetric = DepthNetwork(f'{path}=unit'), DepthNetwork(f'{path}=symmetric')
    assert split_normalization('runs/lr=3/net.onnx=unit') == ('runs/lr=3/net.onnx', 'unit')
    assert split_normalization('runs/lr=3/net.onnx') == ('runs/lr=3/net.onnx', 'imagenet')
    assert split_normalization('runs/lr=3.onnx') == ('runs/lr=3.onnx', 'imagenet')
    np.testing.assert_allclose(unit(of_color(255, 51, 0)), 0.4, rtol=1e-5)
    np.testing.assert_allclose(symmetric(of_color(255, 51, 0)), -0.2, rtol=1e-5)
    assert len({DepthNetwork(str(path)).sha256, unit.sha256, symmetric.sha256}) == 3
    with pytest.raises(TeacherError, match="no normalisation 'bgr': expected imagenet, unit, symmetric"):
        DepthNetwork(f'{path}=bgr')


def test_bytes_are_taken_as_they_are(tmp_path):
    network = DepthNetwork(str(write_mean(tmp_path / 'mean.onnx', (1, 6, 8, 3), TensorProto.UINT8, axes=(3,))))
    np.testing.assert_allclose(network(of_color(30, 60, 120)), 70, rtol=1e-6)


def test_the_map_covers_the_image(tmp_path):
    """A ramp keeps its ends whatever the size of the image and of the network."""
    network = DepthNetwork(str(write_mean(tmp_path / 'mean.onnx', ('batch', 6, 8, 3), TensorProto.UINT8, axes=(3,))))
    ramp = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.uint8)[None, :, None], (24, 64, 3))
    answer = network(ramp)
    assert answer.shape == (24, 64)
    np.testing.assert_allclose(answer[:, 4:-4], ramp[:, 4:-4, 0], atol=3)
    assert network(ramp[:3, :5]).shape == (3, 5)


def test_a_quantised_map_of_litert(tmp_path):
    pytest.importorskip('ai_edge_litert', reason='pip install "mtperception[teachers]"')
    network = DepthNetwork(str(write_red(tmp_path / 'red.tflite', scale=0.05, zero=10)))
    np.testing.assert_allclose(network(of_color(90, 1, 2)), 4, rtol=1e-6)
    np.testing.assert_allclose(network(of_color(0, 1, 2, height=24, width=32)), -0.5, rtol=1e-6)


def test_what_is_no_number_stays_none(tmp_path):
    """The logarithm of 0: bilinear interpolation would spread it."""
    path = write_mean(tmp_path / 'log.onnx', (1, 6, 8, 3), TensorProto.UINT8, axes=(3,), operator='ReduceLogSum')
    image = np.concatenate([of_color(50, 0, 0), of_color(0, 0, 0)], axis=1)[:, 4:12]
    answer = DepthNetwork(str(path))(image)
    assert np.isnan(answer[:, 4:]).all()
    np.testing.assert_allclose(answer[:, :4], np.log(50), rtol=1e-6)


def test_class_indices_are_no_depth(tmp_path):
    pytest.importorskip('ai_edge_litert', reason='pip install "mtperception[teachers]"')
    with pytest.raises(TeacherError, match=r'argmax\.tflite: gives int64 8x8: expected one map of depth'):
        DepthNetwork(str(write_argmax(tmp_path / 'argmax.tflite')))


def test_what_is_no_depth_network_is_said(tmp_path):
    with pytest.raises(TeacherError, match=r'model\.pt: expected a depth network in a file that ends in \.onnx or'):
        DepthNetwork('model.pt')
    with pytest.raises(TeacherError, match=r'missing\.onnx: no such file'):
        DepthNetwork('missing.onnx')
    (tmp_path / 'text.onnx').write_text('no network')
    with pytest.raises(TeacherError, match=r'text\.onnx: not a network that ONNX Runtime can run: '):
        DepthNetwork(str(tmp_path / 'text.onnx'))
    wrong = [((1, 3, 'height', 'width'), 'FLOAT'), ((1, 4, 6, 8), 'FLOAT'), ((4, 3, 6, 8), 'FLOAT')]
    for shape, kind in (*wrong, ((1, 3, 6, 8), 'DOUBLE'), ((1, 6, 8), 'FLOAT')):
        path = write_mean(tmp_path / 'wrong.onnx', shape, getattr(TensorProto, kind))
        with pytest.raises(TeacherError, match=r'wrong\.onnx: takes .* expected one image, uint8 or float32'):
            DepthNetwork(str(path))
    with pytest.raises(TeacherError, match=r'1 inputs and 2 outputs: expected one image in and one map out'):
        DepthNetwork(str(write_mean(tmp_path / 'two.onnx', outputs=2)))
    over_pixels = write_mean(tmp_path / 'pixels.onnx', axes=(2, 3))
    with pytest.raises(TeacherError, match=r'pixels\.onnx: gives float32 3: expected one map of depth'):
        DepthNetwork(str(over_pixels))
