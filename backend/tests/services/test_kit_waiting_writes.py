"""Writes whose answer nobody needs go out with the next statement or with the commit, and nothing overtakes them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from psycopg.errors import UniqueViolation
from psycopg.pq import TransactionStatus
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from billing.kit.ids import Ids
from billing.kit.statements import DriverStatement, sent, written
from billing.kit.unit_of_work import Begin, single_reads, snapshots

OPEN = DriverStatement(
    "INSERT INTO accounts (id, kind, name, time_zone, created_at)"
    " VALUES (%(id)s, 'personal', 'A customer', 'UTC', clock_timestamp())"
)
COUNT = DriverStatement("SELECT count(*) AS accounts FROM accounts WHERE id = ANY(%(ids)s::text[])")


async def count(begin: Begin, *account_ids: str) -> int:
    async with begin() as uow:
        row = await COUNT.row(uow, ids=list(account_ids))
    assert row is not None
    return int(row.accounts)


@pytest.fixture
def one(ids: Ids) -> str:
    """An account that is not there yet."""
    return ids.new("acc")


@pytest.fixture
def other(ids: Ids) -> str:
    """Another one."""
    return ids.new("acc")


class TestWritesThatMayWait:
    async def test_go_out_with_the_commit(self, begin: Begin, one: str, other: str) -> None:
        async with begin() as uow:
            uow.writes_may_wait = True
            await written(uow, OPEN.filled(id=one))
            await written(uow, OPEN.filled(id=other))
            assert uow.driver.info.transaction_status is TransactionStatus.IDLE

        assert await count(begin, one, other) == 2

    async def test_go_out_before_the_next_statement(self, begin: Begin, one: str) -> None:
        async with begin() as uow:
            uow.writes_may_wait = True
            await written(uow, OPEN.filled(id=one))
            (found,) = await sent(uow, COUNT.filled(ids=[one]))

        assert found.rows[0].accounts == 1

    async def test_are_all_undone_if_one_fails_at_the_commit(self, begin: Begin, one: str, other: str) -> None:
        with pytest.raises(UniqueViolation):
            async with begin() as uow:
                uow.writes_may_wait = True
                await written(uow, OPEN.filled(id=one), OPEN.filled(id=other), OPEN.filled(id=one))

        assert await count(begin, one, other) == 0

    async def test_are_forgotten_with_what_is_raised(self, begin: Begin, one: str) -> None:
        with pytest.raises(LookupError):
            async with begin() as uow:
                uow.writes_may_wait = True
                await written(uow, OPEN.filled(id=one))
                raise LookupError

        assert await count(begin, one) == 0

    async def test_are_never_overtaken_by_what_does_not_know_of_them(self, begin: Begin, one: str) -> None:
        with pytest.raises(AssertionError, match="writes wait"):
            async with begin() as uow:
                uow.writes_may_wait = True
                await written(uow, OPEN.filled(id=one))
                await uow.connection.execute(text("SELECT 1"))

        assert await count(begin, one) == 0

    @pytest.mark.parametrize("opened", [snapshots, single_reads])
    async def test_are_never_forgotten_by_readers(
        self, engine: AsyncEngine, begin: Begin, opened: Callable[[AsyncEngine], Begin], one: str
    ) -> None:
        with pytest.raises(AssertionError, match="writes wait"):
            async with opened(engine)() as uow:
                uow.writes_may_wait = True
                await written(uow, OPEN.filled(id=one))

        assert await count(begin, one) == 0

    async def test_leave_a_connection_that_can_be_used_again(self, begin: Begin, one: str, other: str) -> None:
        for account_id in (one, one, other):
            try:
                async with begin() as uow:
                    uow.writes_may_wait = True
                    await written(uow, OPEN.filled(id=account_id))
            except UniqueViolation:
                assert account_id == one

        assert await count(begin, one, other) == 2


class TestWritesThatMayNotWait:
    async def test_are_there_at_once(self, begin: Begin, one: str) -> None:
        async with begin() as uow:
            await written(uow, OPEN.filled(id=one))
            found = await uow.connection.scalar(text("SELECT count(*) FROM accounts WHERE id = :id"), {"id": one})

        assert found == 1


class TestTheLastStatement:
    async def test_commits_behind_itself(self, begin: Begin, one: str) -> None:
        with pytest.raises(LookupError):
            async with begin() as uow:
                await sent(uow, OPEN.filled(id=one), is_last=True)
                raise LookupError

        assert await count(begin, one) == 1

    async def test_that_fails_commits_nothing(self, begin: Begin, one: str, other: str) -> None:
        with pytest.raises(UniqueViolation):
            async with begin() as uow:
                await sent(uow, OPEN.filled(id=other))
                await sent(uow, OPEN.filled(id=one), OPEN.filled(id=one), is_last=True)

        assert await count(begin, one, other) == 0
