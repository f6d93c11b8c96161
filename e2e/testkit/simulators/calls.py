"""What reached a simulator: every provider call in order, so that tests can count and read them."""

import asyncio
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from testkit.simulators.faults import FaultKind

_CALLS_KEPT = 20_000


class CallEnding(StrEnum):
    """How a call was over for the provider."""

    WHOLE = "whole"
    """Its answer was written to the end."""
    CUT = "cut"
    """The simulator cut the connection, as planned."""
    CLIENT_LEFT = "client_left"
    """The client went away while an answer was on its way."""


class Call(BaseModel):
    """One call as the provider received it; credentials and cookies are left out of `headers`.

    `body` is JSON where it can be read as such, `{"fields", "files"}` of a multipart form, else text.
    """

    number: int
    operation: str
    method: str
    path: str
    query: str
    client: str
    """The address that the connection came from."""
    headers: dict[str, str]
    body: Any
    fault: FaultKind | None = None
    status: int | None = None
    """The status that was sent; None while the call runs and when no answer was sent at all."""
    sent_bytes: int = 0
    """How much of the answer's body has been written so far."""
    ending: CallEnding | None = None
    """None while the call runs."""


class CallLog:
    """The calls of one simulator, oldest first."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._count = 0
        self._arrived = asyncio.Condition()

    async def begin(self, call: Call) -> Call:
        """Records an arriving call and numbers it from 1."""
        async with self._arrived:
            self._count += 1
            call.number = self._count
            self._calls.append(call)
            del self._calls[:-_CALLS_KEPT]
            self._arrived.notify_all()
        return call

    async def end(self, call: Call, ending: CallEnding) -> None:
        """Records how a call was over; the first word counts."""
        async with self._arrived:
            call.ending = call.ending or ending
            self._arrived.notify_all()

    def of(self, operation: str | None = None, *, has_ended: bool = False) -> list[Call]:
        """The calls of one operation, or all of them; with `has_ended` only those that are over."""
        calls = (call for call in self._calls if operation in {None, call.operation})
        return [call for call in calls if call.ending is not None or not has_ended]

    async def wait_for(
        self, count: int, *, operation: str | None, within_seconds: float, has_ended: bool = False
    ) -> list[Call]:
        """The calls as soon as `count` have arrived (or are over), or whatever there is when the time is up."""

        def have_arrived() -> bool:
            return len(self.of(operation, has_ended=has_ended)) >= count

        async with self._arrived:
            try:
                await asyncio.wait_for(self._arrived.wait_for(have_arrived), within_seconds)
            except TimeoutError:
                return self.of(operation, has_ended=has_ended)
        return self.of(operation, has_ended=has_ended)

    def clear(self) -> None:
        """Forgets all calls; numbering starts again at 1."""
        self._calls.clear()
        self._count = 0
