"""One database transaction as one object: leaving it commits, an exception rolls everything back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import cast

from psycopg import AsyncConnection as PsycopgConnection
from psycopg.rows import TupleRow
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from billing.kit.round_trips import Sending, send

_is_open: ContextVar[bool] = ContextVar("unit_of_work_is_open", default=False)


@dataclass(slots=True)
class UnitOfWork:
    """An open transaction. Participants take it first and never commit.

    A use case whose last participants only write sets `writes_may_wait`: what they write then goes out in one round
    trip with the next statement or with the commit, and fails there if it fails.
    """

    _connection: AsyncConnection
    writes_may_wait: bool = False
    _waiting: list[Sending] = field(default_factory=list)

    @property
    def connection(self) -> AsyncConnection:
        """For statements by SQLAlchemy, which know nothing of writes that wait and so must not overtake them."""
        self.refuse_waiting()
        return self._connection

    @property
    def driver(self) -> PsycopgConnection[TupleRow]:
        """The transaction's own psycopg connection, where SQLAlchemy's own work would be most of the time.

        It knows nothing of writes that wait: whoever sends over it sends those first.
        """
        connection = self._connection.sync_connection
        assert connection is not None, "the transaction is open"
        return cast("PsycopgConnection[TupleRow]", connection.connection.driver_connection)

    def let_wait(self, statements: Sequence[Sending]) -> None:
        """Keeps these writes until something is sent."""
        self._waiting.extend(statements)

    def refuse_waiting(self) -> None:
        """Called where writes that wait would be overtaken or forgotten: a bug in the caller."""
        assert not self._waiting, "writes wait in this transaction; whoever lets them wait writes last"

    def take_waiting(self) -> list[Sending]:
        """The writes that wait, for whoever sends them now."""
        waiting, self._waiting = self._waiting, []
        return waiting


Begin = Callable[[], AbstractAsyncContextManager[UnitOfWork]]


def units_of_work(engine: AsyncEngine) -> Begin:
    """The function with which a use case opens its transaction: `async with self._begin() as uow`."""

    @asynccontextmanager
    async def begin() -> AsyncIterator[UnitOfWork]:
        refuse_open_transaction()
        async with engine.begin() as connection:
            token = _is_open.set(True)
            try:
                uow = UnitOfWork(connection)
                yield uow
                if waiting := uow.take_waiting():
                    await send(uow.driver, waiting, is_last=True)
            finally:
                _is_open.reset(token)

    return begin


def snapshots(engine: AsyncEngine) -> Begin:
    """Like `units_of_work`, for readers: read only, and every statement sees the same moment."""

    @asynccontextmanager
    async def begin() -> AsyncIterator[UnitOfWork]:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            async with connection.begin():
                uow = UnitOfWork(connection)
                yield uow
                uow.refuse_waiting()

    return begin


def single_reads(engine: AsyncEngine) -> Begin:
    """Like `units_of_work`, for a use case that reads with one statement: it needs no transaction around it, and so no
    round trips to open and close one. Nothing may be written and nothing locked.
    """
    plain = engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def begin() -> AsyncIterator[UnitOfWork]:
        refuse_open_transaction()
        async with plain.connect() as connection:
            uow = UnitOfWork(connection)
            yield uow
            uow.refuse_waiting()

    return begin


def refuse_open_transaction() -> None:
    """Called before the network is awaited, and before a second transaction: a slow stranger must not hold locks.

    A failed assertion here is a bug in the caller, so it is one in production too, whatever `-O` says.
    """
    if _is_open.get():
        message = "a database transaction is open here; commit it before waiting for anybody else"
        raise AssertionError(message)
