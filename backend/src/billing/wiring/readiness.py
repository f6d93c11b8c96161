"""Whether this process can do its work: what `/readyz` says."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from billing import migrations
from billing.kit.errors import BillingError
from billing.webhooks.trust import TrustPolicies

_REVISION = text("SELECT version_num FROM alembic_version")
_WORKERS = text("SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '30 seconds'")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be right; `is_required` ones make the process unready."""

    name: str
    is_right: bool
    sentence: str
    is_required: bool = True


class DatabaseNotReady(BillingError):
    """The process cannot begin its work: the database is not there, or not at this version's schema."""

    code = "database_not_ready"


class Readiness:
    """Looks at the database, its schema, the workers and the doors."""

    def __init__(self, engine: AsyncEngine, trust_policies: TrustPolicies) -> None:
        self._engine = engine
        self._trust_policies = trust_policies

    async def require_database(self) -> None:
        """Called once before a process begins its work.

        Raises:
            DatabaseNotReady: a required check of the database fails; the sentence says what to do.
        """
        for check in await self.checks():
            if check.name in {"database", "migrations"} and not check.is_right:
                raise DatabaseNotReady(f"{check.sentence} Is DATABASE_URL right? Then run: billing migrate")

    async def checks(self) -> tuple[Check, ...]:
        """Every check with its sentence; a database that cannot be reached is one of them, never an exception."""
        doors = self._trust_policies.problems()
        webhooks = Check("webhooks", not doors, " ".join(doors) or "The checks at the providers' doors are set up.")
        try:
            async with self._engine.connect() as connection:
                revision = await connection.scalar(_REVISION)
                workers = await connection.scalar(_WORKERS)
        except SQLAlchemyError:
            return (
                Check("database", is_right=False, sentence="The database cannot be reached, or has no schema."),
                webhooks,
            )
        newest = migrations.newest_revision()
        return (
            Check("database", is_right=True, sentence="The database answers."),
            Check("migrations", revision == newest, f"The schema is at {revision}; this version needs {newest}."),
            Check("worker", bool(workers), f"{workers} workers have shown up lately.", is_required=False),
            webhooks,
        )
