# SPDX-License-Identifier: Apache-2.0
"""A registered backend whose runs a test changes or watches."""

from collections.abc import Callable

from mtperception.backends import BACKENDS, Backend


def altered(name: str, run_otherwise: Callable) -> Callable[..., Backend]:
    """The loader of a backend that runs as `run_otherwise(its run, images)` does."""
    real = BACKENDS[name]

    def load(*arguments: object) -> Backend:
        backend = real(*arguments)
        run = backend.run
        backend.run = lambda images: run_otherwise(run, images)
        return backend

    return load
