# SPDX-License-Identifier: Apache-2.0
"""Models and backends: which of them work here, and how long a frame takes."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np

from mtperception import resources
from mtperception.backends import AUTO_ORDER
from mtperception.backends.engine_cache import engine_cache, has_engines
from mtperception.backends.selection import cuda_device_count
from mtperception.card import ModelDirectory, open_model
from mtperception.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding
from mtperception.errors import MTPerceptionError
from mtperception.predictor import Predictor, predict_all

FRAME = (640, 480)
"""Width and height of the image that is timed."""
SELF_TEST_PASSED = 'self-test passed'
MEASURED_S = 1.0
FEWEST_RUNS, MOST_RUNS = 3, 30


@dataclass(frozen=True)
class BackendCheck:
    """A backend on a device.

    Attributes:
        backend: its name.
        device: such as 'cpu'.
        reason: why it does not work; '' if it passed the model's self-test.
        median_ms: of a 640x480 image, bytes to finished maps; None if it does not work.
    """

    backend: str
    device: str
    reason: str = ''
    median_ms: float | None = None


def check_backends(model: ModelDirectory, on_step: Callable[[float], None] = lambda done: None) -> list[BackendCheck]:
    """Try each backend on each device, in the order in which `auto` does; a TensorRT engine is not built for it."""
    checks = []
    for step, (backend, device) in enumerate(AUTO_ORDER):
        checks.append(_check_backend(model, backend, device))
        on_step(step + 1)
    return checks


def backend_findings(checks: list[BackendCheck]) -> list[Finding]:
    """The first that works is what the node takes; none is a problem."""
    working = [check for check in checks if not check.reason]
    found = []
    for check in checks:
        name = f'{check.backend} on {check.device}'
        if check.reason:
            found.append(Finding('backends', name, NOTE, check.reason.removeprefix(f'{name}: ')))
            continue
        taken = '; auto takes it' if check is working[0] else ''
        found.append(Finding('backends', name, OK, f'{SELF_TEST_PASSED}, {check.median_ms:.0f} ms per frame{taken}'))
    if not working:
        found.append(Finding('backends', 'all', PROBLEM, 'no backend can run the model', 'pip install onnxruntime'))
    return found


def check_model(name: str, needed: bool) -> tuple[Finding, ModelDirectory | None]:
    """Whether a model's files are complete and unchanged.

    Args:
        name: of the model, or its directory.
        needed: whether it is the one that the node is to run.
    """
    try:
        model = open_model(name)
    except (MTPerceptionError, OSError) as error:
        state = PROBLEM if needed else WARNING
        return Finding('models', name, state, str(error), 'export, import or download it again'), None
    tasks = ' and '.join(model.card.tasks)
    return Finding('models', name, OK, f'{tasks}; label space {model.card.label_space or "none"}'), model


def check_other_models(chosen: str, works: BackendCheck | None) -> list[Finding]:
    """The other installed models, each with its self-test on a backend that works."""
    return [_self_tested(name, works) for name in resources.available('model') if name != chosen]


def _self_tested(name: str, works: BackendCheck | None) -> Finding:
    finding, model = check_model(name, needed=False)
    if model is None or works is None:
        return finding
    try:
        with _quiet():
            Predictor(model.path, works.backend, works.device).close()
    except MTPerceptionError as error:
        return Finding('models', name, WARNING, str(error), 'export, import or download it again')
    return Finding('models', name, OK, f'{finding.found}; {SELF_TEST_PASSED}')


def _check_backend(model: ModelDirectory, backend: str, device: str) -> BackendCheck:
    needs_engine = device.startswith('tensorrt') and cuda_device_count()
    if needs_engine and not has_engines(engine_cache(model, 'tensorrt'), 'fp32'):
        advice = 'no engine built yet (minutes): mtperception benchmark --device tensorrt builds one'
        return BackendCheck(backend, device, advice)
    try:
        with _quiet():
            predictor = Predictor(model.path, backend, device)
    except MTPerceptionError as error:
        return BackendCheck(backend, device, str(error))
    try:
        return BackendCheck(backend, device, median_ms=_median_ms(predictor))
    except MTPerceptionError as error:
        return BackendCheck(backend, device, str(error))
    finally:
        predictor.close()


def _median_ms(predictor: Predictor) -> float:
    """Median time of a frame; the first, which prepares, does not count."""
    image = np.random.default_rng(0).integers(0, 256, (FRAME[1], FRAME[0], 3), np.uint8)
    predictor(image)
    times: list[float] = []
    while len(times) < FEWEST_RUNS or (len(times) < MOST_RUNS and sum(times) < MEASURED_S):
        start = perf_counter()
        predict_all(predictor, image)
        times.append(perf_counter() - start)
    return median(times) * 1e3


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the line in which a backend says that it was chosen: here that is the finding."""
    log = logging.getLogger('mtperception.backends')
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
