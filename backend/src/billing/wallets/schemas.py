"""What balances, limits and events look like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

from billing.kit.money import Currency, Money, parse_currency
from billing.wallets.account_wallet import CapStanding, Limits, WantedLimits
from billing.wallets.alerts import BillingEvent
from billing.wallets.caps import CapScope
from billing.wallets.repository import LotView
from billing.wallets.service import Balance

_NAMED_MAX = 500

Amount = Annotated[str, Field(max_length=64, examples=["50.00"])]
Subject = Annotated[str, Field(min_length=1, max_length=64)]


class CreditLotView(BaseModel):
    """Credit that came in one piece, and what is left of it."""

    id: str
    source: str
    is_granted: bool
    left: str
    held: str
    expires_at: datetime | None

    @classmethod
    def of(cls, lot: LotView) -> Self:
        """The lot as JSON shows it."""
        return cls(
            id=lot.lot_id,
            source=lot.source.value,
            is_granted=lot.is_granted,
            left=lot.left.to_decimal(),
            held=lot.held.to_decimal(),
            expires_at=lot.expires_at,
        )


class WalletBalanceView(BaseModel):
    """What the wallet holds now, all amounts in one currency; `available` is what a new call can take."""

    currency: str
    paid: str
    granted: str
    held: str
    debt: str
    available: str
    lots: list[CreditLotView]

    @classmethod
    def of(cls, balance: Balance) -> Self:
        """The balance as JSON shows it."""
        return cls(
            currency=balance.currency,
            paid=balance.paid.to_decimal(),
            granted=balance.granted.to_decimal(),
            held=balance.held.to_decimal(),
            debt=balance.debt.to_decimal(),
            available=balance.available.to_decimal(),
            lots=[CreditLotView.of(lot) for lot in balance.lots],
        )


class CapView(BaseModel):
    """A cap, and what is used of it until it begins anew."""

    cap: str
    spent: str
    reserved: str
    resets_at: datetime

    @classmethod
    def of(cls, standing: CapStanding) -> Self:
        """The cap as JSON shows it."""
        return cls(
            cap=standing.cap.to_decimal(),
            spent=standing.spent.to_decimal(),
            reserved=standing.reserved.to_decimal(),
            resets_at=standing.resets_at,
        )


class LimitsView(BaseModel):
    """Everything that bounds the wallet's spending; null where nothing does, "0" where nothing may be spent."""

    currency: str
    max_reply_cost: str | None
    low_balance: str | None
    daily_cap: CapView | None
    monthly_cap: CapView | None
    members: dict[str, CapView]
    api_keys: dict[str, CapView]

    @classmethod
    def of(cls, limits: Limits) -> Self:
        """The limits as JSON shows them."""
        by_scope: dict[CapScope, dict[str, CapView]] = {scope: {} for scope in CapScope}
        for standing in limits.caps:
            by_scope[standing.scope][standing.subject] = CapView.of(standing)
        return cls(
            currency=limits.currency,
            max_reply_cost=None if limits.max_reply_cost is None else limits.max_reply_cost.to_decimal(),
            low_balance=None if limits.low_balance is None else limits.low_balance.to_decimal(),
            daily_cap=by_scope[CapScope.DAY].get(""),
            monthly_cap=by_scope[CapScope.MONTH].get(""),
            members=by_scope[CapScope.MEMBER],
            api_keys=by_scope[CapScope.KEY],
        )


class LimitsRequest(BaseModel):
    """All limits as they are to be: every field is there, and null takes that limit away.

    `members` and `api_keys` give monthly caps by id; whoever is not named has none.
    """

    model_config = ConfigDict(extra="forbid")

    currency: str = Field(max_length=16, examples=["RUB"])
    max_reply_cost: Amount | None
    low_balance: Amount | None
    daily_cap: Amount | None
    monthly_cap: Amount | None
    members: dict[Subject, Amount] = Field(max_length=_NAMED_MAX)
    api_keys: dict[Subject, Amount] = Field(max_length=_NAMED_MAX)

    def wanted(self) -> WantedLimits:
        """The limits as values.

        Raises:
            InvalidInput: an amount or the currency cannot be read.
        """
        currency = parse_currency(self.currency)
        return WantedLimits(
            max_reply_cost=_money(self.max_reply_cost, currency),
            low_balance=_money(self.low_balance, currency),
            daily_cap=_money(self.daily_cap, currency),
            monthly_cap=_money(self.monthly_cap, currency),
            members={name: Money.from_decimal(amount, currency) for name, amount in self.members.items()},
            api_keys={name: Money.from_decimal(amount, currency) for name, amount in self.api_keys.items()},
        )


class BillingEventView(BaseModel):
    """Something that the account was told."""

    id: str
    kind: str
    subject: str | None
    data: dict[str, Any]
    occurred_at: datetime

    @classmethod
    def of(cls, event: BillingEvent) -> Self:
        """The event as JSON shows it."""
        return cls(
            id=event.event_id,
            kind=event.kind.value,
            subject=event.subject or None,
            data=dict(event.payload),
            occurred_at=event.occurred_at,
        )


class BillingEventPage(BaseModel):
    """Some events, newest first, and the cursor of the next page."""

    items: list[BillingEventView]
    next_cursor: str | None


def _money(amount: str | None, currency: Currency) -> Money | None:
    return None if amount is None else Money.from_decimal(amount, currency)
