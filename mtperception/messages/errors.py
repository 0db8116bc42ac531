# SPDX-License-Identifier: Apache-2.0
"""Why a message is refused."""

from mtperception.errors import MTPerceptionError


class RefusedMessageError(MTPerceptionError, ValueError):
    """A message that cannot be used; the text says what was found and what was expected.

    Attributes:
        kind: a short key that stays the same between releases, to count by.
    """

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


class RefusedImageError(RefusedMessageError):
    """An Image or CompressedImage that cannot be used.

    Its `kind` is `encoding` (not one that is read), `size` (none, too large, or not one the encoding can have), `step`
    (shorter than a row), `data` (not as many bytes as the other fields say) or `compressed` (bytes that are no JPEG or
    PNG file, or a broken one).
    """


class RefusedCameraInfoError(RefusedMessageError):
    """A CameraInfo that cannot be used for the image at hand. Its `kind` is `camera_info`."""

    def __init__(self, reason: str) -> None:
        super().__init__('camera_info', reason)
