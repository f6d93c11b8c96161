"""What the operators' desk looks like in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from billing.admin.hold_desk import OddHold
from billing.admin.rules import Oddity
from billing.kit.money import Money, parse_currency
from billing.ledger.chart_of_accounts import WalletAccount
from billing.pricing.schemas import MoneyView
from billing.wallets.service import Charge
from billing.webhooks.oversight import Message, Refusals, ShownMessage
from billing.webhooks.rules import MessageStatus


class OddHoldView(BaseModel):
    """A hold and what is odd about it; `charged` is null while nothing was charged.

    `is_unfinished_stream` is true while metered use waits to be booked.
    """

    hold_id: str
    operation_id: str
    wallet_id: str
    account_id: str
    status: str
    oddities: list[Oddity]
    is_unfinished_stream: bool
    amount: MoneyView
    charged: MoneyView | None
    placed_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    end_reason: str | None
    person_id: str | None
    api_key_id: str | None

    @classmethod
    def of(cls, odd: OddHold) -> Self:
        """The hold as JSON shows it."""
        hold = odd.hold
        return cls(
            hold_id=hold.hold_id,
            operation_id=hold.operation_id,
            wallet_id=hold.wallet_id,
            account_id=hold.account_id,
            status=hold.status.value,
            oddities=list(odd.oddities),
            is_unfinished_stream=odd.is_unfinished_stream,
            amount=MoneyView.of(hold.amount),
            charged=None if hold.charged is None else MoneyView.of(hold.charged),
            placed_at=hold.placed_at,
            expires_at=hold.expires_at,
            ended_at=hold.ended_at,
            end_reason=hold.end_reason,
            person_id=hold.person_id,
            api_key_id=hold.api_key_id,
        )


class OddHoldList(BaseModel):
    """Open holds first, then what ended oddly, newest first."""

    items: list[OddHoldView]


class ReleaseRequest(BaseModel):
    """Why the hold is given back."""

    model_config = ConfigDict(extra="forbid")

    reason: str


class SettleRequest(ReleaseRequest):
    """How much the operation is charged, and why."""

    amount: str = Field(max_length=64, examples=["12.50"])
    currency: str = Field(max_length=16, examples=["RUB"])

    def money(self) -> Money:
        """The amount.

        Raises:
            InvalidInput: amount or currency cannot be what they claim to be.
        """
        return Money.from_decimal(self.amount, parse_currency(self.currency))


class ChargeView(BaseModel):
    """What the operation was charged; `debt` is the part that no credit covered."""

    operation_id: str
    charged: MoneyView
    debt: MoneyView
    is_late: bool

    @classmethod
    def of(cls, charge: Charge) -> Self:
        """The charge as JSON shows it."""
        return cls(
            operation_id=charge.operation_id,
            charged=MoneyView.of(charge.charged),
            debt=MoneyView.of(charge.debt),
            is_late=charge.is_late,
        )


class WalletAtView(BaseModel):
    """What stood on the wallet's accounts before the moment; an account that had never moved is missing."""

    wallet_id: str
    at: datetime
    accounts: dict[str, MoneyView]

    @classmethod
    def of(cls, wallet_id: str, at: datetime, balances: Mapping[WalletAccount, Money]) -> Self:
        """The balances as JSON shows them."""
        accounts = {account.value: MoneyView.of(balance) for account, balance in balances.items()}
        return cls(wallet_id=wallet_id, at=at, accounts=accounts)


class AccountAtView(BaseModel):
    """What stood on a system account before the moment, one amount per currency."""

    account: str
    at: datetime
    balances: list[MoneyView]


class MessageView(BaseModel):
    """A stored notification; `attempts` counts those that have begun since it came or was last handed over again."""

    message_id: str
    provider: str
    event_id: str | None
    status: MessageStatus
    reason: str | None
    attempts: int
    received_at: datetime
    due_at: datetime | None
    handled_at: datetime | None

    @classmethod
    def of(cls, message: Message, **more: object) -> Self:
        """The notification as JSON shows it."""
        return cls.model_validate(
            {
                "message_id": message.id,
                "provider": message.provider,
                "event_id": message.event_id,
                "status": message.status,
                "reason": message.reason,
                "attempts": message.attempts,
                "received_at": message.received_at,
                "due_at": message.due_at,
                "handled_at": message.handled_at,
                **more,
            }
        )


class MessageList(BaseModel):
    """Notifications, newest first."""

    items: list[MessageView]


class ShownMessageView(MessageView):
    """A notification with its body, in which what could be about a person is hidden."""

    body: object

    @classmethod
    def of_shown(cls, shown: ShownMessage) -> Self:
        """The notification as JSON shows it."""
        return cls.of(shown.message, body=shown.body)


class AgainRequest(BaseModel):
    """Why a notification is handled again."""

    model_config = ConfigDict(extra="forbid")

    reason: str


class RefusalView(BaseModel):
    """How many notifications were turned away on a day (UTC) for one reason."""

    provider: str
    reason: str
    counted_on: date
    count: int

    @classmethod
    def of(cls, refusals: Refusals) -> Self:
        """The count as JSON shows it."""
        return cls(
            provider=refusals.provider,
            reason=refusals.reason,
            counted_on=refusals.counted_on,
            count=refusals.count,
        )


class RefusalList(BaseModel):
    """Counts, newest day first."""

    items: list[RefusalView]
