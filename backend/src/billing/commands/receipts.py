"""`billing payments receipts`: see which receipts the tax office does not have."""

from __future__ import annotations

from typing import Annotated

import typer

from billing.commands.running import Operator, as_operator
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.payments.receipts_rules import UnregisteredReceipt

receipts = typer.Typer()


@receipts.command(name="receipts")
def list_receipts(
    operator: Operator,
    failed: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--failed", help="Only those that failed; else also those that wait.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many at the most.")] = 100,
) -> None:
    """List receipts of payments and refunds that the tax office does not have, newest first."""
    found = as_operator(
        operator,
        lambda built, principal: built.desks.receipts.unregistered(principal, only_failed=failed, limit=limit),
    )
    for receipt in found:
        typer.echo(_line(receipt))
    typer.echo(f"{len(found)} receipts.")


def _line(receipt: UnregisteredReceipt) -> str:
    whose = receipt.payment_id if receipt.refund_id is None else f"{receipt.payment_id} refund {receipt.refund_id}"
    return f"{receipt.status.value} {whose} {receipt.account_id} {receipt.amount} {receipt.succeeded_at.isoformat()}"
