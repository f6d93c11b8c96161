"""`billing ledger`: prove the books, and read them as they were."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from billing.commands.running import moment, with_services
from billing.ledger.chart_of_accounts import SystemAccount
from billing.ledger.invariants import Extent
from billing.ledger.service import LedgerService
from billing.wiring.services import Services

_DRIFT = 1

ledger = typer.Typer(help="The books.", no_args_is_help=True)


@ledger.command()
def verify(
    wallet: Annotated[str | None, typer.Option(help="Check this wallet alone, as a whole.")] = None,
    since: Annotated[
        datetime | None, typer.Option(parser=moment, help="Check only what moved since; a moment with its time zone.")
    ] = None,
) -> None:
    """Check that wallets, lots, holds, charges and books agree; each drift is a line, and the exit code is 1."""
    drifts = with_services(lambda built: built.verification.drifts(Extent(wallet, since)))
    for drift in drifts:
        typer.echo(f"{drift.invariant} {drift.subject}: {drift.sentence}")
    typer.echo(f"{len(drifts)} drifts." if drifts else "The books agree: no drift.")
    if drifts:
        raise typer.Exit(_DRIFT)


@ledger.command()
def balance(
    wallet: Annotated[str | None, typer.Argument(help="The wallet's id.")] = None,
    account: Annotated[str | None, typer.Option(help="A system account instead, such as revenue.")] = None,
    at: Annotated[
        datetime | None, typer.Option(parser=moment, help="A past moment with its time zone; now if left out.")
    ] = None,
) -> None:
    """Say what stood on a wallet or a system account; what was recorded at that very moment is not counted."""
    if (wallet is None) == (account is None):
        message = "Name either a wallet or an --account."
        raise typer.BadParameter(message)

    async def run(built: Services) -> list[str]:
        books, before = LedgerService(), at or built.clock.now()
        async with built.begin() as uow:
            if account is not None:
                balances = await books.system_balances_at(uow, SystemAccount(account), before)
                return [f"{account} {balance}" for balance in balances]
            stood = await books.balances_at(uow, wallet or "", before)
            return [f"{name.value} {balance}" for name, balance in stood.items()]

    for line in with_services(run) or ["Nothing was booked there before."]:
        typer.echo(line)
