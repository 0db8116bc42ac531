# SPDX-License-Identifier: Apache-2.0
"""A ROS domain of one's own on this machine."""

import random
import socket

from mtperception.errors import RunError

DOMAINS = range(1, 102)
"""All but the default one whose ports lie below those that Linux gives to any program (32768)."""


def free_domain_id() -> int:
    """A ROS_DOMAIN_ID that no process on this machine uses now.

    Raises:
        RuntimeError: if all are in use.
    """
    for domain_id in random.sample(DOMAINS, len(DOMAINS)):
        if _is_free(domain_id):
            return domain_id
    raise RunError(f'all ROS domains from {DOMAINS[0]} to {DOMAINS[-1]} are in use here: stop some ROS processes')


def port_of(domain_id: int) -> int:
    """The UDP port on which the first participant of a domain is found (DDSI-RTPS 2.5, 9.6.2.3)."""
    return 7400 + 250 * domain_id + 10


def _is_free(domain_id: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(('', port_of(domain_id)))
        except OSError:
            return False
    return True
