# SPDX-License-Identifier: Apache-2.0
import socket

import pytest

from mtperception.ros import domain
from mtperception.ros.domain import free_domain_id


@pytest.fixture
def participant():
    """Takes the port of the first participant of a domain."""
    taken = []

    def join(domain_id):
        taken.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        taken[-1].bind(('', 7410 + 250 * domain_id))

    yield join
    for each in taken:
        each.close()


def test_a_domain_with_a_participant_is_not_taken(participant, monkeypatch):
    free = [free_domain_id(), free_domain_id()]
    while free[1] == free[0]:
        free[1] = free_domain_id()
    monkeypatch.setattr(domain, 'DOMAINS', free)
    participant(free[0])
    assert {free_domain_id() for _ in range(20)} == {free[1]}
    participant(free[1])
    with pytest.raises(RuntimeError, match='are in use here: stop some ROS processes'):
        free_domain_id()


def test_fifty_participants_stay_below_the_ports_that_linux_hands_out():
    assert 7400 + 250 * max(domain.DOMAINS) + 11 + 2 * 50 < 32768
