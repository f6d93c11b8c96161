"""`billing payments reconcile|differences|resolve|list`: compare a provider's books with ours, decide what differs."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator, moment, with_services
from billing.customers.rules import Principal
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.payments.comparison import DifferenceKind, RecordedDifference, Run, Window
from billing.wiring.services import Services

reconciliation = typer.Typer()

_LOOKS_BACK = timedelta(days=3)

Limit = Annotated[int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many at the most.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


class Way(StrEnum):
    """What can be done about a difference."""

    ADOPT = "adopt"
    ACCEPT = "accept"
    IGNORE = "ignore"


@reconciliation.command()
def reconcile(
    since: Annotated[
        datetime | None, typer.Option(parser=moment, help="From when on; three days before the end if left out.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(parser=moment, help="Until when; now if left out.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Compare payments and refunds in both directions; exit code 1 if something differs."""

    async def run(built: Services) -> Run:
        end = until or built.clock.now()
        return await built.payment_upkeep.reconciliation.run(Window(since or end - _LOOKS_BACK, end))

    done = with_services(run)
    typer.echo(json.dumps(_run_as_json(done)) if as_json else _run_as_text(done))
    if done.differences:
        raise typer.Exit(1)


@reconciliation.command()
def differences(
    operator: Operator,
    kind: Annotated[DifferenceKind | None, typer.Option(help="Only those of this kind.")] = None,
    limit: Limit = 100,
    *,
    resolved: Annotated[bool, typer.Option(help="Those that have been decided instead.")] = False,
) -> None:
    """List what differs, newest first."""
    found = as_operator(
        operator,
        lambda built, principal: built.desks.reconciliation.differences(
            principal, kind=kind, is_open=not resolved, limit=limit
        ),
    )
    for one in found:
        typer.echo(_line(one))
    typer.echo(f"{len(found)} differences.")


@reconciliation.command()
def resolve(
    difference: Annotated[str, typer.Argument(help="The difference's id.")],
    way: Annotated[Way, typer.Argument(help="Make our row of it, let it stand as it is, or leave its object alone.")],
    operator: Operator,
    reason: Reason,
    subject: Annotated[str | None, typer.Option(help="For adopting a plan's payment: what it paid for.")] = None,
) -> None:
    """Decide about one difference."""

    async def decide(built: Services, principal: Principal) -> str:
        desk = built.desks.reconciliation
        match way:
            case Way.ADOPT:
                adopted = await desk.adopt(principal, difference, subject=subject, reason=reason, request_id=REQUEST_ID)
                return f"{adopted.id} of {adopted.account_id} is {adopted.state.value}: {adopted.amount}."
            case Way.ACCEPT:
                await desk.accept(principal, difference, reason=reason, request_id=REQUEST_ID)
                return f"{difference} stands as it is."
            case Way.IGNORE:
                await desk.ignore(principal, difference, reason=reason, request_id=REQUEST_ID)
                return f"{difference} is ignored from now on."

    typer.echo(as_operator(operator, decide))


@reconciliation.command(name="list")
def list_payments(
    operator: Operator,
    limit: Limit = 100,
    *,
    stuck: Annotated[bool, typer.Option("--stuck", help="Those that nothing will finish without a person.")],
) -> None:
    """List the payments and refunds that need a person: never finished, or contradicted by their provider."""
    del stuck  # there is no other list: whoever wants all payments asks the database
    found = as_operator(operator, lambda built, principal: built.desks.reconciliation.stuck(principal, limit=limit))
    for one in found:
        why = one.contradiction or "no answer"
        typer.echo(f"{one.id} {one.account_id} {one.state} {one.amount} begun {one.created_at.isoformat()} [{why}]")
    typer.echo(f"{len(found)} stuck.")


def _run_as_text(done: Run) -> str:
    return (
        f"{done.since.isoformat()} to {done.until.isoformat()}: {done.payments} payments, {done.refunds} refunds, "
        f"{done.healed} healed, {done.differences} differences."
    )


def _run_as_json(done: Run) -> dict[str, object]:
    return {
        "since": done.since.isoformat(),
        "until": done.until.isoformat(),
        "payments": done.payments,
        "refunds": done.refunds,
        "healed": done.healed,
        "differences": done.differences,
    }


def _line(found: RecordedDifference) -> str:
    difference = found.difference
    what = " ".join(f"{name}={value}" for name, value in _unequal(found) if value is not None)
    decided = "" if found.resolution is None else f" {found.resolution.value}"
    return (
        f"{found.id} {difference.kind.value} {found.shop.provider} {difference.object_id} "
        f"{difference.payment_id or '-'} found {found.found_at.isoformat()}{decided} [{what}]"
    )


def _unequal(found: RecordedDifference) -> list[tuple[str, str | None]]:
    """What either side says and the other does not."""
    ours, theirs = found.difference.ours, found.difference.theirs
    return [
        *((f"ours.{name}", value) for name, value in ours.items() if theirs.get(name) != value),
        *((f"theirs.{name}", value) for name, value in theirs.items() if ours.get(name) != value),
    ]
