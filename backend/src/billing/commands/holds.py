"""`billing holds`: see the holds that are stuck or odd, and end them with a reason."""

from __future__ import annotations

from typing import Annotated

import typer

from billing.admin.hold_desk import OddHold
from billing.admin.rules import Oddity
from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator
from billing.kit.money import Money, parse_currency
from billing.kit.pagination import PAGE_SIZE_MAX

holds = typer.Typer(help="Holds that are stuck or odd.", no_args_is_help=True)


@holds.command(name="list")
def list_holds(
    operator: Operator,
    oddity: Annotated[Oddity | None, typer.Option(help="Only those that are odd in this way.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many at the most.")] = 100,
) -> None:
    """List open holds that are overdue or open for long, then those that ended oddly, newest first."""
    found = as_operator(
        operator, lambda built, principal: built.desks.holds.odd_holds(principal, oddity=oddity, limit=limit)
    )
    for odd in found:
        typer.echo(_line(odd))
    typer.echo(f"{len(found)} holds.")


@holds.command()
def settle(
    hold: Annotated[str, typer.Argument(help="The hold's id.")],
    operator: Operator,
    reason: Reason,
    amount: Annotated[str, typer.Option(help="What the operation is charged, such as 12.50.")],
    currency: Annotated[str, typer.Option(help="The wallet's currency.")],
) -> None:
    """Charge the hold's operation; the same amount again changes nothing."""
    money = Money.from_decimal(amount, parse_currency(currency))
    charge = as_operator(
        operator,
        lambda built, principal: built.desks.holds.settle(principal, hold, money, reason=reason, request_id=REQUEST_ID),
    )
    typer.echo(f"{charge.operation_id} is charged {charge.charged}{' late' if charge.is_late else ''}.")


@holds.command()
def release(hold: Annotated[str, typer.Argument(help="The hold's id.")], operator: Operator, reason: Reason) -> None:
    """Give the hold back uncharged; released before, nothing changes."""
    as_operator(
        operator,
        lambda built, principal: built.desks.holds.release(principal, hold, reason=reason, request_id=REQUEST_ID),
    )
    typer.echo(f"{hold} is released.")


def _line(odd: OddHold) -> str:
    hold = odd.hold
    charged = "uncharged" if hold.charged is None else f"charged {hold.charged}"
    oddities = ",".join([*odd.oddities, *(["unfinished_stream"] if odd.is_unfinished_stream else [])])
    return (
        f"{hold.hold_id} {hold.account_id} {hold.status.value} {hold.amount} {charged}"
        f" placed {hold.placed_at.isoformat()} [{oddities}]"
    )
