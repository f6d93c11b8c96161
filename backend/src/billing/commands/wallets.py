"""`billing wallets`: give credit, take it back, and write debt off, each with a reason."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from billing.admin.credit_desk import Given, GrantSource
from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator, moment
from billing.customers.rules import AccountId
from billing.kit.money import Money, parse_currency

wallets = typer.Typer(help="Credit by hand.", no_args_is_help=True)

Account = Annotated[str, typer.Argument(help="The account's id.")]
Amount = Annotated[str, typer.Option(help="How much, such as 10.00.")]
CurrencyCode = Annotated[str, typer.Option(help="The wallet's currency, such as RUB.")]
Key = Annotated[str | None, typer.Option(help="A name for this intent: the same one again changes nothing.")]


@wallets.command()
def grant(
    account: Account,
    operator: Operator,
    reason: Reason,
    amount: Amount,
    currency: CurrencyCode,
    source: Annotated[GrantSource, typer.Option(help="A gift, or to put something right.")] = GrantSource.PROMOTION,
    expires: Annotated[
        datetime | None, typer.Option(parser=moment, help="When it expires, with a time zone; never if left out.")
    ] = None,
    corrects: Annotated[str | None, typer.Option(help="The transfer that this mends.")] = None,
    key: Key = None,
) -> None:
    """Give credit to an account's wallet."""
    money = _money(amount, currency)
    given = as_operator(
        operator,
        lambda built, principal: built.desks.credit.grant(
            principal,
            AccountId(account),
            money,
            source=source,
            reason=reason,
            request_id=REQUEST_ID,
            expires_at=expires,
            corrects=corrects,
            key=key,
        ),
    )
    _tell(given, f"{money} granted")


@wallets.command(name="take-back")
def take_back(
    account: Account,
    operator: Operator,
    reason: Reason,
    amount: Amount,
    currency: CurrencyCode,
    corrects: Annotated[str, typer.Option(help="The transfer that gave it.")],
    key: Key = None,
) -> None:
    """Take back what a transfer should not have given; what is spent already becomes debt."""
    money = _money(amount, currency)
    given = as_operator(
        operator,
        lambda built, principal: built.desks.credit.take_back(
            principal, AccountId(account), money, corrects=corrects, reason=reason, request_id=REQUEST_ID, key=key
        ),
    )
    _tell(given, f"{money} taken back")


@wallets.command(name="write-off")
def write_off(
    account: Account, operator: Operator, reason: Reason, amount: Amount, currency: CurrencyCode, key: Key = None
) -> None:
    """Give up so much of what an account's wallet owes."""
    money = _money(amount, currency)
    given = as_operator(
        operator,
        lambda built, principal: built.desks.credit.write_off(
            principal, AccountId(account), money, reason=reason, request_id=REQUEST_ID, key=key
        ),
    )
    _tell(given, f"{money} written off")


def _money(amount: str, currency: str) -> Money:
    return Money.from_decimal(amount, parse_currency(currency))


def _tell(given: Given, what: str) -> None:
    typer.echo(f"{given.wallet_id}: {what} in {given.transfer_id}{'' if given.is_new else ', before'}.")
