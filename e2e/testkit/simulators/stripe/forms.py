"""The provider's form encoding, in which brackets nest: `line_items[0][price_data][currency]=usd`."""

import re
from collections.abc import Iterable
from typing import Any

from testkit.simulators.stripe.refusals import InvalidRequest

_NAME = re.compile(r"([a-z_0-9]+)((?:\[[^\[\]]*\])*)", re.IGNORECASE)
_STEP = re.compile(r"\[([^\[\]]*)\]")
_DEPTH_MAX = 6


def nested(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The members that a form or a query string describes; numbered ones become lists, in the order of their numbers.

    Raises:
        InvalidRequest: a name is malformed, or says two different things about one member.
    """
    members: dict[str, Any] = {}
    for name, value in pairs:
        found = _NAME.fullmatch(name)
        steps = _STEP.findall(found[2]) if found else []
        if found is None or len(steps) > _DEPTH_MAX:
            raise InvalidRequest("Invalid parameter name", parameter=name[:64])
        _put(members, [found[1], *steps], value, name)
    return {name: _with_lists(value) for name, value in members.items()}


def _put(members: dict[str, Any], steps: list[str], value: str, name: str) -> None:
    for step in steps[:-1]:
        members = members.setdefault(step, {})
        if not isinstance(members, dict):
            raise InvalidRequest("Invalid parameter", parameter=name)
    last = steps[-1] or str(len(members))
    if last in members:
        raise InvalidRequest("Invalid parameter", parameter=name)
    members[last] = value


def _with_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if all(key.isascii() and key.isdigit() for key in value):
        return [_with_lists(value[key]) for key in sorted(value, key=int)]
    return {key: _with_lists(inner) for key, inner in value.items()}
