"""A payment provider under the contract suite: our adapter, and what goes on behind the provider's counter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol

from billing.kit.money import Money
from billing.payments.adapters.calls import Budget
from billing.payments.ports import PaymentProvider
from billing.payments.rules import ProviderMethodId, ProviderPaymentId, ProviderRefundId

QUICK = Budget(connect_seconds=1.0, total_seconds=5.0, retries_max=2, first_wait_seconds=0.001)
IMPATIENT = Budget(connect_seconds=0.3, total_seconds=0.3, retries_max=0, first_wait_seconds=0.001)


class Ability(StrEnum):
    """What one provider can do and another cannot; the contract holds either way."""

    CALLS_OFF_UNPAID = "calls_off_unpaid"
    """`cancel` ends a payment that nobody has paid yet; without it that is a rejection."""
    DISPUTES = "disputes"
    """It tells of disputes; without it there never are any."""
    RECEIPTS = "receipts"
    """It passes receipts on to the tax office and says how that went."""
    REFUNDS_COME_BACK = "refunds_come_back"
    """A refund that has succeeded can still fail; without it what was given back stays given back."""


class Backstage(Protocol):
    """What a simulated provider's customers, cabinet and network do; ids and amounts are those of the port.

    Operations have the names of the port's methods: `create_payment`, `capture`, `refund`, `refunds_of`, …; there is
    `cancel_reserved` too, for a `cancel` that gives back what is reserved.
    """

    async def pay(self, payment_id: ProviderPaymentId) -> None:
        """The customer pays."""
        ...

    async def decline(self, payment_id: ProviderPaymentId) -> None:
        """The customer's bank refuses, and the payment is over."""
        ...

    async def expire(self, payment_id: ProviderPaymentId) -> None:
        """The time for paying is over."""
        ...

    async def reserved(self, amount: Money) -> ProviderPaymentId:
        """A payment that the customer has paid and that waits for its capture; our metadata is not on it."""
        ...

    async def refund_in_cabinet(self, payment_id: ProviderPaymentId, amount: Money) -> None:
        """Somebody refunds at the provider, without us."""
        ...

    async def hold_refunds(self) -> None:
        """Refunds stay pending from now on, in this test."""
        ...

    async def let_refunds_through(self) -> None:
        """Refunds succeed at once again, as they do when a test begins."""
        ...

    async def end_refund(self, refund_id: ProviderRefundId, *, is_good: bool) -> None:
        """A refund succeeds, or fails; one that has succeeded can still fail only with `Ability.REFUNDS_COME_BACK`."""
        ...

    async def refuse_method(self, method_id: ProviderMethodId) -> None:
        """The bank refuses every charge of this saved method from now on."""
        ...

    async def open_dispute(self, payment_id: ProviderPaymentId) -> None:
        """The customer's bank wants the money back; only with `Ability.DISPUTES`."""
        ...

    async def close_dispute(self, payment_id: ProviderPaymentId, *, is_won: bool) -> None:
        """The bank decides; only with `Ability.DISPUTES`."""
        ...

    async def go_wrong(self, kind: str, operation: str, **more: Any) -> None:
        """The next call of this operation goes wrong; `kind` and `more` are a fault's, as its reference page has it."""
        ...

    async def calls(self, operation: str) -> list[dict[str, Any]]:
        """The calls of one operation in this test, oldest first, as the simulator recorded them."""
        ...

    async def payments_count(self) -> int:
        """How many payments have been begun in this test."""
        ...

    async def refunds_count(self) -> int:
        """How many refunds have been begun in this test."""
        ...

    async def events(self, payment_id: ProviderPaymentId) -> list[str]:
        """The bodies of the notifications about this payment and its refunds, oldest first, as they travel."""
        ...


@dataclass(frozen=True, slots=True)
class ProviderUnderTest:
    """One provider, fresh for one test."""

    provider: PaymentProvider
    once: PaymentProvider
    """The same without repetitions."""
    impatient: PaymentProvider
    """The same with a third of a second for everything, too, for what would never end."""
    abilities: frozenset[Ability]
    unknown_payment: ProviderPaymentId
    """Well formed, and nobody's."""
    unknown_refund: ProviderRefundId
    salt: str = ""
    """Makes the keys of this test its own where a provider remembers those of earlier runs."""


@dataclass(frozen=True, slots=True)
class SimulatedProvider(ProviderUnderTest):
    """One provider with a simulator behind it."""

    backstage: Backstage = field(kw_only=True)


Opening = Callable[[], AbstractAsyncContextManager[SimulatedProvider]]
"""Makes a running simulator fresh for one test and connects to it; closes the connections at the end."""

OpeningAnywhere = Callable[[], AbstractAsyncContextManager[ProviderUnderTest]]
"""The same for a provider of which nothing but its counter is known."""

Start = Callable[[], AbstractAsyncContextManager[Opening]]
"""Starts a simulator, which runs as long as the module's tests; each test opens it anew."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A real provider's place for tests, open to whoever has its credentials in the environment."""

    variables: tuple[str, ...]
    connect: Callable[[Mapping[str, str]], AbstractAsyncContextManager[ProviderUnderTest]]
    """Makes the adapters from the values of the variables; closes their connections at the end."""

    def missing(self, environ: Mapping[str, str]) -> tuple[str, ...]:
        """The variables without which it stays closed."""
        return tuple(name for name in self.variables if not environ.get(name))


class Adapter(PaymentProvider, Protocol):
    """A provider whose connections can be closed."""

    async def aclose(self) -> None:
        """Closes them."""
        ...


@asynccontextmanager
async def simulated_provider(
    connect: Callable[[Budget], Adapter],
    backstage: Backstage,
    *,
    abilities: frozenset[Ability],
    unknown_payment: ProviderPaymentId,
    unknown_refund: ProviderRefundId,
) -> AsyncIterator[SimulatedProvider]:
    """Our adapter in its three moods in front of a simulator; its connections are closed at the end."""
    async with AsyncExitStack() as stack:
        provider, once, impatient = (connect(budget) for budget in (QUICK, replace(QUICK, retries_max=0), IMPATIENT))
        for adapter in (provider, once, impatient):
            stack.push_async_callback(adapter.aclose)
        yield SimulatedProvider(
            provider=provider,
            once=once,
            impatient=impatient,
            abilities=abilities,
            unknown_payment=unknown_payment,
            unknown_refund=unknown_refund,
            backstage=backstage,
        )
