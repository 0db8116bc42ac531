# SPDX-License-Identifier: Apache-2.0
"""What there is to measure: every backend on every device in every precision, less what options rule out."""

from collections.abc import Sequence
from dataclasses import dataclass

from mtperception.backends import AUTO_ORDER, BACKENDS, PRECISIONS
from mtperception.errors import InputError


@dataclass(frozen=True)
class Candidate:
    """One way to run a model."""

    backend: str
    device: str
    precision: str

    def __str__(self) -> str:
        """As in `torch on cpu, fp32`."""
        return f'{self.backend} on {self.device}, {self.precision}'

    @property
    def baseline_device(self) -> str:
        """The device on which PyTorch runs beside it."""
        return self.device.replace('tensorrt', 'cuda')


def list_candidates(
    backends: Sequence[str] = (), devices: Sequence[str] = (), precisions: Sequence[str] = ()
) -> list[Candidate]:
    """Combinations of what is asked for, available or not; nothing asked for means all.

    Args:
        backends: keys of `BACKENDS`.
        devices: 'cpu', 'cuda:N' or 'tensorrt:N', with or without the number.
        precisions: of `PRECISIONS`.

    Raises:
        ValueError: for an unknown backend, device or precision, or if no backend asked for runs on any device that is.
    """
    _check('backend', backends, list(BACKENDS))
    _check('precision', precisions, PRECISIONS)
    kinds = list(dict.fromkeys(place.partition(':')[0] for _, place in AUTO_ORDER))
    _check('device', [device.partition(':')[0] for device in devices], kinds)
    places = [
        (backend, device)
        for backend, place in AUTO_ORDER
        if not backends or backend in backends
        for device in _devices(place, devices)
    ]
    if not places:
        raise InputError(
            f'backend {", ".join(backends) or "of any name"} on device {", ".join(devices)}: expected one of '
            f'{", ".join(f"{backend} on {place}" for backend, place in AUTO_ORDER)}'
        )
    return [
        Candidate(backend, device, precision)
        for backend, device in places
        for precision in PRECISIONS
        if not precisions or precision in precisions
    ]


def _devices(place: str, wanted: Sequence[str]) -> list[str]:
    """A place of AUTO_ORDER, with each of the numbers that were asked for of its kind."""
    if not wanted:
        return [place]
    kind = place.partition(':')[0]
    # With and without its number a device is the same one.
    return list(dict.fromkeys(asked if ':' in asked else place for asked in wanted if asked.partition(':')[0] == kind))


def _check(what: str, found: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in found if name not in known]
    if unknown:
        raise InputError(f'unknown {what} {unknown[0]!r}: expected {", ".join(known)}')
