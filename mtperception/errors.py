"""What this package raises for faults of what it was given. Anything else that is raised is a fault of the package."""


class MTPerceptionError(Exception):
    """A fault in what was given; the message says what was found, what was expected and what to do."""


class SourceError(MTPerceptionError, OSError):
    """A source of images, or a recording, that cannot be opened or read."""
