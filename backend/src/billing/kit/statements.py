"""Statements of the hot paths: built with SQLAlchemy once, then sent straight to the driver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg.rows import namedtuple_row
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ClauseElement

from billing.kit.unit_of_work import UnitOfWork, driver_of

_DIALECT = dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's dialects are not annotated


class DriverStatement:
    """A statement with named `bindparam`s, rendered when it is made and prepared by each connection.

    To build a statement anew for every call takes SQLAlchemy longer than PostgreSQL takes to run it. What SQLAlchemy
    would do to values on their way is left out: JSON columns are given psycopg's `Jsonb`, enums their values.
    """

    def __init__(self, statement: ClauseElement, *, columns: Sequence[str] | None = None) -> None:
        """`columns` are those that an INSERT is given values for, each under its own name."""
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)
        assert isinstance(compiled, SQLCompiler), "a statement, not a definition of tables"
        self._text = str(compiled).encode()
        binds = compiled.binds.items()
        self._constants = {name: bind.value for name, bind in binds if not bind.required}
        self._names = frozenset(name for name, bind in binds if bind.required)

    async def rows(self, uow: UnitOfWork, **values: object) -> list[Any]:
        """Its rows as named tuples; every `bindparam` must be given a value, and nothing else."""
        assert values.keys() == self._names, f"these values are needed: {sorted(self._names)}"
        async with (await driver_of(uow)).cursor(row_factory=namedtuple_row) as cursor:
            await cursor.execute(self._text, {**self._constants, **values}, prepare=True)
            return await cursor.fetchall()

    async def row(self, uow: UnitOfWork, **values: object) -> Any | None:
        """Its only row, or None."""
        rows = await self.rows(uow, **values)
        assert len(rows) <= 1, "a statement for one row found several"
        return rows[0] if rows else None
