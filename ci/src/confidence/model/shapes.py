"""Turns the model's frozen dataclasses into JSON values and reads them back, refusing every other shape."""

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Record = TypeVar("Record")
Reader = Callable[[Any, str], Any]


class MalformedRecordError(ValueError):
    """A JSON value has not the shape that its record promises; the sentence names the place."""


def to_json(value: Any) -> Any:
    """The JSON value of a record: dataclasses become objects, tuples lists, enums their value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def from_json(record: type[Record], value: Any, where: str = "") -> Record:
    """Read one record; unknown members are passed over, so that an older reader survives a newer writer.

    Raises:
        MalformedRecordError: a member is missing or has another type.
    """
    read: Record = _reader(typing.cast("typing.Hashable", record))(value, where or record.__name__)
    return read


@functools.cache
def _reader(shape: Any) -> Reader:
    """The function that reads a value of this type; made once per type, because events come in great numbers."""
    if shape is Any:
        return lambda value, _where: value
    make = _GENERIC.get(typing.get_origin(shape))
    if make is not None:
        return make(shape)
    if dataclasses.is_dataclass(shape):
        return _record_reader(typing.cast("type", shape))
    if isinstance(shape, type) and issubclass(shape, enum.Enum):
        return _enum_reader(shape)
    return _plain_reader(shape)


def _plain_reader(shape: type) -> Reader:
    accepted = (int, float) if shape is float else (shape,)

    def read(value: Any, where: str) -> Any:
        if isinstance(value, bool) is not (shape is bool) or not isinstance(value, accepted):
            raise MalformedRecordError(f"{where}: expected {shape.__name__}, found {_shown(value)}")
        return value

    return read


def _enum_reader(shape: type[enum.Enum]) -> Reader:
    def read(value: Any, where: str) -> Any:
        try:
            return shape(value)
        except ValueError as unknown:
            known = ", ".join(str(member.value) for member in shape)
            raise MalformedRecordError(f"{where}: expected one of {known}, found {_shown(value)}") from unknown

    return read


def _optional_reader(shape: Any) -> Reader:
    inner = _reader(next(member for member in typing.get_args(shape) if member is not types.NoneType))
    return lambda value, where: None if value is None else inner(value, where)


def _tuple_reader(shape: Any) -> Reader:
    inner = _reader(typing.get_args(shape)[0])

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, list):
            raise MalformedRecordError(f"{where}: expected a list, found {_shown(value)}")
        return tuple(inner(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read


def _mapping_reader(shape: Any) -> Reader:
    inner = _reader(typing.get_args(shape)[1])

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise MalformedRecordError(f"{where}: expected an object, found {_shown(value)}")
        return {key: inner(item, f"{where}.{key}") for key, item in value.items()}

    return read


_GENERIC: dict[Any, Callable[[Any], Reader]] = {
    types.UnionType: _optional_reader,
    tuple: _tuple_reader,
    Mapping: _mapping_reader,
}


def _record_reader(record: type) -> Reader:
    hints = typing.get_type_hints(record)
    members = [(field.name, _reader(hints[field.name]), _is_required(field)) for field in dataclasses.fields(record)]

    def read(value: Any, where: str) -> Any:
        if not isinstance(value, Mapping):
            raise MalformedRecordError(f"{where}: expected an object, found {_shown(value)}")
        found = {}
        for name, read_member, required in members:
            if name in value:
                found[name] = read_member(value[name], f"{where}.{name}")
            elif required:
                raise MalformedRecordError(f"{where}: {name} is missing")
        return record(**found)

    return read


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _shown(value: Any) -> str:
    """The found value, short enough for a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - the width of a sentence's object
