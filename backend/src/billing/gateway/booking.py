"""Books what a call came to: charge or free use, and the usage event, together or not at all."""

from __future__ import annotations

from billing.gateway.calls import Call, Funding, Outcome, cost_of, raw_cost_of
from billing.kit.clock import Clock
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.rules import Amounts
from billing.quotas.service import QuotaService
from billing.usage.rules import BillingSource, UsageEvent
from billing.usage.service import UsageService
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import WalletService

_TEXT_LENGTH_MAX = 200


class Booker:
    """Writes the end of an operation that delivered something. A participant in its caller's unit of work (G4)."""

    def __init__(self, *, clock: Clock, quotas: QuotaService, wallets: WalletService, usage: UsageService) -> None:
        self._clock = clock
        self._quotas = quotas
        self._wallets = wallets
        self._usage = usage

    async def book(self, uow: UnitOfWork, event: UsageEvent, free: Amounts) -> Money:
        """Charges the event to its source and records it; answers what the wallet has available then.

        The same event again changes nothing.

        Raises:
            OperationEnded: the operation was ended in another way before.
            ReservationEnded: the same of a free operation.
            UsageEventReused: the operation has an event that says something else.
        """
        if event.billing_source is BillingSource.LEAD_MAGNET:
            await self._quotas.finalise(uow, event.operation_id, free)
            balance = (await self._wallets.balance(uow, event.wallet_id)).available
        else:
            charge = await self._wallets.settle(uow, event.wallet_id, event.operation_id, event.charged)
            balance = charge.available
        await self._usage.record(uow, event)
        return balance

    async def give_back(
        self,
        uow: UnitOfWork,
        operation_id: OperationId,
        wallet_id: WalletId,
        source: BillingSource,
        *,
        reason: str = "nothing_delivered",
    ) -> Money:
        """Ends the operation uncharged; answers what the wallet has available then.

        Raises:
            OperationEnded: the operation was charged before.
            ReservationEnded: the use of a free operation was counted before.
        """
        if source is BillingSource.LEAD_MAGNET:
            await self._quotas.release(uow, operation_id)
        else:
            await self._wallets.release(uow, wallet_id, operation_id, reason=reason)
        return (await self._wallets.balance(uow, wallet_id)).available

    def event(self, call: Call, funding: Funding, outcome: Outcome) -> UsageEvent:
        """Everything that is to be said about the operation, as of now."""
        now = self._clock.now()
        raw_cost = raw_cost_of(outcome, funding)
        is_free = funding.source is BillingSource.LEAD_MAGNET
        return UsageEvent(
            operation_id=call.operation_id,
            account_id=call.principal.account_id,
            wallet_id=funding.wallet_id,
            person_id=call.principal.person_id,
            api_key_id=call.principal.api_key_id,
            billing_source=funding.source,
            door=call.request.door.value,
            provider=outcome.target.name,
            model_asked=call.request.model,
            model_priced=outcome.target.priced_as,
            model_used=storable(outcome.model_used),
            quantities=outcome.measured.quantities,
            raw_cost=raw_cost,
            charged=Money.zero(raw_cost.currency) if is_free else cost_of(outcome, funding),
            discount_percent=0 if is_free else funding.entitlement.discount_percent,
            rates=funding.rates[outcome.target.priced_as].to_json(),
            estimate_reason=outcome.measured.estimate_reason,
            latency_ms=int((now - call.began_at).total_seconds() * 1000),
            correlation_id=None if call.correlation_id is None else storable(call.correlation_id),
            occurred_at=now,
        )


def storable(text: str) -> str:
    """A stranger's word, short and printable, as the database can keep it."""
    return "".join(letter for letter in text if letter.isprintable())[:_TEXT_LENGTH_MAX]
