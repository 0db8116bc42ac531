# SPDX-License-Identifier: Apache-2.0
"""What is known of a metric besides how it is computed: which values are better, its unit, and how people read it."""

import math
from dataclasses import dataclass

LARGER, SMALLER = 'larger', 'smaller'
"""Which values of a metric are the better ones."""


@dataclass(frozen=True)
class Unit:
    """What values of a metric are written in."""

    symbol: str = ''
    """Behind a value, with the space between them if there is one."""
    words: str = ''
    """Behind the metric's title on an axis."""
    factor: float = 1
    """A value times this is what is written."""
    decimals: int = 4

    def number(self, value: float) -> str:
        """A value without the symbol; a dash for one over nothing (NaN)."""
        return '–' if math.isnan(value) else f'{self.factor * value:.{self.decimals}f}'


NUMBER = Unit()
PERCENT = Unit(' %', factor=100, decimals=2)
"""Of shares, which are 0..1 everywhere but in what people read."""
METRE = Unit(' m', 'in metres')
PIXEL = Unit(' px', 'in pixels')
DEGREE = Unit('°', 'in degrees', decimals=2)


@dataclass(frozen=True)
class Metric:
    """One metric; its name is its key, in the table that has it and in JSON."""

    better: str
    """LARGER or SMALLER, whichever is better; '' where it is a value between them, such as 1 of a scale."""
    unit: Unit = NUMBER
    title: str = ''
    """In headings, where that is not the name in words."""
    headline: bool = False
    """Whether it is one of the few that tables of many models or recordings show."""

    def heading(self, name: str) -> str:
        """What it is called in headings: its title, or its name in words."""
        return self.title or name.replace('_', ' ')

    def format(self, value: float) -> str:
        """A value for people, with its unit; a dash for one over nothing (NaN)."""
        return self.unit.number(value) + ('' if math.isnan(value) else self.unit.symbol)


_FLICKER = Metric(SMALLER, PERCENT)
_SHOWN_FLICKER = Metric(SMALLER, PERCENT, headline=True)
RECORDING_METRICS: dict[str, Metric] = {
    'scale': Metric('', headline=True),
    'scale_std': Metric(SMALLER),
    'scale_change': Metric(SMALLER),
    'label_flicker': _SHOWN_FLICKER,
    'depth_flicker': _SHOWN_FLICKER,
    'label_flicker_compensated': _FLICKER,
    'depth_flicker_compensated': _FLICKER,
}
"""Those of a recording's frames together, which are no task's (`replay.result.DEFINITIONS`)."""
