"""Sends prepared statements to PostgreSQL, several of them in one round trip.

psycopg's own pipeline sends each statement as it comes and keeps a cursor for each, which costs our process more than
the round trips that it saves. Here everything goes out at once; values are still written and read by psycopg.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, IsolationLevel, OperationalError
from psycopg.abc import PQGen, Transformer
from psycopg.adapt import PyFormat
from psycopg.adapt import Transformer as NewTransformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.rows import TupleRow
from psycopg.waiting import Ready, Wait

_NAMES = count(1)
_GOOD = (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK)
_PLAIN_LEVELS = (None, IsolationLevel.READ_COMMITTED)

Connection = AsyncConnection[TupleRow]


class Prepared:
    """A statement with numbered parameters, which each connection prepares once, under one name.

    PostgreSQL infers the parameters' types from the statement; where it cannot, the statement casts them.
    """

    def __init__(self, text: str) -> None:
        self.text = text.encode()
        self.name = f"billing_{next(_NAMES)}".encode()
        self._row: Callable[[Sequence[Any]], Any] | None = None

    def row_maker(self, answer: PGresult) -> Callable[[Sequence[Any]], Any]:
        """Makes named tuples of its rows; the names are always those of the first answer."""
        if self._row is None:
            names = [(answer.fname(column) or b"").decode() for column in range(answer.nfields)]
            row = namedtuple("Row", names, rename=True)  # type: ignore[misc] # noqa: PYI024 - names are known only now
            self._row = row._make
        return self._row


@dataclass(frozen=True, slots=True)
class Sending:
    """One statement with the values of its parameters, in their order."""

    statement: Prepared
    values: Sequence[object]


@dataclass(frozen=True, slots=True)
class Result:
    """What one statement came to; `changed` counts the rows that it read or wrote."""

    rows: list[Any]
    changed: int


@dataclass(frozen=True, slots=True)
class _Command:
    """A message of the protocol. `prepares` names the statement that the connection knows afterwards."""

    send: Callable[[], None]
    prepares: bytes | None = None
    runs: Prepared | None = None


# What a connection has prepared goes with it.
_prepared_by: WeakKeyDictionary[PGconn, set[bytes]] = WeakKeyDictionary()


async def send(connection: Connection, sendings: Sequence[Sending], *, is_last: bool = False) -> list[Result]:
    """Runs the statements in their order in the connection's transaction, which begins with them if none is open.

    Each sees what others had committed when it began, like statements that are sent one by one. After one that fails
    none is run. `is_last` commits behind them, unless one fails.

    Raises:
        psycopg.Error: the first failure.
    """
    assert connection.prepare_threshold is None, "psycopg, if it prepares too, has all forgotten after each rollback"
    await _begin_otherwise(connection)
    transformer = NewTransformer(connection)
    async with connection.lock:
        commands = _commands(connection, sendings, transformer)
        if is_last:
            commands.append(_Command(partial(connection.pgconn.send_query_params, b"COMMIT", None)))
        answers: list[PGresult] = []
        try:
            await connection.wait(_exchange(connection.pgconn, [command.send for command in commands], answers))
        finally:  # cancelled, too, the server has prepared what it answered
            _prepared_by[connection.pgconn].update(
                command.prepares
                for command, answer in zip(commands, answers, strict=False)
                if command.prepares is not None and answer.status in _GOOD
            )
    results = []
    for command, answer in zip(commands, answers, strict=True):
        if answer.status not in _GOOD:
            raise error_from_result(answer, encoding=connection.info.encoding)
        if command.runs is not None:
            results.append(_read(answer, command.runs, transformer))
    return results


def _commands(connection: Connection, sendings: Iterable[Sending], transformer: Transformer) -> list[_Command]:
    pgconn = connection.pgconn
    commands = []
    if _is_to_begin(connection):
        commands.append(_Command(partial(pgconn.send_query_params, b"BEGIN", None)))
    prepared = set(_prepared_by.setdefault(pgconn, set()))
    for sending in sendings:
        name = sending.statement.name
        if name not in prepared:
            commands.append(_Command(partial(pgconn.send_prepare, name, sending.statement.text), prepares=name))
            prepared.add(name)
        values = transformer.dump_sequence(sending.values, [PyFormat.TEXT] * len(sending.values))
        commands.append(_Command(partial(pgconn.send_query_prepared, name, values), runs=sending.statement))
    return commands


def _is_to_begin(connection: Connection) -> bool:
    return not connection.autocommit and connection.pgconn.transaction_status == TransactionStatus.IDLE


async def _begin_otherwise(connection: Connection) -> None:
    """Leaves transactions of another kind than ours to psycopg, which begins them with whatever is sent first."""
    is_plain = connection.isolation_level in _PLAIN_LEVELS and not (connection.read_only or connection.deferrable)
    if _is_to_begin(connection) and not is_plain:
        await connection.execute(b"SELECT 1")


def _exchange(pgconn: PGconn, commands: Sequence[Callable[[], None]], results: list[PGresult]) -> PQGen[None]:
    """Sends the commands and adds their results up to the synchronisation behind them.

    A connection on which that breaks off is closed: nobody could say where in the conversation it stands.
    """
    try:
        pgconn.enter_pipeline_mode()
        for command in commands:
            command()
        pgconn.pipeline_sync()
        while pgconn.flush():
            if (yield Wait.RW) & Ready.R:
                pgconn.consume_input()
        yield from _receive(pgconn, results)
        pgconn.exit_pipeline_mode()
    except BaseException:
        pgconn.finish()
        raise


def _receive(pgconn: PGconn, results: list[PGresult]) -> PQGen[None]:
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:  # stands behind the result of each command
            if pgconn.status == ConnStatus.BAD:
                message = "the connection to the database broke"
                raise OperationalError(message)
        elif result.status == ExecStatus.PIPELINE_SYNC:
            return
        else:
            results.append(result)


def _read(answer: PGresult, statement: Prepared, transformer: Transformer) -> Result:
    rows: list[Any] = []
    if answer.ntuples:
        transformer.set_pgresult(answer)
        rows = transformer.load_rows(0, answer.ntuples, statement.row_maker(answer))
    return Result(rows, answer.command_tuples or 0)
