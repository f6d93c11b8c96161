"""What the provider says about disputes becomes our record of them, and puts their money out of reach or back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import DISPUTES, SystemAccount, provider_account
from billing.ledger.postings import Entry, Transfer, TransferKind
from billing.ledger.service import LedgerService
from billing.payments import disputes_repository, repository
from billing.payments.news import PaymentNews
from billing.payments.ports import ProviderDispute
from billing.payments.purposes import Purposes
from billing.payments.records import Dispute, GivenBack, Payment
from billing.payments.rules import DisputeId, DisputeStatus, is_all_gone, is_later_dispute_status


class DisputeStates:
    """Participants in the transaction that holds the payment's lock.

    While a dispute is open its amount stands on the disputes account; lost, it goes on to the provider for good; won,
    it returns. A dispute that is first seen ended has been opened too, so that the books are the same either way.
    """

    def __init__(self, *, purposes: Purposes, ledger: LedgerService, news: PaymentNews, clock: Clock, ids: Ids) -> None:
        self._purposes = purposes
        self._ledger = ledger
        self._news = news
        self._clock = clock
        self._ids = ids

    def disagreement(self, payment: Payment, seen: Collection[ProviderDispute]) -> bool:
        """One of the objects cannot be a dispute about this payment."""
        return any(
            one.payment_id != payment.provider_payment_id
            or one.amount.currency != payment.amount.currency
            or not 0 < one.amount.micros <= payment.amount.micros
            for one in seen
        )

    async def apply(self, uow: UnitOfWork, payment: Payment, seen: Collection[ProviderDispute]) -> Payment:
        """Brings our disputes to what the provider said; a state that came late changes nothing.

        Answers the payment with `disputed_at` as it is then; its own state is the caller's to write.
        """
        known = {one.provider_dispute_id: one for one in await disputes_repository.disputes_of(uow, payment.id)}
        for one in sorted(seen, key=lambda one: one.id):
            dispute = known.get(one.id) or await self._opened(uow, payment, one)
            if is_later_dispute_status(dispute.state, one.status):
                dispute = await self._ended(uow, payment, dispute, one.status)
            known[one.id] = dispute
        standing = [one.opened_at for one in known.values() if one.state is not DisputeStatus.WON]
        return await repository.update_payment(
            uow, payment.id, at=self._clock.now(), disputed_at=min(standing, default=None)
        )

    async def _opened(self, uow: UnitOfWork, payment: Payment, seen: ProviderDispute) -> Dispute:
        dispute = Dispute(
            id=DisputeId(self._ids.new("dsp")),
            payment_id=payment.id,
            account_id=payment.account_id,
            provider=payment.provider,
            provider_dispute_id=seen.id,
            amount=seen.amount,
            state=DisputeStatus.OPEN,
            opened_at=self._clock.now(),
        )
        await disputes_repository.insert_dispute(uow, dispute)
        is_all = await self._is_all_gone(uow, payment)
        given = GivenBack(dispute.amount, DISPUTES, f"dispute:{dispute.id}", is_all)
        await self._purposes[payment.purpose].given_back(uow, payment, given)
        await self._news.disputed(uow, payment, dispute)
        return dispute

    async def _ended(self, uow: UnitOfWork, payment: Payment, dispute: Dispute, status: DisputeStatus) -> Dispute:
        clearing = provider_account(payment.provider)
        if status is DisputeStatus.LOST:
            await self._post(uow, dispute, "dispute_lost", giver=DISPUTES, taker=clearing)
        elif dispute.state is DisputeStatus.LOST:
            # The bank has thought better of it.
            await self._post(uow, dispute, "dispute_reinstated", giver=clearing, taker=DISPUTES)
        ended = replace(dispute, state=status)
        await disputes_repository.update_dispute(uow, dispute.id, status, at=self._clock.now())
        if status is DisputeStatus.WON:
            is_all = await self._is_all_gone(uow, payment)
            given = GivenBack(dispute.amount, DISPUTES, f"dispute_won:{dispute.id}", is_all)
            await self._purposes[payment.purpose].returned(uow, payment, given)
        await self._news.disputed(uow, payment, ended)
        return ended

    async def _is_all_gone(self, uow: UnitOfWork, payment: Payment) -> bool:
        """As the disputes stand in the database by now, together with what refunds have given back."""
        disputed = await disputes_repository.standing_of(uow, payment)
        return is_all_gone(payment.amount, refunded=payment.refunded, disputed=disputed)

    async def _post(
        self, uow: UnitOfWork, dispute: Dispute, name: str, *, giver: SystemAccount, taker: SystemAccount
    ) -> None:
        micros, currency = dispute.amount.micros, dispute.amount.currency
        transfer = Transfer(
            transfer_id=f"{name}:{dispute.id}",
            kind=TransferKind.DISPUTE,
            occurred_at=self._clock.now(),
            reference=dispute.payment_id,
            entries=(Entry(giver, -micros, currency), Entry(taker, micros, currency)),
        )
        is_new = await self._ledger.post(uow, transfer)
        assert is_new, "a dispute only goes forward, under its payment's lock"
