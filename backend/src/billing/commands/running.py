"""What every command stands on: the settings, the database that they name, the services over it, and the operator."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, TypeVar

import typer
import uvloop
from sqlalchemy.engine import URL

from billing.customers.rules import Principal
from billing.kit.database import parse_database_url
from billing.kit.embedded_postgres import EmbeddedPostgres
from billing.kit.logs import configure_logs
from billing.wiring.services import Services, services
from billing.wiring.settings import Settings, read_settings

T = TypeVar("T")

Operator = Annotated[str, typer.Option(help="The e-mail of the operator who does this.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]
REQUEST_ID = "command"  # nothing came over HTTP


@contextmanager
def database() -> Iterator[tuple[Settings, URL]]:
    """The settings, and the database that they name, or the embedded one."""
    settings = read_settings(os.environ)
    configure_logs(settings.deployment.log_level)
    given = settings.deployment.database_url
    if given is not None:
        yield settings, parse_database_url(given.get_secret_value())
        return
    with EmbeddedPostgres.start(settings.deployment.embedded_folder) as server:
        yield settings, parse_database_url(server.url())


def with_services(run: Callable[[Services], Awaitable[T]]) -> T:
    """Does the work with the services of a process of its own."""

    async def build_and_run(settings: Settings, url: URL) -> T:
        async with services(settings, url) as built:
            await built.readiness.require_database()
            return await run(built)

    with database() as (settings, url):
        return uvloop.run(build_and_run(settings, url))


def as_operator(email: str, run: Callable[[Services, Principal], Awaitable[T]]) -> T:
    """Does the work in this operator's name, with the rights that they have."""

    async def run_as(built: Services) -> T:
        async with built.begin() as uow:
            principal = await built.customers.operator_with_email(uow, email)
        return await run(built, principal)

    return with_services(run_as)


def moment(text: str) -> datetime:
    """A moment on the command line: ISO 8601 with a time zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"{text!r} is not a moment such as 2026-07-06T12:00:00Z."
        raise typer.BadParameter(message) from error
    if at.tzinfo is None:
        message = "A moment needs its time zone, such as 2026-07-06T12:00:00Z."
        raise typer.BadParameter(message)
    return at
