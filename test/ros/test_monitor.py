# SPDX-License-Identifier: Apache-2.0
"""What the diagnostics say, by a clock that the tests set."""

import pytest
from diagnostic_msgs.msg import DiagnosticStatus

from mtperception.predictor import Predictor
from mtperception.ros.diagnostics import Stream, diagnostic_array
from mtperception.ros.monitor import LatencyLedger, Monitor, RateMeter, Reports


class SetClock:
    """Seconds that the test says."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def monitor(clock):
    return Monitor(clock)


def test_ledger_by_hand():
    ledger = LatencyLedger()
    assert ledger.summary() == {}
    for total in range(1, 102):
        ledger.add({'total': float(total), 'inference': 2.0})
    summary = ledger.summary()
    assert summary['total'] == pytest.approx((51.0, 100.0, 101.0))
    assert summary['inference'] == pytest.approx((2.0, 2.0, 2.0))
    assert summary['upload'] == (0.0, 0.0, 0.0)


def test_ledger_forgets_the_oldest():
    ledger = LatencyLedger()
    for total in [500.0] * 10 + [1.0] * 1000:
        ledger.add({'total': total})
    assert ledger.summary()['total'] == (1.0, 1.0, 1.0)


def test_rate_of_a_steady_stream(clock):
    meter = RateMeter(clock)
    assert meter.rate() == 0
    for _ in range(100):
        meter.tick()
        clock.now += 0.1
    assert meter.rate() == pytest.approx(10.0, rel=0.03)
    assert meter.count == 100


def test_rate_of_a_stream_that_stops_falls(clock):
    meter = RateMeter(clock)
    for _ in range(20):
        meter.tick()
        clock.now += 0.1
    clock.now += 2.0
    assert meter.rate() == pytest.approx(19 / 4.0, rel=0.05)
    clock.now += 10
    assert meter.rate() == 0
    assert meter.since_last() == pytest.approx(12.1)


def test_rate_of_a_slow_stream(clock):
    meter = RateMeter(clock)
    for _ in range(4):
        meter.tick()
        clock.now += 8.0
    assert meter.rate() == pytest.approx(1 / 8)
    clock.now += 4.0
    assert meter.rate() == pytest.approx(1 / 12), 'the open interval counts'
    clock.now += 4.5
    assert meter.rate() == 0, 'twice as long as the last one: it has stopped'


def test_refusals_are_reported_once_per_kind_then_now_and_then(monitor, clock):
    refusals = monitor.refusals
    assert refusals.add('step', 'a')
    assert not refusals.add('step', 'b')
    assert refusals.add('data', 'c')
    clock.now += 9.9
    assert not refusals.add('step', 'd')
    clock.now += 0.2
    assert refusals.add('step', 'e')
    assert refusals.counts == {'step': 4, 'data': 1}
    assert refusals.last_reason == 'e'


def test_remarks_are_reported_once(clock):
    remarks = Reports(float('inf'), clock)
    assert remarks.add('time', 'a')
    clock.now += 1e6
    assert not remarks.add('time', 'b')
    assert remarks.counts == {'time': 2}


def test_stamps_that_run_backwards(monitor):
    assert monitor.receive(5_000_000_000) == 0
    assert monitor.receive(6_000_000_000) == 0
    assert monitor.receive(4_500_000_000) == 1.5
    assert monitor.receive(4_600_000_000) == 0


def run(monitor, clock, seconds, answered, period=0.1):
    """Images that are to be answered."""
    for _ in range(round(seconds / period)):
        monitor.receive(int(clock.now * 1e9))
        monitor.accept()
        if answered:
            monitor.answer()
            monitor.ledger.add({'total': 300.0})
        clock.now += period


def test_stalled_when_images_come_and_nothing_goes(monitor, clock):
    run(monitor, clock, 3, answered=True)
    assert not monitor.stalled()
    run(monitor, clock, 1.4, answered=False)
    assert not monitor.stalled(), 'five times a p99 of 0.3 s have not passed'
    run(monitor, clock, 0.3, answered=False)
    assert monitor.stalled()
    clock.now += 1.5
    assert not monitor.stalled(), 'no images arrive'


def test_what_waits_for_a_preparation_is_not_overdue_when_that_is_over(monitor, clock):
    run(monitor, clock, 3, answered=False)
    assert monitor.stalled()
    monitor.restart()
    run(monitor, clock, 0.9, answered=False)
    assert not monitor.stalled()
    run(monitor, clock, 0.2, answered=False)
    assert monitor.stalled(), 'more than a second after it'
    monitor.answer()
    monitor.restart()
    clock.now += 0.5
    run(monitor, clock, 0.1, answered=False)
    clock.now += 0.8
    assert not monitor.stalled(), 'nothing waited when the preparation ended'


def test_an_answer_while_it_is_asked(clock):
    """The worker answers in its own thread, here whenever the clock is read."""

    def answer():
        if waiting:
            waiting.pop()
            monitor.answer()
        return clock.now

    waiting = []
    monitor = Monitor(answer)
    monitor.receive(0)
    monitor.accept()
    waiting.append(True)
    assert not monitor.stalled()
    assert not waiting, 'the clock was read'


def test_a_slow_stream_is_not_stalled(monitor, clock):
    """Two seconds between images (or `max_rate: 0.5`), each answered: at no moment is one overdue."""
    for _ in range(20):
        run(monitor, clock, 0.1, answered=True)
        for _ in range(19):
            monitor.receive(int(clock.now * 1e9))  # not to be answered: max_rate, or nobody subscribes
            clock.now += 0.1
            assert not monitor.stalled()


def test_nothing_is_overdue_after_deactivation(monitor, clock):
    run(monitor, clock, 3, answered=False)
    assert monitor.stalled()
    monitor.forget()
    assert not monitor.stalled()


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


def statuses(monitor, predictor, now_s=200.0, has_subscribers=True, is_preparing=False, is_listening=True, **settings):
    streams = [Stream('', monitor, has_subscribers, is_preparing, is_listening=is_listening)]
    array = diagnostic_array('/n/perception', streams, predictor, int(now_s * 1e9), **settings)
    return {s.name.rsplit(' ', 1)[1]: (s.level, s.message, {v.key: v.value for v in s.values}) for s in array.status}


def test_levels(monitor, clock, predictor):
    ok, warn, error = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
    found = statuses(monitor, predictor, has_subscribers=False)
    assert found['input'][:2] == found['processing'][:2] == (ok, 'idle: no subscribers')
    run(monitor, clock, 3, answered=True)
    assert statuses(monitor, predictor)['processing'][:2] == (ok, 'running')
    assert statuses(monitor, predictor, min_output_rate=30.0)['processing'][0] == warn
    found = statuses(monitor, predictor, min_output_rate=30.0, is_listening=False)
    assert found['input'][:2] == found['processing'][:2] == (ok, 'inactive')
    run(monitor, clock, 3, answered=False)
    assert statuses(monitor, predictor)['processing'][0] == error
    assert statuses(monitor, predictor, is_preparing=True)['processing'][:2] == (ok, 'preparing a new image size')
    monitor.restart()
    assert statuses(monitor, predictor)['processing'][0] == ok
    monitor.refusals.add('step', 'found 1, expected 2')
    level, message, values = statuses(monitor, predictor)['input']
    assert (level, message, values['refused step']) == (warn, 'refused: found 1, expected 2', '1')
    clock.now += 11
    assert statuses(monitor, predictor)['input'][0] == ok


@pytest.mark.parametrize(
    ('now_s', 'age'), [(100.0, '0.0'), (100.25, '250.0'), (110.0, '10000.0'), (110.1, 'n/a'), (99.9, 'n/a')]
)
def test_ages_of_another_clock_are_not_shown(monitor, predictor, now_s, age):
    monitor.receive(100 * 10**9)
    assert statuses(monitor, predictor, now_s)['input'][2]['age [ms]'] == age


def test_age_without_an_image(monitor, predictor):
    assert statuses(monitor, predictor)['input'][2]['age [ms]'] == 'n/a'


def test_each_camera_has_its_own_statuses_and_the_model_one(clock, predictor):
    front, rear = Monitor(clock), Monitor(clock)
    front.receive(int(clock.now * 1e9))
    streams = [Stream('front', front, has_subscribers=True), Stream('rear', rear, has_subscribers=False)]
    array = diagnostic_array('/perception', streams, predictor, 0)
    frames_in = {s.name: {v.key: v.value for v in s.values}.get('frames in') for s in array.status}
    assert frames_in == {
        '/perception: front: input': '1',
        '/perception: front: processing': None,
        '/perception: rear: input': '0',
        '/perception: rear: processing': None,
        '/perception: model': None,
    }
    messages = {s.name: s.message for s in array.status}
    assert messages['/perception: rear: processing'] == 'idle: no subscribers'
    assert messages['/perception: front: processing'] == 'waiting for images'


def test_figures_are_of_what_they_are_called(monitor, clock, predictor):
    for total in range(1, 102):
        monitor.receive(0)
        if total % 4 == 0:
            monitor.answer()
        monitor.ledger.add({'total': float(total)})
        clock.now += 0.1
    report = diagnostic_array('/n', [Stream('', monitor, True)], predictor, 0)
    values = {
        status.name.rpartition(' ')[2]: {pair.key: pair.value for pair in status.values} for status in report.status
    }
    assert float(values['input']['rate [Hz]']) == pytest.approx(10, rel=0.1)
    assert float(values['processing']['output rate [Hz]']) == pytest.approx(2.5, rel=0.1)
    assert [values['processing'][f'total {name} [ms]'] for name in ('p50', 'p99', 'max')] == [
        '51.00',
        '100.00',
        '101.00',
    ]
