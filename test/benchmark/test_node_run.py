# SPDX-License-Identifier: Apache-2.0
"""The figures of a run of the node, from what was counted."""

import numpy as np
import pytest

from mtperception.benchmark.node_run import NodeRun

BACKEND = {'backend': 'openvino', 'device': 'cpu', 'precision': 'fp32'}
STAGES = {'inference': {'p50': 20.0, 'p99': 30.0}, 'total': {'p50': 21.5, 'p99': 33.0}}


def run(latencies_ms, frames_in, replaced=0):
    """Answers with these latencies, one every 100 ms."""
    stamps = 10**18 + np.arange(len(latencies_ms)) * 10**8
    answers = np.stack([stamps, stamps + np.array(latencies_ms) * 10**6], axis=1)
    return NodeRun(BACKEND, 10.0, 9.9, frames_in, replaced, answers, STAGES)


def test_what_is_not_answered_in_full_is_dropped():
    done = run([30, 40, 50], frames_in=4, replaced=1)
    assert (done.frames_out, done.dropped) == (3, 1)
    row = done.as_row()
    assert row['dropped_share'] == 0.25
    assert (row['rate'], row['input_rate'], row['replaced']) == (10.0, 9.9, 1)


def test_latency_from_end_to_end():
    """Of 0, 1, ... 200 ms in any order, half are below 100, and 99 % of the 200 steps end at 198."""
    latencies = np.random.default_rng(0).permutation(201)
    assert run(latencies, 201).end_to_end_ms == pytest.approx({'p50': 100.0, 'p99': 198.0, 'max': 200.0})


def test_the_stages_are_the_node_s():
    assert run([30], 1).as_row()['latency_ms'] == STAGES
