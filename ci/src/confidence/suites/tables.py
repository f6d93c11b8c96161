"""Reads members out of TOML tables, each with a sentence for the person who mistyped one."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any

from confidence.suites.errors import ConfigurationError


class Table:
    """One table of the configuration; every member must be asked for by name, so that a typing error is found."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, Mapping):
            raise ConfigurationError(f"{where} must be a table")
        self._value: Mapping[str, Any] = value
        self.where = where

    def names(self) -> tuple[str, ...]:
        """The members in the order of the file."""
        return tuple(self._value)

    def has(self, name: str) -> bool:
        """Whether the member was given."""
        return name in self._value

    def only(self, known: Collection[str]) -> None:
        """Refuse members that nobody knows.

        Raises:
            ConfigurationError: there is one.
        """
        for name in self._value:
            if name not in known:
                raise ConfigurationError(f"{self.where} has no setting {name!r}{nearest(name, known)}")

    def table(self, name: str) -> "Table":
        """A table inside this one; an empty one when it is absent."""
        return Table(self._value.get(name, {}), f"{self.where}.{name}" if self.where else name)

    def text(self, name: str, default: str | None = None) -> str:
        """A text."""
        value = self._member(name, default)
        if not isinstance(value, str) or not value:
            raise self._wrong(name, "a text")
        return value

    def choice(self, name: str, known: Collection[str], default: str | None = None) -> str:
        """A text out of few."""
        value = self.text(name, default)
        if value not in known:
            raise self._wrong(name, f"one of {', '.join(sorted(known))}")
        return value

    def texts(self, name: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """A list of texts."""
        value = self._member(name, default)
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
            raise self._wrong(name, "a list of texts")
        return tuple(value)

    def number(self, name: str, default: float | None = None) -> float:
        """A number greater than zero."""
        value = self._member(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise self._wrong(name, "a number greater than zero")
        return float(value)

    def count(self, name: str, default: int, *, at_least: int = 0) -> int:
        """A whole number."""
        value = self._member(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise self._wrong(name, f"a whole number of at least {at_least}")
        return value

    def text_table(self, name: str) -> dict[str, str]:
        """A table of texts."""
        inner = self.table(name)
        return {member: inner.text(member) for member in inner.names()}

    def as_mapping(self) -> dict[str, Any]:
        """The whole table as it stands, for a gate that reads its own settings."""
        return dict(self._value)

    def _member(self, name: str, default: Any) -> Any:
        value = self._value.get(name, default)
        if value is None:
            raise ConfigurationError(f"{self.where} needs the setting {name!r}")
        return value

    def _wrong(self, name: str, wanted: str) -> ConfigurationError:
        return ConfigurationError(f"{self.where}.{name} must be {wanted}, not {self._value.get(name)!r}")


def nearest(name: str, known: Collection[str]) -> str:
    """A hint at the name that was perhaps meant."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there is {', '.join(sorted(known)) or 'none'}"
