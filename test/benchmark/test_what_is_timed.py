# SPDX-License-Identifier: Apache-2.0
"""Each column of the benchmark is the time of what it says, and what cannot be measured ends nothing."""

import time
from collections import Counter
from contextlib import closing

import numpy as np
import pytest

pytest.importorskip('torch', reason='the baseline needs the extra `torch`')

import torch
from altered_backend import altered

from mtperception.backends import BACKENDS
from mtperception.benchmark.benchmark import Shape, benchmark
from mtperception.benchmark.candidates import Candidate
from mtperception.benchmark.preparation import Preparation
from mtperception.benchmark.systems import measure_systems
from mtperception.benchmark.timing import Budget
from mtperception.networks import Network
from mtperception.predictor import Predictor

ROUNDS = 3
SECONDS = {'baseline': 0.4, 'whole': 0.2, 'forward': 0.0}
"""How much longer than it does each takes here: none of them is as fast as the next one."""
MAPS = {'labels', 'confidence', 'depth', 'depth_confidence'}
RAW = {'segmentation', 'depth', 'depth_confidence'}
"""What the network alone gives."""


@pytest.fixture(autouse=True)
def _without_preparation(monkeypatch):
    """Its process knows no altered backend."""
    monkeypatch.setattr('mtperception.benchmark.benchmark.measure_preparation', lambda *arguments: Preparation())


@pytest.fixture
def runs(monkeypatch):
    """All runs, in order: what ran, the shape of its images, and the outputs."""
    runs = []

    def watch(run, images):
        maps = run(images)
        kind = 'whole' if 'labels' in maps else 'forward'
        runs.append((kind, images.shape, set(maps)))
        time.sleep(SECONDS[kind])
        return maps

    def note_eager(network, arguments, outputs):
        if isinstance(network, Network) and torch.is_inference_mode_enabled():
            runs.append(('baseline', arguments[0].shape, set(outputs)))
            time.sleep(SECONDS['baseline'])

    monkeypatch.setitem(BACKENDS, 'watched', altered('onnxruntime', watch))
    hook = torch.nn.modules.module.register_module_forward_hook(note_eager)
    yield runs
    hook.remove()


def test_whole_forward_and_baseline_run_on_whole_batches(runs):
    candidate, budget = Candidate('watched', 'cpu', 'fp32'), Budget(iterations=ROUNDS)
    (result,) = benchmark('nyuv2_indoor', [candidate], [Shape(64, 48, 2)], budget=budget).results
    for kind, seconds in SECONDS.items():
        latency = getattr(result, kind)
        assert latency.runs == ROUNDS
        assert latency.median_ms / 1e3 >= seconds
    first = [kind for kind, _, _ in runs].index('forward')
    last = len(runs) - [kind for kind, _, _ in runs][::-1].index('forward')
    measured = runs[first:last]  # one round before those that count
    assert Counter(kind for kind, _, _ in measured) == {'forward': ROUNDS + 1, 'whole': ROUNDS, 'baseline': ROUNDS}
    images, tensor = (2, 48, 64, 3), (2, 3, 48, 64)
    for run in measured:
        assert run in [('whole', images, MAPS), ('forward', images, RAW), ('baseline', tensor, RAW)]


def test_a_backend_that_is_wrong_is_named_and_the_others_are_measured(monkeypatch):
    def swap_channels(run, images):
        return run(images[..., ::-1].copy())

    monkeypatch.setitem(BACKENDS, 'wrong', altered('onnxruntime', swap_channels))
    wrong, right = Candidate('wrong', 'cpu', 'fp32'), Candidate('torch', 'cpu', 'fp32')
    found = benchmark('nyuv2_indoor', [wrong, right], [Shape(64, 48)], budget=Budget(iterations=1))
    ((candidate, reason),) = [(each.candidate, each.reason) for each in found.unavailable]
    assert candidate == wrong
    assert reason.startswith('wrong on cpu: self-test (fp32): ')
    assert [result.candidate for result in found.results] == [right]


def test_a_run_that_fails_at_one_size_leaves_the_others(monkeypatch):
    """As where memory is short: what was measured before is not lost, and what comes after is measured."""

    def too_little_memory(run, images):
        if images.shape[2] == 96:
            raise RuntimeError('out of\nmemory')
        return run(images)

    monkeypatch.setitem(BACKENDS, 'torch', altered('torch', too_little_memory))
    poor, done = Candidate('torch', 'cpu', 'fp32'), []
    shapes = [Shape(64, 48), Shape(96, 48), Shape(48, 32)]
    found = benchmark('nyuv2_indoor', [poor], shapes, budget=Budget(iterations=1), on_step=done.append)
    assert [result.shape for result in found.results] == [Shape(64, 48), Shape(48, 32)]
    assert [each.reason for each in found.unavailable] == ['96x48: RuntimeError: out of memory']
    assert done == [1, 2, 3]


def test_a_backend_that_the_process_of_the_preparation_does_not_know_is_measured(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(BACKENDS, 'mine', altered('onnxruntime', lambda run, images: run(images)))
    mine = Candidate('mine', 'cpu', 'fp32')
    (result,) = benchmark('nyuv2_indoor', [mine], [Shape(64, 48)], budget=Budget(iterations=1)).results
    assert (result.prepare_s, result.memory_mib) == (None, None)


def test_photographs_are_brought_to_the_size(monkeypatch):
    """Whole, and each has its turn to be the first of a batch."""
    seen = []

    def watch(run, images):
        seen.append(images)
        return run(images)

    monkeypatch.setitem(BACKENDS, 'torch', altered('torch', watch))
    photographs = [np.zeros((60, 90, 3), np.uint8), np.full((50, 40, 3), 200, np.uint8)]
    photographs[0][:, :45] = 100
    candidate = Candidate('torch', 'cpu', 'fp32')
    found = benchmark(
        'nyuv2_indoor', [candidate], [Shape(48, 32, 2)], budget=Budget(iterations=1), photographs=photographs
    )
    assert found.images == '2 photographs'
    small = [np.zeros((32, 48, 3), np.uint8), np.full((32, 48, 3), 200, np.uint8)]
    small[0][:, :24] = 100
    _, first, second, *measured = seen  # first the self-test
    np.testing.assert_array_equal(first, np.stack(small))
    np.testing.assert_array_equal(second, np.stack(small[::-1]))
    assert len(measured) == 2
    assert all(images.shape == (2, 32, 48, 3) for images in measured)


@pytest.mark.parametrize('backend', ['torch', 'onnxruntime'])
def test_systems_are_measured_by_any_backend(backend):
    with closing(Predictor('nyuv2_indoor', backend, 'cpu', network_size=(64, 48))) as predictor:
        [cost] = measure_systems([predictor], np.zeros((48, 64, 3), np.uint8), Budget(0.0))
    assert cost.forward.median_ms > 0
    assert cost.frame.median_ms > 0
    assert cost.ratio == 1
