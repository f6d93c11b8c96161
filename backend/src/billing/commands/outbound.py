"""`billing outbound`: see how customers' webhook endpoints fare, and send messages again with a reason."""

from __future__ import annotations

from typing import Annotated

import typer

from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator, moment
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.webhooks.outbound.replays import ReplayOrder
from billing.webhooks.outbound.rules import Delivery, DeliveryStatus, Endpoint

outbound = typer.Typer(help="Webhooks to customers.", no_args_is_help=True)

EndpointArgument = Annotated[str, typer.Argument(help="The endpoint's id.", metavar="ENDPOINT")]
LimitOption = Annotated[int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many at the most.")]


@outbound.command(name="endpoints")
def list_endpoints(
    operator: Operator,
    account: Annotated[str | None, typer.Option(help="Only those of the account with this id.")] = None,
    limit: LimitOption = 100,
) -> None:
    """List customers' endpoints, those that fail the longest first."""
    found = as_operator(
        operator,
        lambda built, principal: built.desks.outbound.endpoints(principal, account_id=account, limit=limit),
    )
    for endpoint in found:
        typer.echo(_endpoint_line(endpoint))
    typer.echo(f"{len(found)} endpoints.")


@outbound.command(name="deliveries")
def list_deliveries(
    endpoint: EndpointArgument,
    operator: Operator,
    status: Annotated[DeliveryStatus | None, typer.Option(help="Only those that stand so.")] = None,
    limit: LimitOption = 100,
) -> None:
    """List what was and will be sent to an endpoint, the newest first."""
    found = as_operator(
        operator,
        lambda built, principal: built.desks.outbound.deliveries(principal, endpoint, status=status, limit=limit),
    )
    for delivery in found:
        typer.echo(_delivery_line(delivery))
    typer.echo(f"{len(found)} deliveries.")


@outbound.command()
def redeliver(
    endpoint: EndpointArgument,
    operator: Operator,
    reason: Reason,
    message: Annotated[str | None, typer.Option(help="Only the message of this id.")] = None,
    since: Annotated[str | None, typer.Option(help="All since this moment, such as 2026-07-06T12:00:00Z.")] = None,
) -> None:
    """Send one message again, or all since a moment."""
    order = ReplayOrder(message_id=message, since=None if since is None else moment(since))
    count = as_operator(
        operator,
        lambda built, principal: built.desks.outbound.redeliver(
            principal, endpoint, order, reason=reason, request_id=REQUEST_ID
        ),
    )
    typer.echo(f"{count} messages are sent again.")


def _endpoint_line(endpoint: Endpoint) -> str:
    """Without the query of its address, in which customers may keep tokens."""
    failing = (
        "" if endpoint.spell.failing_since is None else f" failing since {endpoint.spell.failing_since.isoformat()}"
    )
    disabled = "" if endpoint.disabled_reason is None else f" ({endpoint.disabled_reason.value})"
    address = endpoint.url.partition("?")[0]
    return f"{endpoint.id} {endpoint.account_id} {endpoint.status.value}{disabled}{failing} {address}"


def _delivery_line(delivery: Delivery) -> str:
    last = "" if delivery.last_outcome is None else f" {delivery.last_outcome.value} {delivery.last_status or '-'}"
    return (
        f"{delivery.id} {delivery.message_id} {delivery.type} {delivery.status.value}"
        f" attempts {delivery.attempts}{last} created {delivery.created_at.isoformat()}"
    )
