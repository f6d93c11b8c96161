"""Reads the environment once, typed, and refuses what it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from billing.kit.errors import SettingsError

_PREFIX = "BILLING_"
# These belong to the gate, the probe and the tests; a server started by them sees them and passes them over.
_FOREIGN_PREFIXES = ("BILLING_COVERAGE_", "BILLING_PROBE_", "BILLING_SANDBOX_")

G = TypeVar("G", bound="SettingsGroup")


class SettingsGroup(BaseModel):
    """The settings of one capability; each field names its environment variable as its alias."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def variables(cls) -> frozenset[str]:
        """The environment variables that this group reads."""
        return frozenset(field.alias for field in cls.model_fields.values() if field.alias)


def read_group(group: type[G], environ: Mapping[str, str]) -> G:
    """The group's values from the environment; an empty variable counts as unset.

    Raises:
        SettingsError: a value cannot be read; the sentence names the variable, never its value.
    """
    given = {name: environ[name] for name in group.variables() if environ.get(name, "") != ""}
    try:
        return group.model_validate(given)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, item['loc'])) or group.__name__}: {item['msg']}." for item in error.errors())
        raise SettingsError(tuple(problems)) from None


def refuse_unknown(groups: Iterable[type[SettingsGroup]], environ: Mapping[str, str]) -> None:
    """A misspelt variable must not be a silently ignored one.

    Raises:
        SettingsError: a `BILLING_…` variable is set that no group reads.
    """
    known = frozenset[str]().union(*(group.variables() for group in groups))
    unknown = sorted(
        name
        for name in environ
        if name.startswith(_PREFIX) and not name.startswith(_FOREIGN_PREFIXES) and name not in known
    )
    if unknown:
        raise SettingsError(tuple(f"{name} is not a setting of this version." for name in unknown))


def require_asserts() -> None:
    """Under `python -O` no assert is ever looked at, this one included; so it cannot be an assert.

    Raises:
        SettingsError: asserts are switched off.
    """
    if not __debug__:
        raise SettingsError(("Asserts guard the money here: do not run under python -O or with PYTHONOPTIMIZE set.",))
