"""What stands for one paid call: what was asked, who pays for it, and what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from billing.customers.rules import Principal
from billing.gateway.rules.metering import Measured
from billing.gateway.rules.paid_request import PaidRequest
from billing.gateway.rules.routes import ModelRoute, UpstreamTarget
from billing.kit.money import Money
from billing.pricing.rules import RateSnapshot, price_of
from billing.subscriptions.entitlements import NO_PLAN, Entitlement
from billing.usage.rules import BillingSource
from billing.wallets.rules import OperationId, WalletId


@dataclass(frozen=True, slots=True)
class Call:
    """One operation. Its id is ours; what the client calls it is kept beside it and decides nothing."""

    operation_id: OperationId
    principal: Principal
    request: PaidRequest
    route: ModelRoute
    correlation_id: str | None
    max_reply_cost: Money | None
    client_network: str | None
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Funding:
    """Who pays for the call, at which rates and with what of a plan: those of the moment in which it was let in.

    `rates` has those of every target that may answer, by the model that the target is priced as; `held` is what the
    wallet has set aside, nothing for a free call. `available` is what the wallet has beside it, where that is known.
    """

    source: BillingSource
    wallet_id: WalletId
    rates: Mapping[str, RateSnapshot]
    held: Money
    available: Money | None = None
    entitlement: Entitlement = NO_PLAN


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the call came to: who answered, under which name of the model, and what was used."""

    target: UpstreamTarget
    model_used: str
    measured: Measured


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, or the provider's own refusal (`status` 400 and up, nothing charged).

    `body` is `content` as an object, where it is JSON; `balance` is what a next call could take.
    """

    status: int
    content: bytes
    content_type: str
    body: Mapping[str, Any] | None
    operation_id: OperationId
    charged: Money
    balance: Money
    billing_source: BillingSource
    retry_after_seconds: int | None = None


class Reading(Protocol):
    """The client's end of a stream."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """The bytes as they come."""
        ...

    def leave(self) -> None:
        """Says that nobody reads any more; what the provider still sends is metered and dropped."""
        ...


@dataclass(frozen=True, slots=True)
class StreamedAnswer:
    """An answer that comes piece by piece; what it cost stands in its last event. `balance` is what is left beside its
    hold.
    """

    content_type: str
    reading: Reading
    operation_id: OperationId
    balance: Money
    billing_source: BillingSource


def cost_of(outcome: Outcome, funding: Funding) -> Money:
    """What the wallet pays for what was used: at the rates of the target that answered, less the plan's discount."""
    rates = funding.rates[outcome.target.priced_as]
    return price_of(outcome.measured.quantities, rates, funding.entitlement.discount_percent)


def raw_cost_of(outcome: Outcome, funding: Funding) -> Money:
    """The price of what was used, without any discount."""
    return price_of(outcome.measured.quantities, funding.rates[outcome.target.priced_as])
