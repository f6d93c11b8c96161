"""Several statements in one round trip: each sees what the ones before it did, and a failure leaves nothing unclear."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest
from psycopg.errors import DivisionByZero, OperationalError
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from billing.kit.database import application_engine
from billing.kit.statements import DriverStatement, sent
from billing.kit.unit_of_work import Begin, single_reads, snapshots, units_of_work

KEEP = DriverStatement("SELECT set_config('kept.word', %(word)s, true)")
KEPT = DriverStatement("SELECT current_setting('kept.word') AS word, '%%' AS sign")
HALF = DriverStatement("SELECT 10 / %(by)s::integer AS half")
TEXTS = DriverStatement("SELECT unnest((SELECT %(texts)s::text[])) AS one")
LEVEL = DriverStatement("SELECT current_setting('transaction_isolation') AS level")


class TestStatementsSentTogether:
    async def test_run_in_their_order_in_one_transaction(self, begin: Begin) -> None:
        async with begin() as uow:
            _, read = await sent(uow, KEEP.filled(word="first"), KEPT.filled())
            await sent(uow, KEEP.filled(word="second"))
            again = await KEPT.row(uow)

        assert [(row.word, row.sign) for row in read.rows] == [("first", "%")]
        assert again is not None
        assert again.word == "second"

    async def test_begin_the_transaction_that_is_rolled_back(self, begin: Begin) -> None:
        with pytest.raises(LookupError):
            async with begin() as uow:
                await sent(uow, KEEP.filled(word="gone"))
                assert uow.driver.info.transaction_status is TransactionStatus.INTRANS
                raise LookupError

        async with begin() as uow:
            found = (await uow.connection.execute(text("SELECT current_setting('kept.word', true)"))).scalar_one()
        assert not found

    async def test_stop_at_the_first_that_fails(self, begin: Begin) -> None:
        with pytest.raises(DivisionByZero):
            async with begin() as uow:
                await sent(uow, HALF.filled(by=5), HALF.filled(by=0), KEEP.filled(word="never"))

    async def test_are_known_again_after_a_failure_and_a_rollback(self, begin: Begin) -> None:
        for by in (0, 5, 0, 2):
            try:
                async with begin() as uow:
                    (found,) = (await sent(uow, HALF.filled(by=by)))[0].rows
                    assert found.half == 10 // by
            except DivisionByZero:
                assert by == 0

    async def test_may_be_longer_than_what_the_socket_takes_at_once(self, begin: Begin) -> None:
        texts = [str(number) * 1000 for number in range(2000)]

        async with begin() as uow:
            results = await sent(uow, TEXTS.filled(texts=texts), TEXTS.filled(texts=[]), TEXTS.filled(texts=texts))

        assert [[row.one for row in result.rows] for result in results] == [texts, [], texts]
        assert [result.changed for result in results] == [2000, 0, 2000]


class TestOtherTransactions:
    async def test_keep_what_they_were_opened_with(self, engine: AsyncEngine, begin: Begin) -> None:
        async with snapshots(engine)() as uow:
            inside = await LEVEL.row(uow)
        async with begin() as uow:
            after = await LEVEL.row(uow)

        assert inside is not None
        assert after is not None
        assert (inside.level, after.level) == ("repeatable read", "read committed")

    async def test_are_not_begun_for_single_reads(self, engine: AsyncEngine) -> None:
        async with single_reads(engine)() as uow:
            await sent(uow, HALF.filled(by=1))

            assert uow.driver.info.transaction_status is TransactionStatus.IDLE


class TestAnExchangeThatBreaksOff:
    async def test_leaves_a_connection_that_can_be_used_when_it_was_cancelled(self, begin: Begin) -> None:
        slow = DriverStatement("SELECT pg_sleep(%(seconds)s::float)")
        with pytest.raises(TimeoutError):
            async with begin() as uow, asyncio.timeout(0.05):
                await sent(uow, slow.filled(seconds=30))

        async with begin() as uow:
            found = await HALF.row(uow, by=2)
        assert found is not None
        assert found.half == 5

    async def test_knows_what_was_prepared_when_it_was_cancelled(self, database_url: URL) -> None:
        engine = application_engine(database_url, connections_max=1)
        begin = units_of_work(engine)
        slow = DriverStatement("SELECT pg_sleep(%(seconds)s::float), 1 AS one")
        with pytest.raises(TimeoutError):
            async with begin() as uow, asyncio.timeout(0.05):
                await sent(uow, slow.filled(seconds=30))

        async with begin() as uow:
            found = await slow.row(uow, seconds=0)
        await engine.dispose()

        assert found is not None
        assert found.one == 1

    async def test_says_so_when_the_server_hangs_up(self, begin: Begin) -> None:
        with pytest.raises((OperationalError, DBAPIError)):  # ours, then the rollback's
            async with begin() as uow:
                with socket.socket(fileno=os.dup(uow.driver.fileno())) as line:
                    line.shutdown(socket.SHUT_RDWR)
                await sent(uow, HALF.filled(by=1))

        async with begin() as uow:
            assert await HALF.row(uow, by=2) is not None
