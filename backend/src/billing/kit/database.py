"""The one database: how to reach it, and under which role."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from billing.kit.errors import SettingsError

APPLICATION_ROLE = "billing_app"
_DRIVER = "postgresql+psycopg"
# Whoever waits longer for a lock than this is stuck behind somebody who died or forgot to commit.
_SESSION = "-c timezone=UTC -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"


class Table(DeclarativeBase):
    """The base of every capability's tables; constraint names are fixed, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        },
    )


def parse_database_url(text: str) -> URL:
    """A PostgreSQL URL (`postgres://`, `postgresql://` or with a driver) for our driver.

    Raises:
        SettingsError: it is not a URL, or not of PostgreSQL, the only database that we run on.
    """
    try:
        url = make_url(text)
    except Exception as error:
        raise SettingsError(("DATABASE_URL is not a database URL.",)) from error
    if url.get_backend_name() not in {"postgres", "postgresql"}:
        raise SettingsError((f"DATABASE_URL names {url.get_backend_name()}; only PostgreSQL is supported.",))
    return url.set(drivername=_DRIVER)


def application_engine(url: URL, *, connections_max: int = 10) -> AsyncEngine:
    """An engine whose connections act as the application's role, which cannot rewrite the ledger."""
    return create_async_engine(
        url,
        pool_size=connections_max,
        max_overflow=0,
        pool_pre_ping=False,
        hide_parameters=True,  # an error's text goes to the log, and the parameters are customers' data
        connect_args={
            "options": f"-c role={APPLICATION_ROLE} {_SESSION}",
            "connect_timeout": 5,
            # What is worth it `round_trips` prepares; psycopg would have the server forget all after each rollback.
            "prepare_threshold": None,
        },
    )


def libpq_text(url: URL) -> str:
    """The URL as libpq itself reads it, without our driver's name."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
