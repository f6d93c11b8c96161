"""What is turned away leaves a count for its day, and nothing that a stranger could fill a disk with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.fakes.clock import NOON, StoppedClock
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, UnitOfWork, units_of_work
from billing.webhooks import refusals
from billing.webhooks.refusals import RefusalCounter

pytestmark = pytest.mark.trust


@pytest.fixture
def provider(ids: Ids) -> str:
    """A provider that no other test has."""
    return ids.new("provider")


async def counts(begin: Begin, provider: str) -> dict[tuple[str, str], int]:
    """What stands in the table, by reason and day."""
    async with begin() as uow:
        rows = await uow.connection.execute(
            text("SELECT reason, counted_on::text, count FROM webhook_refusals WHERE provider = :provider"),
            {"provider": provider},
        )
        return {(reason, day): count for reason, day, count in rows}


class TestRefusals:
    async def test_of_one_day_and_reason_are_one_row(self, begin: Begin, clock: StoppedClock, provider: str) -> None:
        counter = RefusalCounter(begin=begin, clock=clock)

        for _ in range(1000):
            counter.count(provider, "webhook_token_invalid")
        counter.count(provider, "webhook_too_large")
        clock.move(timedelta(days=1))
        counter.count(provider, "webhook_too_large")
        await counter.close()

        today, tomorrow = NOON.date().isoformat(), (NOON.date() + timedelta(days=1)).isoformat()
        assert await counts(begin, provider) == {
            ("webhook_token_invalid", today): 1000,
            ("webhook_too_large", today): 1,
            ("webhook_too_large", tomorrow): 1,
        }

    async def test_of_several_processes_add_up(self, begin: Begin, clock: StoppedClock, provider: str) -> None:
        counters = [RefusalCounter(begin=begin, clock=clock) for _ in range(5)]

        for counter in counters:
            counter.count(provider, "webhook_token_invalid")
        await asyncio.gather(*(counter.write() for counter in counters))

        assert list((await counts(begin, provider)).values()) == [5]
        for counter in counters:
            await counter.close()

    async def test_are_written_by_themselves(
        self, begin: Begin, clock: StoppedClock, provider: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(refusals, "WRITE_EVERY_SECONDS", 0.0)
        is_written = asyncio.Event()

        @asynccontextmanager
        async def begin_and_tell() -> AsyncIterator[UnitOfWork]:
            async with begin() as uow:
                yield uow
            is_written.set()

        counter = RefusalCounter(begin=begin_and_tell, clock=clock)

        counter.count(provider, "webhook_token_invalid")
        async with asyncio.timeout(5):
            await is_written.wait()

        assert list((await counts(begin, provider)).values()) == [1]
        await counter.close()

    async def test_stay_counted_while_the_database_is_down(
        self, begin: Begin, clock: StoppedClock, provider: str, database_url: URL
    ) -> None:
        engine = application_engine(database_url.set(database="not_there"))
        counter = RefusalCounter(begin=units_of_work(engine), clock=clock)
        counter.count(provider, "webhook_token_invalid")

        await counter.write()
        counter._begin = begin  # noqa: SLF001 - the database is back
        await counter.close()

        assert list((await counts(begin, provider)).values()) == [1]
        await engine.dispose()
