# SPDX-License-Identifier: Apache-2.0
"""What a preparation takes is that of a process which has prepared nothing before."""

from contextlib import closing

import numpy as np

from mtperception.backends import open_backend
from mtperception.benchmark.candidates import Candidate
from mtperception.benchmark.preparation import Preparation, measure_preparation
from mtperception.card import open_model

SEEN = np.zeros((1, 360, 480, 3), np.uint8)
"""Of the size that the default model's self-test prepares."""


def test_what_this_process_has_prepared_is_prepared_anew():
    """It takes more than 50 MiB; what is prepared already takes microseconds."""
    model, candidate = open_model('nyuv2_indoor'), Candidate('onnxruntime', 'cpu', 'fp32')
    with closing(open_backend(model, 'onnxruntime', 'cpu')) as opened:
        assert opened.is_prepared(1, 360, 480)
    found = measure_preparation(model.path, candidate, SEEN)
    assert found.seconds > 0.005
    assert found.mebibytes is None or found.mebibytes > 50


def test_what_fails_there_is_not_known():
    model = open_model('nyuv2_indoor')
    assert measure_preparation(model.path, Candidate('nobodys', 'cpu', 'fp32'), SEEN) == Preparation()
