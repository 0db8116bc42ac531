# SPDX-License-Identifier: Apache-2.0
"""What a model's training data allow: said once, when it is opened."""

import logging
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

NON_COMMERCIAL = re.compile(
    r'\bNC\b|non-?commercial|academic|\bKITTI\b|\bADE20K\b|\bPlaces365\b|\bCityscapes\b', re.IGNORECASE
)
"""Licences, and data sets whose licence is such, in the words of a card."""
_log = logging.getLogger(__name__)


def is_non_commercial(training: Mapping[str, Any]) -> bool:
    """Whether a card's `training` names data or a licence that rule out commercial use."""
    return any(NON_COMMERCIAL.search(str(training.get(key, ''))) for key in ('data', 'licence'))


def note_terms(name: str, training: Mapping[str, Any]) -> None:
    """Log, once for each model, that it was trained on data for non-commercial use."""
    if is_non_commercial(training):
        _note(name, str(training.get('licence', '')))


@cache
def _note(name: str, licence: str) -> None:
    _log.warning('model %s was trained on data for non-commercial use (%s)', name, licence or 'see its card')
