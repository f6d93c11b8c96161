"""What an automatic top-up buys, and what its end means for the next one."""

from __future__ import annotations

from datetime import timedelta

import structlog

from billing.kit.clock import Clock
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments import auto_topups_repository as repository
from billing.payments.auto_topups_repository import AutoTopup
from billing.payments.auto_topups_rules import OffReason, pace_after_end, pace_after_success
from billing.payments.purposes import Fulfilment
from billing.payments.records import GivenBack, Payment
from billing.wallets.alerts import EventKind
from billing.wallets.events import BillingEvents

_log = structlog.get_logger(__name__)


class AutoTopupFulfilment:
    """Gives the same credit as any top-up; each end sets the pace of the next one.

    The automatic top-up's row is locked before the wallet's, always.
    """

    def __init__(self, *, topups: Fulfilment, clock: Clock, events: BillingEvents, cool_off: timedelta) -> None:
        self._topups = topups
        self._clock = clock
        self._events = events
        self._cool_off = cool_off

    async def is_wanted(self, uow: UnitOfWork, payment: Payment) -> bool:
        """While it is on under the agreement that the payment was begun under; other terms are another agreement."""
        found = await repository.find(uow, payment.account_id)
        return found is not None and found.off_reason is None and found.agreement_id == payment.subject

    async def succeeded(self, uow: UnitOfWork, payment: Payment) -> None:
        """Credits the wallet; earlier declines are forgotten, and the pause begins."""
        found = await repository.find(uow, payment.account_id, for_update=True)
        if found is not None:
            pace = pace_after_success(found.pace, now=self._clock.now(), cool_off=self._cool_off)
            await repository.set_pace(uow, found.account_id, pace)
        await self._topups.succeeded(uow, payment)

    async def canceled(self, uow: UnitOfWork, payment: Payment) -> None:
        """Counts the decline against the method that was charged; after the third in a row it leaves off."""
        await self._topups.canceled(uow, payment)
        found = await repository.find(uow, payment.account_id, for_update=True)
        if found is None or found.method_id != payment.method_id:
            return  # its owner has chosen another method since; what the old one did is no decline of that
        now = self._clock.now()
        pace = pace_after_end(found.pace, payment.cancellation, now=now)
        await repository.set_pace(uow, found.account_id, pace)
        if pace.has_had_enough:
            await leave_off(uow, found, OffReason.DECLINED, clock=self._clock, events=self._events)

    async def unspent(self, uow: UnitOfWork, payment: Payment) -> Money:
        """As for any top-up."""
        return await self._topups.unspent(uow, payment)

    async def given_back(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """As for any top-up."""
        await self._topups.given_back(uow, payment, given)

    async def returned(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """As for any top-up."""
        await self._topups.returned(uow, payment, given)


async def leave_off(
    uow: UnitOfWork, auto_topup: AutoTopup, reason: OffReason, *, clock: Clock, events: BillingEvents
) -> None:
    """Turns it off because it cannot go on, and tells its owner; the second time changes nothing."""
    if not await repository.turn_off(uow, auto_topup.account_id, reason, at=clock.now()):
        return
    _log.warning("auto_topup_disabled", account_id=auto_topup.account_id, reason=reason.value)
    terms = auto_topup.terms
    payload = {
        "reason": reason.value,
        "threshold": terms.threshold.to_decimal(),
        "amount": terms.amount.to_decimal(),
        "currency": terms.amount.currency,
        "method_id": auto_topup.method_id,
    }
    await events.record(
        uow, auto_topup.wallet_id, EventKind.AUTO_TOPUP_DISABLED, subject=auto_topup.agreement_id, payload=payload
    )
