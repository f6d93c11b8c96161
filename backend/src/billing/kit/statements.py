"""Statements of the hot paths: built once, then sent straight to the driver, several in one round trip."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

from billing.kit.round_trips import Prepared, Result, Sending, send
from billing.kit.unit_of_work import UnitOfWork

T = TypeVar("T")

_DIALECT = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects are not annotated
_PLACE = re.compile(r"%(?:\((?P<name>\w+)\)s|%)")


class DriverStatement:
    """A statement with named values: SQLAlchemy's with `bindparam`s, rendered when it is made, or text with `%(name)s`.

    To build a statement anew for every call takes SQLAlchemy longer than PostgreSQL takes to run it. What SQLAlchemy
    would do to values on their way is left out: JSON columns are given psycopg's `Jsonb`, enums their values.
    """

    def __init__(self, statement: ClauseElement | str, *, columns: Sequence[str] | None = None) -> None:
        """`columns` are those that an INSERT is given values for, each under its own name."""
        self._constants: dict[str, object] = {}
        if not isinstance(statement, str):
            compiled = statement.compile(dialect=_DIALECT, column_keys=columns)
            assert isinstance(compiled, SQLCompiler), "a statement, not a definition of tables"
            self._constants = {name: bind.value for name, bind in compiled.binds.items() if not bind.required}
            statement = str(compiled)
        places: dict[str, int] = {}

        def numbered(found: re.Match[str]) -> str:
            name = found["name"]
            return "%" if name is None else f"${places.setdefault(name, len(places) + 1)}"

        self._prepared = Prepared(_PLACE.sub(numbered, statement))
        self._order = tuple(places)
        self._names = places.keys() - self._constants.keys()

    def filled(self, **values: object) -> Sending:
        """The statement with its values, to be sent with others; every name must be given one, and nothing else."""
        assert values.keys() == self._names, f"these values are needed: {sorted(self._names)}"
        given = {**self._constants, **values} if self._constants else values
        return Sending(self._prepared, [given[name] for name in self._order])

    async def rows(self, uow: UnitOfWork, **values: object) -> list[Any]:
        """Its rows as named tuples."""
        return (await sent(uow, self.filled(**values)))[0].rows

    async def row(self, uow: UnitOfWork, **values: object) -> Any | None:
        """Its only row, or None."""
        return only(await self.rows(uow, **values))

    async def changed(self, uow: UnitOfWork, **values: object) -> int:
        """How many rows it wrote."""
        return (await sent(uow, self.filled(**values)))[0].changed


async def sent(uow: UnitOfWork, *statements: Sending, is_last: bool = False) -> list[Result]:
    """Runs the statements one after the other, in one round trip; after one that fails none is run.

    `is_last` commits behind them: nothing may follow in this unit of work, and whatever they answer stays.

    Raises:
        psycopg.Error: the first failure.
    """
    waiting = uow.take_waiting()
    results = await send(uow.driver, (*waiting, *statements), is_last=is_last)
    return results[len(waiting) :]


async def written(uow: UnitOfWork, *statements: Sending) -> None:
    """Runs writes whose answer nobody needs: at once, or later where the use case lets them wait.

    Raises:
        psycopg.Error: the first failure, if they are run at once.
    """
    if uow.writes_may_wait:
        uow.let_wait(statements)
    else:
        await sent(uow, *statements)


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A statement that reads, and how its rows are understood: whoever asks several sends them together."""

    sending: Sending
    understand: Callable[[list[Any]], T]


async def answer(uow: UnitOfWork, question: Question[T]) -> T:
    """What one question is answered.

    Raises:
        psycopg.Error: the statement failed.
        BillingError: whatever the question's own understanding refuses.
    """
    (result,) = await sent(uow, question.sending)
    return question.understand(result.rows)


async def answers(uow: UnitOfWork, *questions: Question[Any]) -> list[Any]:
    """What each question is answered, in one round trip.

    Raises:
        psycopg.Error: the first failure.
        BillingError: whatever a question's own understanding refuses.
    """
    results = await sent(uow, *(question.sending for question in questions))
    return [question.understand(result.rows) for question, result in zip(questions, results, strict=True)]


def only(rows: Sequence[Any]) -> Any | None:
    """The only row, or None where there is none."""
    assert len(rows) <= 1, "a statement for one row found several"
    return rows[0] if rows else None
