# SPDX-License-Identifier: Apache-2.0
"""For tests: a disk that is full."""

import resource
from contextlib import contextmanager


@contextmanager
def largest_file(size):
    """Files can have so many bytes, which fails as a full disk does, with another number of the error (EFBIG)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
