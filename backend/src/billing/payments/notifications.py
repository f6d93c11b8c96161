"""What happens when a provider says that something happened to a payment: we go and look."""

from __future__ import annotations

import structlog

from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import repository
from billing.payments.errors import ProviderFailure, ProviderMalformed
from billing.payments.ports import EventSubject, PaymentProvider, ProviderPayment
from billing.payments.provider_states import Outcome, ProviderStates
from billing.payments.rules import FINAL_STATUSES, Actor, PaymentId
from billing.webhooks.ports import Handling, Verdict

_log = structlog.get_logger(__name__)


class PaymentNotifications:
    """Handles the notifications of one provider; nothing that a notification says about money is believed."""

    def __init__(self, *, begin: Begin, provider: PaymentProvider, states: ProviderStates) -> None:
        self._begin = begin
        self._provider = provider
        self._states = states

    async def handle(self, body: str) -> Handling:
        """Reads back the payment that the notification names and books what the provider itself says about it."""
        try:
            event = self._provider.parse_event(body)
        except ProviderMalformed:
            return Handling(Verdict.IGNORED, "not a notification")
        if event.subject is not EventSubject.PAYMENT or event.payment_id is None:
            return Handling(Verdict.IGNORED, "no use for this kind of event")
        try:
            seen = await self._provider.get_payment(event.payment_id)
        except ProviderFailure as failure:
            return Handling(Verdict.LATER, failure.code)
        handling = await self._book(seen)
        if handling.verdict is Verdict.DONE and event.claims_final and seen.status not in FINAL_STATUSES:
            # The news was quicker than the provider's own record.
            return Handling(Verdict.LATER, "the provider does not say so yet")
        return handling

    async def _book(self, seen: ProviderPayment) -> Handling:
        async with self._begin() as uow:
            payment_id = await self._payment_of(uow, seen)
            if payment_id is None:
                return Handling(Verdict.LATER, "no payment of ours")
            applied = await self._states.apply_provider_state(uow, payment_id, seen, actor=Actor.READ_BACK)
        if applied.outcome is Outcome.CONTRADICTED:
            return Handling(Verdict.QUARANTINED, "contradicts our record: " + ", ".join(applied.differences))
        return Handling(Verdict.DONE, applied.outcome.value)

    async def _payment_of(self, uow: UnitOfWork, seen: ProviderPayment) -> PaymentId | None:
        """Our payment: by the provider's id, or by ours where the answer to its creation never reached us."""
        known = await repository.find_by_provider_id(uow, self._provider.name, seen.id)
        if known is not None or seen.payment_id is None:
            return known
        named = await repository.find(uow, seen.payment_id)
        return named.id if named is not None and named.provider == self._provider.name else None
