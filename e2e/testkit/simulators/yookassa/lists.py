"""Lists of objects: newest first, page by page, narrowed by members and moments."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from testkit.simulators.yookassa.refusals import InvalidRequest

_PAGE_DEFAULT = 10
_PAGE_MAX = 100
_MOMENT_FILTER = re.compile(r"(created_at|captured_at)\.(gte|gt|lte|lt)")


class Listed(Protocol):
    """What can stand in a list."""

    id: str

    def as_json(self) -> dict[str, Any]:
        """The API's object."""
        ...


@dataclass(frozen=True, slots=True)
class MomentBound:
    """One bound on a moment of an object, as in `created_at.gte=...`."""

    member: str
    comparison: str
    moment: datetime

    def admits(self, moment: datetime | None) -> bool:
        """Whether an object with this moment passes; one without it never does."""
        if moment is None:
            return False
        match self.comparison:
            case "gte":
                return moment >= self.moment
            case "gt":
                return moment > self.moment
            case "lte":
                return moment <= self.moment
            case _:
                return moment < self.moment


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list shall contain: equal members, bounds on moments, and one page of it."""

    limit: int
    cursor: str | None
    equals: dict[str, str]
    bounds: tuple[MomentBound, ...]

    def admits(self, item: Listed) -> bool:
        """Whether the object belongs into the list."""
        body = item.as_json()
        return all(body.get(name) == value for name, value in self.equals.items()) and all(
            bound.admits(getattr(item, bound.member, None)) for bound in self.bounds
        )


def list_query_from(params: Mapping[str, str], *, may_equal: frozenset[str]) -> ListQuery:
    """Reads the query string of a list; `may_equal` names the members that can be asked for by value.

    Raises:
        InvalidRequest: A parameter is unknown or malformed.
    """
    bounds, equals = [], {}
    for name, value in params.items():
        if found := _MOMENT_FILTER.fullmatch(name):
            bounds.append(MomentBound(found[1], found[2], _moment_from(name, value)))
        elif name in may_equal:
            equals[name] = value
        elif name not in {"limit", "cursor"}:
            raise InvalidRequest("Unknown parameter", parameter=name)
    return ListQuery(_limit_from(params.get("limit")), params.get("cursor"), equals, tuple(bounds))


def page_of(objects: Mapping[str, Listed], query: ListQuery) -> dict[str, Any]:
    """One page of objects that stand in the order of their creation.

    Raises:
        InvalidRequest: The cursor is not one of this list.
    """
    newest_first = list(objects.values())[::-1]
    if query.cursor is not None:
        if query.cursor not in objects:
            raise InvalidRequest("Unknown cursor", parameter="cursor")
        last_seen = next(index for index, item in enumerate(newest_first) if item.id == query.cursor)
        newest_first = newest_first[last_seen + 1 :]
    found = [item for item in newest_first if query.admits(item)]
    page = found[: query.limit]
    answer: dict[str, Any] = {"type": "list", "items": [item.as_json() for item in page]}
    if len(found) > len(page):
        answer["next_cursor"] = page[-1].id
    return answer


def _limit_from(value: str | None) -> int:
    if value is None:
        return _PAGE_DEFAULT
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= _PAGE_MAX:
        raise InvalidRequest(f"Must be between 1 and {_PAGE_MAX}", parameter="limit")
    return int(value)


def _moment_from(name: str, value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidRequest("Must be a moment in ISO 8601", parameter=name) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
