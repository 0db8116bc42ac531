# SPDX-License-Identifier: Apache-2.0
"""Networks small enough for tests: what they promise is the same."""

import inspect
from typing import Any

from mtperception.networks import NETWORKS


def thin(name: str) -> dict[str, Any]:
    """Options that make a large network of `NETWORKS` small; none where it has no such option."""
    return {'width': 0.125} if 'width' in inspect.signature(NETWORKS[name]).parameters else {}
