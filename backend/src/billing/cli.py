"""`billing`: the commands of whoever runs this."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
import sys
from typing import Annotated

import typer
import uvicorn

from billing import __version__, migrations
from billing.commands.accounts import accounts
from billing.commands.free_quota import free_quota
from billing.commands.holds import holds
from billing.commands.ledger import ledger
from billing.commands.outbound import outbound
from billing.commands.payments import payments
from billing.commands.plans import plans
from billing.commands.rates import rates
from billing.commands.running import database, with_services
from billing.commands.wallets import wallets
from billing.commands.webhooks import webhooks
from billing.gateway.service import GatewayService
from billing.kit.errors import BillingError, SettingsError
from billing.kit.settings import require_asserts
from billing.main import create_app
from billing.wiring import demo
from billing.wiring.services import Services
from billing.worker import work

_USAGE = 2
# One paid call makes some thousands of objects, nearly all of which go without the collector's help.
_NEW_OBJECTS_MAX = 20_000
_LAST_BYTES_SECONDS = 20  # for whole answers, and for the last bytes of streams that were cut

app = typer.Typer(help="Prepaid billing for AI products.", no_args_is_help=True, pretty_exceptions_enable=False)
app.add_typer(accounts, name="accounts")
app.add_typer(ledger, name="ledger")
app.add_typer(holds, name="holds")
app.add_typer(wallets, name="wallets")
app.add_typer(rates, name="rates")
app.add_typer(plans, name="plans")
app.add_typer(free_quota, name="free-quota")
app.add_typer(webhooks, name="webhooks")
app.add_typer(outbound, name="outbound")
app.add_typer(payments, name="payments")


class Server(uvicorn.Server):
    """Ends streams when it is told to stop, instead of waiting for whoever may read them for an hour."""

    def __init__(self, config: uvicorn.Config, gateway: GatewayService) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Takes no new calls, lets streams say their last word, then closes what is left."""
        async with asyncio.TaskGroup() as ending:
            ending.create_task(super().shutdown(sockets))
            ending.create_task(self._gateway.close())


def main() -> None:
    """The entry point: a refusal is one sentence and exit code 2, never a traceback."""
    try:
        require_asserts()
        app()
    except BillingError as refusal:
        typer.echo(f"billing: {refusal.sentence}", err=True)
        sys.exit(_USAGE)


@app.command()
def version() -> None:
    """Say which version this is."""
    typer.echo(__version__)


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    with database() as (_, url):
        migrations.upgrade(url)
    typer.echo(f"The schema is at {migrations.newest_revision()}.")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
    fd: Annotated[
        int | None, typer.Option(help="A listening socket that was inherited; host and port are then void.")
    ] = None,
) -> None:
    """Serve API, gateway and pages until told to stop."""
    _stop_cleanly_on_sigterm()
    listener = socket.socket(fileno=fd) if fd is not None else _listen(host, port)
    # Connections inherit it. Without it the second small packet of an answer waits 40 ms for the first one's receipt;
    # asyncio turns that off by itself only for sockets that name their protocol, which these do not.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    async def run(built: Services) -> None:
        application = create_app(built)
        # What is here now stays until the end: the collector need not look through it again while calls wait.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_NEW_OBJECTS_MAX, 10, 10)
        config = uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            lifespan="off",
            timeout_graceful_shutdown=int(built.gateway_settings.shutdown_seconds) + _LAST_BYTES_SECONDS,
        )
        await Server(config, built.gateway).serve(sockets=[listener])

    with_services(run)


@app.command()
def worker() -> None:
    """Take jobs from the queues and run the scheduler until told to stop."""
    _stop_cleanly_on_sigterm()
    if not with_services(work):
        typer.echo("billing: WORKER_BILLING_ENABLED is off: jobs wait in their queues.", err=True)


@app.command()
def seed(
    customers: Annotated[int, typer.Option(min=1, max=200, help="How many demo customers to open.")] = 1,
) -> None:
    """Put the demonstration's prices, free quota, customers and operator in place; doing it again changes nothing."""

    async def run(built: Services) -> tuple[demo.Login, ...]:
        return await demo.seed(built, customers=customers)

    logins = with_services(run)
    typer.echo(json.dumps({"logins": [{"email": login.email, "password": login.password} for login in logins]}))


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise SettingsError((f"Cannot listen on {host}:{port}: {error.strerror}.",)) from error


def _stop_cleanly_on_sigterm() -> None:
    """After the server's own graceful stop, SIGTERM ends the process by an exit, so that what runs at exit runs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
