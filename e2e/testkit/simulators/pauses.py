"""Answers that wait until they may go on, so that tests decide what happens meanwhile and never sleep."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from pydantic import BaseModel

_PAUSE_SECONDS_MAX = 60.0


class Pause(BaseModel):
    """An answer that waits."""

    call: int
    """The number of its call in the call log."""
    after_events: int | None
    """How many of its events have been sent; None before its status."""


class Pauses:
    """The answers of one simulator that wait now."""

    def __init__(self) -> None:
        self._waiting: dict[int, tuple[Pause, asyncio.Event]] = {}
        self._changed = asyncio.Condition()

    async def wait_for_resumption(self, pause: Pause, client_has_left: Callable[[], Awaitable[None]]) -> bool:
        """Returns True once somebody lets the answer go on, or a minute is over; False when its client goes away."""
        go_on = asyncio.Event()
        async with self._changed:
            self._waiting[pause.call] = (pause, go_on)
            self._changed.notify_all()
        resumed, left = asyncio.create_task(go_on.wait()), asyncio.ensure_future(client_has_left())
        try:
            await asyncio.wait({resumed, left}, timeout=_PAUSE_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
            return not left.done()
        finally:
            del self._waiting[pause.call]
            for task in (resumed, left):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    def now(self) -> list[Pause]:
        """The answers that wait, by the number of their call."""
        return [self._waiting[call][0] for call in sorted(self._waiting)]

    async def wait_for(self, count: int, *, within_seconds: float) -> list[Pause]:
        """The answers that wait as soon as there are `count`, or whatever there is when the time is up."""
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: len(self._waiting) >= count), within_seconds)
        return self.now()

    def resume(self, call: int | None = None) -> list[Pause]:
        """Lets one answer, or all that wait, go on to their next pause; answers which they were."""
        chosen = [entry for number, entry in sorted(self._waiting.items()) if call in {None, number}]
        for _, go_on in chosen:
            go_on.set()
        return [pause for pause, _ in chosen]
