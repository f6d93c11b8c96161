"""Brings a database to this version's schema; run by the owner of the schema, never by the application."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL

# One number for all installations: two servers that start together must not migrate together.
_ADVISORY_LOCK = 7_140_201


def upgrade(url: URL, revision: str = "head") -> None:
    """Applies every missing migration; a second process that does the same waits, then finds nothing to do."""
    _with_lock(url, lambda configuration: command.upgrade(configuration, revision))


def downgrade(url: URL, revision: str) -> None:
    """Takes migrations back to the given revision ("base" for an empty schema)."""
    _with_lock(url, lambda configuration: command.downgrade(configuration, revision))


def newest_revision() -> str:
    """The revision that this version of the code needs."""
    revision = ScriptDirectory.from_config(_configuration()).get_current_head()
    assert revision is not None
    return revision


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).parent))
    return configuration


def _with_lock(url: URL, migrate: Callable[[Config], None]) -> None:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _ADVISORY_LOCK})
            connection.commit()
            configuration = _configuration()
            configuration.attributes["connection"] = connection
            migrate(configuration)
            connection.commit()
            connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": _ADVISORY_LOCK})
            connection.commit()
    finally:
        engine.dispose()
