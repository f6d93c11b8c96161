"""Everything that one account at the provider holds: objects by their ids, in the order of their creation."""

import random
import string
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from testkit.simulators.clock import MovableClock
from testkit.simulators.stripe.objects import ApiObject
from testkit.simulators.stripe.refusals import InvalidRequest, NotFound
from testkit.simulators.stripe.requests import ListQuery

Announce = Callable[[str, dict[str, Any]], None]
"""Tells the world about an event (`charge.refunded`) with the object as it is at that moment."""

Kind = TypeVar("Kind", bound=ApiObject)

_LETTERS = string.ascii_letters + string.digits


class Books:
    """The objects of one account. Ids come from the seed, so that equal calls in equal order give equal ids."""

    def __init__(self, account_id: str, *, seed: int, clock: MovableClock, announce: Announce) -> None:
        self.account_id = account_id
        self._seed = seed
        self._clock = clock
        self._announce = announce
        self.clear()

    def clear(self) -> None:
        """Forgets everything and begins again from the seed."""
        self._chance = random.Random(self._seed)  # noqa: S311 - ids shall repeat with the seed
        self._objects: dict[str, ApiObject] = {}

    def now(self) -> int:
        """The present second."""
        return int(self._clock.now().timestamp())

    def new_id(self, prefix: str) -> str:
        """An id as the provider gives them, such as `pi_` and 24 letters and digits."""
        return f"{prefix}_{''.join(self._chance.choices(_LETTERS, k=24))}"

    def add(self, item: Kind) -> Kind:
        """Keeps a new object."""
        self._objects[item.id] = item
        return item

    def find(self, object_id: str) -> ApiObject:
        """The object of this id, of whatever kind.

        Raises:
            NotFound: there is none.
        """
        if object_id not in self._objects:
            raise NotFound(f"No such object: '{object_id}'", parameter="id")
        return self._objects[object_id]

    def get(self, kind: type[Kind], object_id: str, *, parameter: str = "id") -> Kind:
        """The object of this kind and id.

        Raises:
            NotFound: there is none.
        """
        found = self._objects.get(object_id)
        if not isinstance(found, kind):
            raise NotFound(f"No such {kind.kind}: '{object_id}'", parameter=parameter)
        return found

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Every object of this kind, oldest first."""
        return [item for item in self._objects.values() if isinstance(item, kind)]

    def announce(self, event: str, item: ApiObject) -> None:
        """Tells the world."""
        self._announce(event, item.as_json())

    def page(self, kind: type[Kind], query: ListQuery, *, url: str) -> dict[str, Any]:
        """One page of the objects of a kind, newest first.

        Raises:
            InvalidRequest: the cursor is not one of this list.
        """
        found = self.all(kind)[::-1]
        if query.starting_after is not None:
            places = [place for place, item in enumerate(found) if item.id == query.starting_after]
            if not places:
                raise InvalidRequest(f"No such {kind.kind}: '{query.starting_after}'", parameter="starting_after")
            found = found[places[0] + 1 :]
        bodies = [item.as_json() for item in found if query.admits(item.created)]
        bodies = [body for body in bodies if _has(body, query.equals)]
        page = bodies[: query.limit]
        return {"object": "list", "url": url, "has_more": len(bodies) > len(page), "data": page}


def _has(body: Mapping[str, Any], equals: Mapping[str, str]) -> bool:
    return all(body.get(name) == value for name, value in equals.items())
