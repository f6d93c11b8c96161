"""`billing payments`: look at one payment, give money back, and compare the provider's books with ours."""

from __future__ import annotations

from typing import Annotated

import typer

from billing.commands.receipts import receipts
from billing.commands.reconciliation import reconciliation
from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator
from billing.kit.money import Money, parse_currency
from billing.payments.records import Dispute, Refund
from billing.payments.refunds import PaymentFile
from billing.payments.rules import RefundState

payments = typer.Typer(help="What customers have paid.", no_args_is_help=True)
payments.add_typer(reconciliation)
payments.add_typer(receipts)

PaymentArgument = Annotated[str, typer.Argument(help="The payment's id.")]


@payments.command()
def show(payment: PaymentArgument, operator: Operator) -> None:
    """Show one payment with its refunds and disputes."""
    file = as_operator(operator, lambda built, principal: built.desks.payments.payment(principal, payment))
    for line in _lines(file):
        typer.echo(line)


@payments.command()
def refund(
    payment: PaymentArgument,
    operator: Operator,
    reason: Reason,
    amount: Annotated[str | None, typer.Option(help="How much, such as 10.00; all that can be if left out.")] = None,
    currency: Annotated[str | None, typer.Option(help="The payment's currency, where there is an amount.")] = None,
    overdraft: Annotated[  # noqa: FBT002 - a flag on the command line
        bool, typer.Option("--overdraft", help="Also what is spent already; the rest becomes debt.")
    ] = False,
    key: Annotated[str | None, typer.Option(help="A name for this intent: the same one again changes nothing.")] = None,
) -> None:
    """Give money back, from what the customer has left of this payment."""
    if (amount is None) != (currency is None):
        message = "Give --amount and --currency, or neither of them."
        raise typer.BadParameter(message)
    money = None if amount is None or currency is None else Money.from_decimal(amount, parse_currency(currency))
    given = as_operator(
        operator,
        lambda built, principal: built.desks.payments.refund(
            principal, payment, money, is_overdraft=overdraft, reason=reason, request_id=REQUEST_ID, key=key
        ),
    )
    typer.echo(_said(given))
    if given.state is RefundState.FAILED:
        raise typer.Exit(1)


def _said(refund: Refund) -> str:
    match refund.state:
        case RefundState.CREATED | RefundState.PENDING:
            return f"{refund.id}: {refund.amount} is on its way back; it ends without anybody's doing."
        case RefundState.SUCCEEDED:
            return f"{refund.id}: {refund.amount} is given back."
        case RefundState.FAILED:
            return f"{refund.id}: nothing was given back ({refund.failure})."


def _lines(file: PaymentFile) -> list[str]:
    payment = file.payment
    words = (
        payment.id,
        payment.account_id,
        payment.purpose,
        payment.state.value,
        f"{payment.amount} refunded {payment.refunded} fee {payment.fee}",
        f"{payment.provider} {payment.provider_payment_id}",
        f"begun {payment.created_at.isoformat()}",
    )
    contradictions = () if payment.contradiction is None else (f"contradicts: {payment.contradiction}",)
    refunds, disputes = map(_refund_line, file.refunds), map(_dispute_line, file.disputes)
    return [" ".join(words), *contradictions, *refunds, *disputes]


def _refund_line(refund: Refund) -> str:
    return f"refund {refund.id} {refund.state.value} {refund.amount} by {refund.begun_by.value}: {refund.reason}"


def _dispute_line(dispute: Dispute) -> str:
    return f"dispute {dispute.id} {dispute.state.value} {dispute.amount} since {dispute.opened_at.isoformat()}"
