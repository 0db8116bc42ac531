# SPDX-License-Identifier: Apache-2.0
"""Label spaces: the one place for class names, colours and groupings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mtperception import resources
from mtperception.bounded_read import read_yaml, shortened
from mtperception.errors import InputError

IGNORE_INDEX = 255
UNKNOWN_COLOR = (255, 255, 255)
UNLABELLED = 'unlabelled'
"""In a grouping: the group of the classes that have no counterpart in the coarser space."""
TRAVERSABLE, OVERHEAD, OBSTACLE = 'traversable', 'overhead', 'obstacle'
"""What a class is to a vehicle: it drives on it; it passes under it; it must not hit it."""
DEFAULT_LABEL_OFFSET = 1
"""From class index to id on a topic and in what mapping systems read: they keep 0 for unknown."""
MAX_LABEL_OFFSET = 253
"""Ids are bytes, and 255 is unknown where 0 is a class."""
DEFAULT_INVALID_DEPTH_CLASSES = ('sky',)
"""What has no distance, where a model's label space has it."""
LARGEST_ID = 254


MAX_NAME = 100
"""Characters of the name of a class."""


@dataclass(frozen=True, eq=False)
class LabelSpace:
    """An ordered list of classes.

    Attributes:
        name: that of its file in `config/labels`, or the whole path of one that is not installed.
        names: class names; the position is the class index.
        palette: uint8 C,3, RGB; no two alike and none white, which is kept for unknown pixels.
        groupings: by the name of a coarser label space, uint8 C: the coarse index of each class, 255 of those without
            a counterpart.
        navigation: by TRAVERSABLE, OVERHEAD and OBSTACLE the names of the classes, each in one of them; empty where
            the file does not say. It names the first two, the others are obstacles.
    """

    name: str
    names: tuple[str, ...]
    palette: np.ndarray
    groupings: dict[str, np.ndarray]
    navigation: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of classes."""
        return len(self.names)

    def indices(self, names: Sequence[str]) -> list[int]:
        """Class indices of some names.

        Raises:
            ValueError: for a name that is not in this space; the message lists the names that are.
        """
        unknown = [name for name in names if name not in self.names]
        if unknown and not self.names:
            raise InputError(f'no class {", ".join(unknown)}: the model gives no classes')
        if unknown:
            raise InputError(f'no class {", ".join(unknown)} in {self.name}: expected any of {", ".join(self.names)}')
        return [self.names.index(name) for name in names]

    def mark(self, names: Sequence[str], defaults: Sequence[str] = ()) -> np.ndarray:
        """uint8 256: 255 at the indices of some classes, 0 elsewhere.

        Args:
            names: of the classes of this space; '' is nothing.
            defaults: if these are the names, those of them that this space lacks are left out.

        Raises:
            ValueError: for a name that is not in this space; the message lists the names that are.
        """
        wanted = [name for name in names if name]
        if tuple(names) == tuple(defaults):
            wanted = [name for name in wanted if name in self.names]
        table = np.zeros(256, np.uint8)
        table[self.indices(wanted)] = 255
        return table

    def id_table(self, offset: int) -> np.ndarray:
        """uint8 256: table from class indices to ids: index + offset, unknown 0; with offset 0 unknown is 255.

        Raises:
            ValueError: if an id would be above `LARGEST_ID`.
        """
        if len(self) - 1 + offset > LARGEST_ID:
            raise InputError(
                f'label_offset {offset}: the {len(self)} classes of {self.name} need an offset of '
                f'{LARGEST_ID + 1 - len(self)} at most'
            )
        table = np.full(256, 0 if offset else IGNORE_INDEX, np.uint8)
        table[: len(self)] = np.arange(len(self)) + offset
        return table

    def grouping(self, target: str) -> np.ndarray:
        """uint8 256: table from this space's indices to those of `target`; 255 stays 255.

        Raises:
            ValueError: if this space has no grouping of that name.
        """
        if target not in self.groupings:
            known = ', '.join(self.groupings) or 'none'
            raise InputError(f'no grouping {target!r} of {self.name}: expected one of: {known}')
        table = np.full(256, IGNORE_INDEX, np.uint8)
        table[: len(self)] = self.groupings[target]
        return table

    def by_name(self, target: 'LabelSpace') -> np.ndarray:
        """uint8 256: table from this space's indices to those of the same names in `target`; 255 where it has none."""
        table = np.full(256, IGNORE_INDEX, np.uint8)
        for index, name in enumerate(self.names):
            if name in target.names:
                table[index] = target.names.index(name)
        return table

    def conversion(self, target: 'LabelSpace') -> np.ndarray:
        """uint8 256: table from this space's indices to those of a space that can say the same.

        That is the space itself, one that this space is grouped into, or a joint one that has all its names.

        Raises:
            ValueError: if `target` is none of these.
        """
        if target.name in self.groupings:
            return self.grouping(target.name)
        if not set(self.names) <= set(target.names):
            raise InputError(
                f'cannot convert labels of {self.name} to {target.name}: expected {self.name}, a grouping of it '
                f'({", ".join(self.groupings) or "there is none"}), or a space that has all its names'
            )
        return self.by_name(target)


NO_CLASSES = LabelSpace('', (), np.zeros((0, 3), np.uint8), {})
"""The label space of a network without segmentation."""


def invalid_depth_table(space: LabelSpace, names: Sequence[str]) -> np.ndarray:
    """uint8 256: 255 at the class indices whose depth is no measurement.

    Args:
        space: the model's own label space, not a grouping.
        names: of classes; the default names count where the space has them.

    Raises:
        ValueError: for a class that the space does not have; names those that it has.
    """
    try:
        return space.mark(names, DEFAULT_INVALID_DEPTH_CLASSES)
    except ValueError as error:
        raise InputError(f'invalid_depth_classes: {error}') from error


@cache
def load_label_space(name: str) -> LabelSpace:
    """Load a label space by name or by the path of its YAML file, which is then its name.

    Raises:
        ResourceNotFoundError: if there is no such space.
        ValueError: if the file repeats a name or a colour, uses white, or groups or sorts classes wrongly.
    """
    path = resources.find('labels', name)
    try:
        content = read_yaml(path)
        if not isinstance(content, dict) or not isinstance(content.get('classes'), list):
            raise InputError('expected classes: [{name: wall, color: [128, 0, 0]}, ...]')
        names = _names(content['classes'])
        palette = _palette([entry['color'] for entry in content['classes']])
        groupings = {
            target: _grouping_table(names, load_label_space(target).names, groups)
            for target, groups in content.get('groupings', {}).items()
        }
        navigation = _navigation(names, content.get('navigation', {}))
    except KeyError as error:
        raise InputError(f'{path}: not a label space: a class without {error}') from error
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise InputError(shortened(f'{path}: not a label space: {error}')) from error
    _check(path, names, palette)
    return LabelSpace(_reference(path), names, palette, groupings, navigation)


def _reference(path: Path) -> str:
    """What a label space is found by again: its name, or the whole path of one that is not installed."""
    try:
        is_installed = resources.find('labels', path.stem).resolve() == path.resolve()
    except resources.ResourceNotFoundError:
        is_installed = False
    return path.stem if is_installed else str(path.resolve())


def _names(classes: list[Mapping[str, Any]]) -> tuple[str, ...]:
    if not 0 < len(classes) <= IGNORE_INDEX - 1:
        raise InputError(f'{len(classes)} classes: expected 1 to {IGNORE_INDEX - 1}')
    names = tuple(str(entry['name']) for entry in classes)
    longest = max(names, key=len)
    if len(longest) > MAX_NAME:
        raise InputError(f'class {longest[:MAX_NAME]}...: expected names of up to {MAX_NAME} characters')
    return names


def _palette(colors: Sequence[Sequence[int]]) -> np.ndarray:
    """uint8 C,n. Checked here: NumPy 1 turns 300 into 44 without an error."""
    palette = np.array(colors, np.int64)
    if ((palette < 0) | (palette > 255)).any():
        raise InputError('a color is made of numbers from 0 to 255')
    return palette.astype(np.uint8)


def _grouping_table(names: Sequence[str], coarse: Sequence[str], groups: dict[str, list[str]]) -> np.ndarray:
    """uint8 C: index in `coarse` of the group that each of `names` belongs to; 255 for the group `unlabelled`."""
    group_of = {fine: group for group, members in groups.items() for fine in members}
    if set(group_of) != set(names) or sum(map(len, groups.values())) != len(names):
        raise InputError(f'each class must be in exactly one group, those without a counterpart in {UNLABELLED!r}')
    index_of = {name: index for index, name in enumerate(coarse)} | {UNLABELLED: IGNORE_INDEX}
    unknown = set(groups) - set(index_of)
    if unknown:
        raise InputError(f'no group {", ".join(sorted(unknown))}: expected any of {", ".join(index_of)}')
    return np.array([index_of[group_of[name]] for name in names], np.uint8)


def _navigation(names: Sequence[str], kinds: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """The names of each kind, those that the file does not name as obstacles; empty if it names none."""
    if not kinds:
        return {}
    named = [name for members in kinds.values() for name in members]
    if not set(kinds) <= {TRAVERSABLE, OVERHEAD} or not set(named) <= set(names) or len(set(named)) != len(named):
        raise InputError(f'navigation: expected lists {TRAVERSABLE!r} and {OVERHEAD!r} of classes, none of them twice')
    obstacles = tuple(name for name in names if name not in named)
    return {kind: tuple(kinds.get(kind, ())) for kind in (TRAVERSABLE, OVERHEAD)} | {OBSTACLE: obstacles}


def _check(path: Path, names: Sequence[str], palette: np.ndarray) -> None:
    if palette.shape != (len(names), 3):
        raise InputError(f'{path}: each class needs a color of three numbers')
    colors = {tuple(color) for color in palette.tolist()}
    if len(set(names)) != len(names) or len(colors) != len(names) or UNKNOWN_COLOR in colors:
        raise InputError(f'{path}: names and colours must be unique, and none white')
