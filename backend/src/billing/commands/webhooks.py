"""`billing webhooks`: read the inbox of notifications, and have one handled again with a reason."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.webhooks.oversight import Message
from billing.webhooks.rules import MessageStatus, Provider

webhooks = typer.Typer(help="Notifications of payment providers.", no_args_is_help=True)

MessageArgument = Annotated[str, typer.Argument(help="The notification's id.", metavar="MESSAGE")]


@webhooks.command(name="list")
def list_messages(
    operator: Operator,
    provider: Annotated[Provider | None, typer.Option(help="Only this provider's.")] = None,
    status: Annotated[MessageStatus | None, typer.Option(help="Only those that stand so.")] = None,
    before: Annotated[str | None, typer.Option(help="Only those before the one of this id.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many at the most.")] = 100,
) -> None:
    """List notifications, newest first."""
    found = as_operator(
        operator,
        lambda built, principal: built.desks.inbox.messages(
            principal, provider=provider, status=status, before=before, limit=limit
        ),
    )
    for message in found:
        typer.echo(_line(message))
    typer.echo(f"{len(found)} notifications.")


@webhooks.command()
def show(message: MessageArgument, operator: Operator) -> None:
    """Show one notification; what its body says about people is hidden."""
    shown = as_operator(operator, lambda built, principal: built.desks.inbox.message(principal, message))
    typer.echo(_line(shown.message))
    typer.echo(json.dumps(shown.body, indent=2, ensure_ascii=False))


@webhooks.command()
def replay(message: MessageArgument, operator: Operator, reason: Reason) -> None:
    """Have a notification handled once more that was done, ignored or given up."""
    as_operator(
        operator,
        lambda built, principal: built.desks.inbox.replay(principal, message, reason=reason, request_id=REQUEST_ID),
    )
    typer.echo(f"{message} waits to be handled again.")


@webhooks.command()
def release(message: MessageArgument, operator: Operator, reason: Reason) -> None:
    """Let a notification out of quarantine, to be handled again after the cause was mended."""
    as_operator(
        operator,
        lambda built, principal: built.desks.inbox.release(principal, message, reason=reason, request_id=REQUEST_ID),
    )
    typer.echo(f"{message} waits to be handled again.")


@webhooks.command()
def refusals(
    operator: Operator, days: Annotated[int, typer.Option(min=1, max=90, help="How many days, with today.")] = 7
) -> None:
    """Say how many notifications were turned away at the doors, by day, provider and reason."""
    found = as_operator(operator, lambda built, principal: built.desks.inbox.refusals(principal, days=days))
    for one in found:
        typer.echo(f"{one.counted_on.isoformat()} {one.provider} {one.reason} {one.count}")
    typer.echo(f"{sum(one.count for one in found)} notifications were turned away.")


def _line(message: Message) -> str:
    reason = f" ({message.reason})" if message.reason else ""
    return (
        f"{message.id} {message.provider} {message.event_id or '-'} {message.status.value}{reason}"
        f" attempts {message.attempts} received {message.received_at.isoformat()}"
    )
