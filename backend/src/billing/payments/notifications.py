"""What happens when a provider says that something happened to a payment: we go and look."""

from __future__ import annotations

from billing.kit.unit_of_work import Begin
from billing.payments.errors import PaymentUnderReview, ProviderFailure, ProviderMalformed
from billing.payments.ports import EventSubject, PaymentProvider, ProviderEvent
from billing.payments.provider_states import Applied, Outcome, ProviderStates
from billing.payments.read_back import ReadBack
from billing.payments.rules import LIVE_STATES, ProviderPaymentId
from billing.webhooks.ports import Handling, Verdict


class PaymentNotifications:
    """Handles the notifications of one provider; nothing that a notification says about money is believed."""

    def __init__(self, *, begin: Begin, provider: PaymentProvider, states: ProviderStates) -> None:
        self._provider = provider
        self._read_back = ReadBack(begin=begin, provider=provider, states=states)

    async def handle(self, body: str) -> Handling:
        """Reads back the payment that the notification names and books what the provider itself says about it."""
        try:
            event = self._provider.parse_event(body)
        except ProviderMalformed:
            return Handling(Verdict.IGNORED, "not a notification")
        if event.subject is None:
            return Handling(Verdict.IGNORED, "no use for this kind of event")
        try:
            payment_id = await self._payment_of(event)
            if payment_id is None:
                return Handling(Verdict.IGNORED, "names no payment")
            applied = await self._read_back.named(payment_id, with_all=event.subject is not EventSubject.PAYMENT)
        except ProviderFailure as failure:
            return Handling(Verdict.LATER, failure.code)
        except PaymentUnderReview as review:
            return Handling(Verdict.QUARANTINED, "cannot be fulfilled: " + ", ".join(review.differences))
        return _handling(event, applied)

    async def _payment_of(self, event: ProviderEvent) -> ProviderPaymentId | None:
        if event.payment_id is not None or event.refund_id is None:
            return event.payment_id
        return (await self._provider.get_refund(event.refund_id)).payment_id


def _handling(event: ProviderEvent, applied: Applied | None) -> Handling:
    if applied is None:
        return Handling(Verdict.LATER, "no payment of ours")
    if applied.outcome is Outcome.CONTRADICTED:
        return Handling(Verdict.QUARANTINED, "contradicts our record: " + ", ".join(applied.differences))
    if applied.outcome is Outcome.BEHIND:
        return Handling(Verdict.LATER, "the provider's lists do not say so yet")
    if event.claims_final and applied.payment.state in LIVE_STATES:
        # The news was quicker than the provider's own record.
        return Handling(Verdict.LATER, "the provider does not say so yet")
    return Handling(Verdict.DONE, applied.outcome.value)
