# SPDX-License-Identifier: Apache-2.0
"""What this package raises for faults of what it was given. Anything else that is raised is a fault of the package."""

from collections.abc import Iterator
from contextlib import contextmanager


class MTPerceptionError(Exception):
    """A fault in what was given; the message says what was found, what was expected and what to do."""


class InputError(MTPerceptionError, ValueError):
    """A value, or a combination of values, that cannot be used."""


class SourceError(MTPerceptionError, OSError):
    """A source of images, or a recording, that cannot be opened or read."""


class WriteError(MTPerceptionError, OSError):
    """A file or folder that cannot be written: the disk is full, it is not allowed, or something is in the way."""


class CheckpointError(MTPerceptionError, ValueError):
    """A file that is not the checkpoint it should be, or does not fit; the message says which."""


class MissingPackageError(MTPerceptionError, ImportError):
    """An optional package that cannot be imported; the message says what to install."""


class OccupiedError(WriteError, FileExistsError):
    """Something is where a file or folder is to be written, and is not replaced."""


class RunError(MTPerceptionError, RuntimeError):
    """A run that comes to nothing on this machine, for a reason that is not a fault of the package."""


class LateError(RunError, TimeoutError):
    """Something that was started, and did not answer in time."""


@contextmanager
def needs(what: str, packages: str, extra: str, linked: str = '') -> Iterator[None]:
    """Around the import of what an extra installs.

    Args:
        what: the command, option or file that needs it.
        packages: what it needs, for people.
        extra: of this package, that has them.
        linked: what the system must have for them, and how to get it.

    Raises:
        MissingPackageError: if something cannot be imported.
    """
    try:
        yield
    except MissingPackageError:
        raise
    except ModuleNotFoundError as error:
        raise MissingPackageError(f'{what} needs {packages} ({error}): pip install "mtperception[{extra}]"') from error
    except (ImportError, OSError) as error:
        expected = linked or 'upgrade it, or install the library of the system that this names'
        raise MissingPackageError(
            f'{what} needs {packages}: installed, but cannot be imported ({error}): {expected}'
        ) from error
