# SPDX-License-Identifier: Apache-2.0
"""What this machine can run, and what it lacks: one `Finding` for each thing that was looked at."""

from mtperception.doctor.finding import NOTE, OK, PROBLEM, WARNING, Finding

__all__ = ['NOTE', 'OK', 'PROBLEM', 'WARNING', 'Finding']
