"""What the provider says about a payment becomes our record of it, and its money becomes credit: once, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import structlog

from billing.kit.clock import Clock
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import provider_account
from billing.payments import repository
from billing.payments.ports import ProviderPayment
from billing.payments.repository import Payment
from billing.payments.rules import (
    Actor,
    Bond,
    Cancellation,
    PaymentId,
    PaymentState,
    ProviderStatus,
    differences,
    may_move,
    state_of,
)
from billing.wallets.models import LotSource
from billing.wallets.service import WalletService

_log = structlog.get_logger(__name__)

_NOT_PAID = ("paid",)


class Outcome(StrEnum):
    """What applying the provider's state did."""

    CREDITED = "credited"
    MOVED = "moved"
    UNCHANGED = "unchanged"
    CONTRADICTED = "contradicted"
    """The provider's object does not match our record, or contradicts itself: nothing moved, nothing was credited."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The payment afterwards, what happened, and for a contradiction the names of what did not agree."""

    payment: Payment
    outcome: Outcome
    differences: tuple[str, ...] = ()


class ProviderStates:
    """Webhook, reconciliation and return page all pass through here, so that a payment is credited exactly once."""

    def __init__(self, *, wallets: WalletService, clock: Clock, topup_ttl_days: int) -> None:
        self._wallets = wallets
        self._clock = clock
        self._topup_ttl_days = topup_ttl_days

    async def apply_provider_state(
        self, uow: UnitOfWork, payment_id: PaymentId, seen: ProviderPayment, *, actor: Actor
    ) -> Applied:
        """Brings our record to what the provider said, in the caller's transaction and under the payment's row lock.

        Callers that arrive together are served one after the other; each later one finds the payment succeeded and
        changes nothing. A state that came late (a slow answer, an old notification) is refused by the rules.
        """
        payment = await repository.find(uow, payment_id, for_update=True)
        assert payment is not None, "payments are never deleted"
        if disagreement := _disagreement(payment, seen):
            return await self._contradict(uow, payment, disagreement)
        after = state_of(seen.status)
        if not may_move(payment.state, after, actor=actor):
            return Applied(await self._confirm(uow, payment, seen), Outcome.UNCHANGED)
        if after is PaymentState.SUCCEEDED:
            return await self._succeed(uow, payment, seen)
        cancellation = (seen.cancellation or Cancellation.WITHDRAWN) if after is PaymentState.CANCELED else None
        moved = await self._write(uow, payment, seen, state=after, cancellation=cancellation)
        return Applied(moved, Outcome.MOVED)

    async def _succeed(self, uow: UnitOfWork, payment: Payment, seen: ProviderPayment) -> Applied:
        now = self._clock.now()
        succeeded = await self._write(
            uow, payment, seen, state=PaymentState.SUCCEEDED, cancellation=None, succeeded_at=now
        )
        wallet_id = await self._wallets.of_account(uow, payment.account_id, payment.amount.currency)
        expires_at = now + timedelta(days=self._topup_ttl_days) if self._topup_ttl_days else None
        await self._wallets.credit(
            uow,
            wallet_id,
            payment.amount,
            source=LotSource.TOPUP,
            transfer_id=transfer_id_of(payment.id),
            counter_account=provider_account(payment.provider),
            origin=payment.id,
            expires_at=expires_at,
        )
        return Applied(succeeded, Outcome.CREDITED)

    async def _contradict(self, uow: UnitOfWork, payment: Payment, disagreement: tuple[str, ...]) -> Applied:
        _log.error("payment_contradicted", payment_id=payment.id, differences=disagreement)
        written = await repository.update_payment(
            uow, payment.id, at=self._clock.now(), contradiction=",".join(disagreement)
        )
        return Applied(written, Outcome.CONTRADICTED, disagreement)

    async def _confirm(self, uow: UnitOfWork, payment: Payment, seen: ProviderPayment) -> Payment:
        """An agreeing object clears an earlier contradiction, unless it says nothing about a payment that is over."""
        if payment.contradiction is None or state_of(seen.status) is not payment.state:
            return payment
        return await repository.update_payment(uow, payment.id, at=self._clock.now(), contradiction=None)

    async def _write(self, uow: UnitOfWork, payment: Payment, seen: ProviderPayment, **changes: Any) -> Payment:
        return await repository.update_payment(
            uow,
            payment.id,
            at=self._clock.now(),
            provider_payment_id=seen.id,
            confirmation_url=seen.confirmation_url,
            contradiction=None,
            **changes,
        )


def transfer_id_of(payment_id: PaymentId) -> str:
    """The one transfer that can ever credit this payment."""
    return f"credit:{payment_id}"


def _disagreement(payment: Payment, seen: ProviderPayment) -> tuple[str, ...]:
    theirs = Bond(
        provider_payment_id=seen.id,
        shop_id=seen.shop_id,
        is_test=seen.is_test,
        amount=seen.amount,
        payment_id=seen.payment_id,
        account_id=seen.account_id,
        purpose=seen.purpose,
    )
    unequal = differences(payment.bond(seen.id), theirs)
    is_self_contradicting = seen.status is ProviderStatus.SUCCEEDED and not seen.is_paid
    return unequal + _NOT_PAID if is_self_contradicting else unequal
