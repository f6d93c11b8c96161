"""Turns at rows that many transactions want at once: most of them wait here, before they begin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

AT_ONCE = 2
"""One works on the rows, and one has asked the database for their lock already, so that no time passes in between."""

_PATIENCE_SECONDS = 1.0  # as long as PostgreSQL waits before it looks for a deadlock


@dataclass(slots=True)
class _Queue:
    """Whoever has a turn for one key or waits for one."""

    free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    users: int = 0


class Turns:
    """Lets few transactions of this process at the same rows at once, first come, first served.

    Those that would only wait for a lock keep no connection from others, and do not have the database look at the row
    again at every change. This is a courtesy and no lock: the rows' own locks decide, also among processes, and whoever
    has waited a second goes on without a turn, so that nobody can wait for each other here.
    """

    def __init__(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._queues: dict[str, _Queue] = {}

    @property
    def keys_in_use(self) -> int:
        """For how many keys somebody has a turn or waits for one."""
        return len(self._queues)

    @asynccontextmanager
    async def at(self, key: str) -> AsyncIterator[None]:
        """A turn at the rows of this key, for one transaction: `async with turns.at(key), begin() as uow`."""
        queue = self._queues.setdefault(key, _Queue())
        queue.users += 1
        has_turn = False
        try:
            with suppress(TimeoutError):  # the rows' own locks decide then
                async with asyncio.timeout(self._patience_seconds):
                    has_turn = await queue.free.acquire()
            yield
        finally:
            if has_turn:
                queue.free.release()
            queue.users -= 1
            if not queue.users:
                del self._queues[key]
