"""What payments ask of a provider, in our words; each adapter translates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from billing.kit.money import Money
from billing.payments.rules import Cancellation, ProviderPaymentId, ProviderStatus


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """What the provider is asked to collect.

    It is made from the stored payment alone, so that a repetition under the same `key` says the same to the letter.
    """

    key: str
    amount: Money
    description: str
    return_url: str
    payment_id: str
    account_id: str
    purpose: str


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """A payment as its provider reports it; the three texts are what we gave along, None where it came back without."""

    id: ProviderPaymentId
    shop_id: str
    is_test: bool
    status: ProviderStatus
    is_paid: bool
    amount: Money
    payment_id: str | None
    account_id: str | None
    purpose: str | None
    confirmation_url: str | None = None
    cancellation: Cancellation | None = None


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a notification claims; only a hint for what to ask about.

    `payment_id` is None where the event is of a kind that we have no use for. `claims_final` says that the payment
    should be read back as ended.
    """

    kind: str
    payment_id: ProviderPaymentId | None
    claims_final: bool


class PaymentProvider(Protocol):
    """A payment provider. Each call may raise any `ProviderFailure`; no call is made inside a transaction."""

    @property
    def name(self) -> str:
        """How our records and books call this provider."""
        ...

    @property
    def shop_id(self) -> str:
        """The shop that collects for us; a payment of any other shop is not ours."""
        ...

    @property
    def is_test(self) -> bool:
        """The shop moves play money; a payment that says otherwise is not ours."""
        ...

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """Begins a payment, or finds the one that this order's key began before.

        Raises:
            ProviderFailure: after `ProviderAmbiguous` and `ProviderMalformed` the payment may exist.
        """
        ...

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """The payment as it is now.

        Raises:
            ProviderObjectUnknown: there is none of this id.
            ProviderFailure: it could not be asked.
        """
        ...

    def parse_event(self, body: str) -> ProviderEvent:
        """What a notification's body (valid JSON) claims.

        Raises:
            ProviderMalformed: it names no event, or an object id that cannot be one.
        """
        ...
