# SPDX-License-Identifier: Apache-2.0
"""From the bytes of messages to their fields, by the definitions in a recording or those of ROS 2."""

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_idl, get_types_from_msg, get_typestore

from mtperception.errors import InputError
from mtperception.messages import RefusedMessageError
from mtperception.recording.storage import Connection, Definition

if TYPE_CHECKING:
    from rosbags.interfaces.typing import Typesdict
    from rosbags.typesys.store import Typestore

DEFAULT = Stores.ROS2_JAZZY
"""Whose definitions of the usual types stand in for missing ones."""
_IDL_BEGIN = '=' * 80 + '\nIDL: '
"""Before the name of each type in a `ros2idl` definition."""
_UNREADABLE = (TypesysError, AssertionError, IndexError, KeyError, RecursionError, SyntaxError, TypeError, ValueError)
"""What rosbags raises at definitions."""


class MessageTypes:
    """The types of the messages of some connections; each is looked at when it is asked for, and by itself."""

    def __init__(self, connections: Iterable[Connection]) -> None:
        self._definitions: dict[str, Definition] = {}
        for connection in connections:
            if connection.definition.text or connection.kind not in self._definitions:
                self._definitions[connection.kind] = connection.definition
        self._stores: dict[str, Typestore | str] = {}

    def problem(self, kind: str) -> str:
        """Why messages of a type cannot be read; empty if they can."""
        found = self._store(kind)
        return found if isinstance(found, str) else ''

    def store(self, kind: str) -> 'Typestore':
        """The store that knows a type.

        Raises:
            RefusedMessageError: of kind `message`, if nothing is known of it.
        """
        found = self._store(kind)
        if isinstance(found, str):
            raise RefusedMessageError('message', f'found messages of {kind}, {found}')
        return found

    def deserialized(self, data: bytes, kind: str) -> Any:
        """A message of some type.

        Raises:
            RefusedMessageError: of kind `message`, if the bytes are not one.
        """
        try:
            return self.store(kind).deserialize_cdr(data, kind)
        except SerdeError as error:
            raise RefusedMessageError('message', f'found {len(data)} bytes that are not a {kind}: {error}') from error

    def _store(self, kind: str) -> 'Typestore | str':
        if kind not in self._stores:
            self._stores[kind] = self._opened(kind, self._definitions.get(kind, Definition()))
        return self._stores[kind]

    def _opened(self, kind: str, definition: Definition) -> 'Typestore | str':
        """The recorded definition if it can be read, else that of ROS 2, else what is wrong."""
        try:
            return _recorded(kind, definition)
        except _UNREADABLE as error:
            if kind in default_store().fielddefs:
                return default_store()
            if not definition.text:
                return 'whose definition is not in the recording'
            return f'whose definition ({definition.encoding}) cannot be read: {_in_short(error)}'


@cache
def default_store() -> 'Typestore':
    """The usual types of ROS 2."""
    return get_typestore(DEFAULT)


def _recorded(kind: str, definition: Definition) -> 'Typestore':
    """A store with one type and what it is made of."""
    text = definition.text.replace('\r\n', '\n')  # as files of Windows end their lines
    parsers = {'ros2msg': lambda: get_types_from_msg(text, kind), 'ros2idl': lambda: _from_idl(text)}
    parsers['omgidl'] = parsers['ros2idl']
    if not text or definition.encoding not in parsers:
        raise InputError(f'found the encoding {definition.encoding!r}, expected one of {", ".join(parsers)}')
    store = get_typestore(Stores.EMPTY)
    store.register(parsers[definition.encoding]())
    store.generate_msgdef(kind, ros_version=2)  # goes through all that it is made of: nothing may be missing
    return store


def _from_idl(text: str) -> 'Typesdict':
    if not text.startswith(_IDL_BEGIN):
        return get_types_from_idl(text)
    types: Typesdict = {}
    for part in text.split(_IDL_BEGIN)[1:]:
        types |= get_types_from_idl(part.partition('\n')[2])
    return types


def _in_short(error: BaseException) -> str:
    return ' '.join(str(error).split())[:160] or type(error).__name__
