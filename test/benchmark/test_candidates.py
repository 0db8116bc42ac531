# SPDX-License-Identifier: Apache-2.0
"""What is measured follows from what is asked for."""

import pytest

from mtperception.backends import BACKENDS, PRECISIONS
from mtperception.benchmark.candidates import Candidate, list_candidates


def test_nothing_asked_for_is_everything():
    candidates = list_candidates()
    assert {candidate.backend for candidate in candidates} == set(BACKENDS)
    assert {candidate.device for candidate in candidates} == {'cpu', 'cuda:0', 'tensorrt:0'}
    assert len(candidates) == len(set(candidates)) == 6 * len(PRECISIONS)


def test_conditions():
    assert list_candidates(['torch', 'openvino'], ['cpu'], ['bf16']) == [
        Candidate('openvino', 'cpu', 'bf16'),
        Candidate('torch', 'cpu', 'bf16'),
    ]


def test_the_number_of_a_device_is_kept():
    found = list_candidates(['onnxruntime'], ['tensorrt:1', 'cuda'], ['fp32'])
    assert [candidate.device for candidate in found] == ['tensorrt:1', 'cuda:0']
    assert [candidate.baseline_device for candidate in found] == ['cuda:1', 'cuda:0']


def test_each_of_several_devices_of_a_kind():
    found = list_candidates(['torch'], ['cuda:1', 'cuda', 'cuda:0', 'cpu'], ['fp32'])
    assert [candidate.device for candidate in found] == ['cuda:1', 'cuda:0', 'cpu']


@pytest.mark.parametrize(
    ('conditions', 'message'),
    [
        ((['caffe'], [], []), "unknown backend 'caffe': expected torch"),
        (([], [], ['int4']), "unknown precision 'int4': expected fp32"),
        ((['openvino'], ['cuda:0'], []), 'backend openvino on device cuda:0: expected one of .*openvino on cpu'),
        (([], ['tpu'], []), "unknown device 'tpu': expected cuda, tensorrt, cpu"),
        (([], ['cpu', 'gpu0'], []), "unknown device 'gpu0'"),
    ],
)
def test_what_there_is_not(conditions, message):
    with pytest.raises(ValueError, match=message):
        list_candidates(*conditions)
