"""Turns a database that fails into a refusal that says so and nothing more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from psycopg import Error as DriverError
from sqlalchemy.exc import SQLAlchemyError

from billing.gateway.errors import BillingUnavailable

_log = structlog.get_logger(__name__)


@contextmanager
def failing_closed() -> Iterator[None]:
    """A database that fails is no reason to let a call through, and none to show its error to anybody (G11).

    Raises:
        BillingUnavailable: the books cannot be reached, or refuse what they were told.
    """
    try:
        yield
    except (SQLAlchemyError, DriverError, OSError) as error:
        # The error's own words hold statements with their values; kind and state say what is wrong without them.
        cause = getattr(error, "orig", error)
        _log.error("billing_unavailable", kind=type(cause).__name__, state=getattr(cause, "sqlstate", None))
        raise BillingUnavailable from error
