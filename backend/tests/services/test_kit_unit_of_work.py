"""One transaction at a time, whole or not at all, and nobody else is awaited inside."""

from __future__ import annotations

import asyncio

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.customers import fresh_email
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, UnitOfWork, refuse_open_transaction, single_reads

_INSERT = text(
    "INSERT INTO accounts (id, kind, name, time_zone, created_at) VALUES (:id, 'personal', 'A customer', 'UTC', now())"
)
_COUNT = text("SELECT count(*) FROM accounts WHERE id = :id")


async def insert(uow: UnitOfWork, account_id: str) -> None:
    await uow.connection.execute(_INSERT, {"id": account_id})


async def is_there(begin: Begin, account_id: str) -> bool:
    async with begin() as uow:
        return bool(await uow.connection.scalar(_COUNT, {"id": account_id}))


class TestEnding:
    async def test_leaving_commits(self, begin: Begin, ids: Ids) -> None:
        account_id = ids.new("acc")

        async with begin() as uow:
            await insert(uow, account_id)

        assert await is_there(begin, account_id)

    @pytest.mark.parametrize("ending", [InvalidInput("field", "refused"), AssertionError("a bug"), KeyboardInterrupt()])
    async def test_whatever_is_raised_undoes_everything(self, begin: Begin, ids: Ids, ending: BaseException) -> None:
        account_id = ids.new("acc")

        with pytest.raises(type(ending)):
            async with begin() as uow:
                await insert(uow, account_id)
                raise ending

        assert not await is_there(begin, account_id)

    async def test_a_cancelled_task_undoes_everything(self, begin: Begin, ids: Ids) -> None:
        account_id = ids.new("acc")
        inserted = asyncio.Event()

        async def insert_and_wait() -> None:
            async with begin() as uow:
                await insert(uow, account_id)
                inserted.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(insert_and_wait())
        await inserted.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert not await is_there(begin, account_id)


class TestWaitingInside:
    async def test_a_second_transaction_inside_the_first_is_a_bug(self, begin: Begin) -> None:
        async with begin():
            with pytest.raises(AssertionError, match="a database transaction is open"):
                async with begin():
                    pass

    async def test_the_network_inside_a_transaction_is_a_bug(self, begin: Begin) -> None:
        async with begin():
            with pytest.raises(AssertionError, match="commit it before waiting"):
                refuse_open_transaction()

    async def test_a_task_started_inside_may_not_wait_for_the_network_either(self, begin: Begin) -> None:
        async def ask_a_stranger() -> None:
            refuse_open_transaction()

        async with begin():
            with pytest.raises(AssertionError):
                await asyncio.create_task(ask_a_stranger())

    async def test_afterwards_the_network_is_free_again_whatever_the_end(self, begin: Begin) -> None:
        async with begin():
            pass
        with pytest.raises(InvalidInput):
            async with begin():
                raise InvalidInput("field", "refused")

        refuse_open_transaction()

    async def test_the_transaction_of_one_task_is_not_the_others(self, begin: Begin) -> None:
        opened, close = asyncio.Event(), asyncio.Event()

        async def stay_open() -> None:
            async with begin():
                opened.set()
                await close.wait()

        task = asyncio.create_task(stay_open())
        await opened.wait()
        refuse_open_transaction()
        close.set()
        await task


class TestSnapshots:
    async def test_a_view_stays_at_its_moment_while_others_commit(
        self, snapshot: Begin, begin: Begin, ids: Ids
    ) -> None:
        account_id = ids.new("acc")

        async with snapshot() as view:
            before = await view.connection.scalar(_COUNT, {"id": account_id})
            async with begin() as uow:
                await insert(uow, account_id)
            after = await view.connection.scalar(_COUNT, {"id": account_id})

        assert (before, after) == (0, 0)

    async def test_a_view_cannot_write(self, snapshot: Begin, ids: Ids) -> None:
        with pytest.raises(DBAPIError, match="read-only"):
            async with snapshot() as view:
                await insert(view, ids.new("acc"))


class TestErrors:
    async def test_the_text_of_a_database_error_repeats_no_parameters(self, begin: Begin, ids: Ids) -> None:
        """Such an error is a bug, and its text goes to the log (G11); what PostgreSQL adds is hidden there."""
        email = fresh_email()

        with pytest.raises(DBAPIError) as error:
            async with begin() as uow:
                await uow.connection.execute(
                    text(
                        "INSERT INTO people (id, email, password_hash, created_at) VALUES (:id, :email, 'plain', now())"
                    ),
                    {"id": ids.new("per"), "email": email},
                )

        assert email not in str(error.value).replace(str(error.value.orig), "")


class TestASingleRead:
    async def test_is_no_transaction(self, engine: AsyncEngine, begin: Begin) -> None:
        async with single_reads(engine)() as uow:
            assert await uow.connection.scalar(text("SELECT 1")) == 1
            driver = uow.driver
            assert driver.info.transaction_status is TransactionStatus.IDLE

        async with begin() as uow:
            await uow.connection.scalar(text("SELECT 1"))
            assert uow.driver.info.transaction_status is TransactionStatus.INTRANS

    async def test_is_refused_inside_a_transaction(self, engine: AsyncEngine, begin: Begin) -> None:
        async with begin():
            with pytest.raises(AssertionError, match="transaction is open"):
                async with single_reads(engine)():
                    pass
