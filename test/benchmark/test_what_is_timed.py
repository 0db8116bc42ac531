# SPDX-License-Identifier: Apache-2.0
"""Each column of the benchmark is the time of what it says, and what cannot be measured ends nothing."""

import numpy as np
import pytest

pytest.importorskip('torch', reason='the baseline needs the extra `torch`')

from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend
from mtperception.benchmark import benchmark as module
from mtperception.benchmark import reference
from mtperception.benchmark.candidates import Candidate
from mtperception.benchmark.timing import Budget
from mtperception.selftest import SelfTestError

ONNXRUNTIME = Candidate('onnxruntime', 'cpu', 'fp32')


class Enough(Exception):  # noqa: N818 - not an error
    """The test has seen what it is about."""


def test_whole_forward_and_baseline_run_on_whole_batches(monkeypatch):
    runs, calls = [], {}
    run, baseline = OnnxRuntimeBackend.run, reference.baseline

    def noted_run(backend, images):
        maps = run(backend, images)
        runs.append((images.shape, set(maps)))
        return maps

    def noted_baseline(model, device, images):
        calls['baseline'] = images.shape
        return baseline(model, device, images)

    def measure(functions, budget):
        for name in ('whole', 'forward'):
            runs.clear()
            functions[name]()
            (calls[name],) = runs
        raise Enough

    monkeypatch.setattr(OnnxRuntimeBackend, 'run', noted_run)
    monkeypatch.setattr(reference, 'baseline', noted_baseline)
    monkeypatch.setattr(module, 'measure', measure)
    with pytest.raises(Enough):
        module.benchmark('nyuv2_indoor', [ONNXRUNTIME], [module.Shape(64, 48, 2)], budget=Budget(iterations=1))
    shape = (2, 48, 64, 3)
    assert calls == {
        'whole': (shape, {'labels', 'confidence', 'depth', 'depth_confidence'}),
        'forward': (shape, {'segmentation', 'depth', 'depth_confidence'}),
        'baseline': shape,
    }


def test_a_backend_that_is_wrong_is_named_and_the_others_are_measured(monkeypatch):
    opened = module.open_backend

    def open_backend(model, name, device, precision):
        if name == 'onnxruntime':
            raise SelfTestError('labels differ')
        return opened(model, name, device, precision)

    monkeypatch.setattr(module, 'open_backend', open_backend)
    found = module.benchmark(
        'nyuv2_indoor',
        [ONNXRUNTIME, Candidate('torch', 'cpu', 'fp32')],
        [module.Shape(64, 48, 1)],
        budget=Budget(iterations=1),
    )
    assert [(each.candidate, each.reason) for each in found.unavailable] == [(ONNXRUNTIME, 'labels differ')]
    assert [result.candidate.backend for result in found.results] == ['torch']


def test_photographs_are_brought_to_the_size():
    (batch,) = module._batches([np.zeros((60, 90, 3), np.uint8)], module.Shape(48, 32, 2))
    assert batch.shape == (2, 32, 48, 3)
