"""Asks the provider what has become of a payment, and books what it says: load, ask, apply."""

from __future__ import annotations

from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import repository
from billing.payments.errors import ProviderRejected
from billing.payments.ports import PaymentProvider, ProviderPayment
from billing.payments.provider_states import Applied, Outcome, Picture, ProviderStates
from billing.payments.records import Payment
from billing.payments.rules import Actor, PaymentId, PaymentState, ProviderPaymentId


class ReadBack:
    """The one way from the provider's word to our books, for everybody who asks; the network is never awaited inside a
    transaction.
    """

    def __init__(self, *, begin: Begin, provider: PaymentProvider, states: ProviderStates) -> None:
        self._begin = begin
        self._provider = provider
        self._states = states

    async def payment(self, payment: Payment, *, with_all: bool = False) -> Applied:
        """Asks about a payment that the provider has named; `with_all` also about refunds and disputes in any case.

        Outcome `BEHIND` means that the provider's lists lag behind the payment, `CONTRADICTED` that nothing was booked
        because what it says does not match.

        Raises:
            ProviderFailure: it could not be asked.
        """
        assert payment.provider_payment_id is not None, "the provider has named the payment"
        seen = await self._provider.get_payment(payment.provider_payment_id)
        return await self._captured(await self._booked(payment.id, seen, with_all=with_all))

    async def named(self, provider_payment_id: ProviderPaymentId, *, with_all: bool = False) -> Applied | None:
        """The same for a payment that only the provider's id names; None where it is none of ours.

        Raises:
            ProviderFailure: it could not be asked.
        """
        seen = await self._provider.get_payment(provider_payment_id)
        async with self._begin() as uow:
            payment_id = await self._ours(uow, seen)
            if payment_id is None:
                return None
            # One transaction finds it and books what there is to book, which mostly is all.
            applied = None if with_all else await self._apply(uow, payment_id, Picture(seen))
        if applied is None or applied.outcome is Outcome.BEHIND:
            applied = await self._booked_with_all(payment_id, seen)
        return await self._captured(applied)

    async def _captured(self, applied: Applied) -> Applied:
        """Takes what the customer's bank has reserved for a payment of ours; without that, it would be given back.

        We ask every provider to take money at once, but a shop can be set up otherwise. The key is the payment's own,
        and what is taken already cannot be taken twice.
        """
        payment = applied.payment
        if applied.outcome is Outcome.CONTRADICTED or payment.state is not PaymentState.WAITING_FOR_CAPTURE:
            return applied
        assert payment.provider_payment_id is not None, "the provider has reserved its money"
        try:
            seen = await self._provider.capture(
                payment.provider_payment_id, payment.amount, key=f"capture-{payment.id}"
            )
        except ProviderRejected:
            # It was taken or given back meanwhile, or is not ours to take: its own record says which.
            seen = await self._provider.get_payment(payment.provider_payment_id)
        async with self._begin() as uow:
            return await self._apply(uow, payment.id, Picture(seen))

    async def _booked(self, payment_id: PaymentId, seen: ProviderPayment, *, with_all: bool) -> Applied:
        if not with_all:
            async with self._begin() as uow:
                applied = await self._apply(uow, payment_id, Picture(seen))
            if applied.outcome is not Outcome.BEHIND:
                return applied
        return await self._booked_with_all(payment_id, seen)

    async def _booked_with_all(self, payment_id: PaymentId, seen: ProviderPayment) -> Applied:
        refunds = await self._provider.refunds_of(seen.id)
        disputes = await self._provider.disputes_of(seen.id)
        async with self._begin() as uow:
            return await self._apply(uow, payment_id, Picture(seen, refunds, disputes))

    async def _apply(self, uow: UnitOfWork, payment_id: PaymentId, picture: Picture) -> Applied:
        return await self._states.apply_provider_state(uow, payment_id, picture, actor=Actor.READ_BACK)

    async def _ours(self, uow: UnitOfWork, seen: ProviderPayment) -> PaymentId | None:
        """Our payment: by the provider's id, or by ours where the answer to its creation never reached us."""
        known = await repository.find_by_provider_id(uow, self._provider.name, seen.id)
        if known is not None or seen.payment_id is None:
            return known
        named = await repository.find(uow, seen.payment_id)
        return named.id if named is not None and named.provider == self._provider.name else None
