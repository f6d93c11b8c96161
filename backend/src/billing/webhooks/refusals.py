"""How many notifications were turned away: one row a day for each provider and reason, written once a second at most.

Strangers decide how often they knock. So nothing is kept of a single refusal, and no flood of them becomes a flood of
writes; a process that is killed forgets those of its last second.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import date

import structlog
from psycopg import Error as DriverError
from sqlalchemy.exc import SQLAlchemyError

from billing.kit.clock import Clock
from billing.kit.unit_of_work import Begin
from billing.webhooks import repository

WRITE_EVERY_SECONDS = 1.0

_log = structlog.get_logger(__name__)


class RefusalCounter:
    """Counts in memory, and writes a second later what came together until then."""

    def __init__(self, *, begin: Begin, clock: Clock) -> None:
        self._begin = begin
        self._clock = clock
        self._pending: Counter[tuple[str, str, date]] = Counter()
        self._writing: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def count(self, provider: str, reason: str) -> None:
        """Counts one refusal; never fails, never waits."""
        self._pending[provider, reason, self._clock.now().date()] += 1
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_soon())

    async def write(self) -> None:
        """Writes what has been counted until now; what cannot be written now stays counted."""
        async with self._turn:
            pending, self._pending = self._pending, Counter()
            if not pending:
                return
            try:
                async with self._begin() as uow:
                    await repository.add_refusals(uow, pending)
            except (SQLAlchemyError, DriverError) as error:
                self._pending.update(pending)
                _log.warning("refusals_not_written", kind=type(error).__name__)

    async def close(self) -> None:
        """Writes the rest."""
        if self._writing is not None and not self._turn.locked():  # it waits for its second; a write is let finish
            self._writing.cancel()
            await asyncio.wait({self._writing})
        await self.write()

    async def _write_soon(self) -> None:
        await asyncio.sleep(WRITE_EVERY_SECONDS)
        await self.write()
