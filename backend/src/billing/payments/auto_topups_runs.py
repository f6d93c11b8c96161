"""Begins automatic top-ups: a tick finds the wallets that are below their threshold, a job for each charges once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy.exc import IntegrityError

from billing.customers.rules import AccountId
from billing.customers.service import CustomersService
from billing.kit.clock import Clock
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import auto_topups_repository as repository
from billing.payments import methods_repository
from billing.payments import repository as payments_repository
from billing.payments.auto_topups_fulfilment import leave_off
from billing.payments.auto_topups_repository import AutoTopup
from billing.payments.auto_topups_rules import OffReason, has_room, pace_after_begin
from billing.payments.beginning import Checkout
from billing.payments.errors import BillingContactRequired, ProviderRejected
from billing.payments.methods_repository import PaymentMethod
from billing.payments.ports import PaymentProvider
from billing.payments.records import Payment, SavedMethod, Wish
from billing.payments.rules import AUTO_TOPUP, TopupOffer
from billing.payments.service import return_path
from billing.wallets.caps import CapScope, running_period
from billing.wallets.events import BillingEvents

_log = structlog.get_logger(__name__)

JOB = "payments.auto_topup"
BEGUN_AT_ONCE = 200
LEASE = timedelta(minutes=5)
"""So long a job has to begin the payment; after that the next tick gives the wallet to another one."""


class _OutdatedError(Exception):
    """Something has changed since the charge was decided on; nothing is written."""


@dataclass(frozen=True, slots=True)
class _Decision:
    """A charge that was decided on while this stood in the row."""

    auto_topup: AutoTopup
    method: PaymentMethod


class AutoTopupRuns:
    """Charges saved methods for wallets that are low, never on anybody's request.

    Three walls stand before a second charge: the lease of the row that the tick takes, the row's lock under which the
    payment is written, and the partial unique index over payments that are under way.
    """

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        job_queue: JobQueue,
        customers: CustomersService,
        checkout: Checkout,
        provider: PaymentProvider | None,
        events: BillingEvents,
        offer: TopupOffer,
        cool_off: timedelta,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._job_queue = job_queue
        self._customers = customers
        self._checkout = checkout
        self._provider = provider
        self._events = events
        self._offer = offer
        self._cool_off = cool_off

    async def enqueue_due(self) -> int:
        """Enqueues a job for each wallet that is below its threshold and may be topped up, 200 at the most.

        Says how many; none where nobody collects.
        """
        provider, now = self._provider, self._clock.now()
        if provider is None:
            return 0
        async with self._begin() as uow:
            due = await repository.lease_due(
                uow, provider=provider.name, shop_id=provider.shop_id, now=now, lease=LEASE, limit=BEGUN_AT_ONCE
            )
            for account_id in due:
                await self._job_queue.enqueue(
                    uow,
                    JOB,
                    Queue.PAYMENT_SYNC,
                    lock=f"auto_topup:{account_id}",
                    account_id=account_id,
                    leased_until=(now + LEASE).isoformat(),
                )
        return len(due)

    async def run(self, account_id: AccountId, leased_until: datetime) -> None:
        """Charges the account once for this lease, or finishes what an earlier attempt has begun.

        Raises:
            ProviderFailure: the provider could not be asked; the payment keeps its key, and checks go on with it.
            PaymentUnderReview: the provider charged something else than it was asked to.
        """
        async with self._begin() as uow:
            left_behind = await self._under_way(uow, account_id)
            decision = None if left_behind is not None else await self._decide(uow, account_id, leased_until)
        if left_behind is not None:
            await self._checkout.finish(left_behind)
        elif decision is not None:
            await self._charge(decision)

    async def _under_way(self, uow: UnitOfWork, account_id: AccountId) -> Payment | None:
        payment_id = await repository.in_flight(uow, account_id, self._offer.currency)
        return None if payment_id is None else await payments_repository.find(uow, payment_id)

    async def _decide(self, uow: UnitOfWork, account_id: AccountId, leased_until: datetime) -> _Decision | None:
        """The charge to make for this lease; None where there is none (any more)."""
        found = await repository.find(uow, account_id, for_update=True)
        if found is None or found.off_reason is not None or found.pace.not_before != leased_until:
            return None
        account = await self._customers.account(uow, account_id)
        method = await methods_repository.find(uow, account_id, found.method_id)
        assert method is not None, "methods are never deleted"
        assert method.removed_at is None, "whoever removes a method turns off what pays with it"
        obstacle = _obstacle(found, is_closed=account.closed_at is not None, offer=self._offer)
        if obstacle is not None:
            await leave_off(uow, found, obstacle, clock=self._clock, events=self._events)
            return None
        if not await repository.is_below(uow, account_id):
            return None
        month = running_period(CapScope.MONTH, self._clock.now(), account.time_zone)
        charged = await repository.charged_in(uow, account_id, found.terms.amount.currency, month)
        if not has_room(found.terms, charged=charged):
            await repository.set_limited(uow, account_id, month.ends_at)
            return None
        return _Decision(found, method)

    async def _charge(self, decision: _Decision) -> None:
        auto_topup, method = decision.auto_topup, decision.method
        wish = Wish(
            account_id=auto_topup.account_id,
            purpose=AUTO_TOPUP,
            amount=auto_topup.terms.amount,
            return_page=return_path("{payment_id}"),
            subject=auto_topup.agreement_id,
            method=SavedMethod(method.id, method.ref),
        )

        async def take_claim(uow: UnitOfWork, payment: Payment) -> None:
            del payment
            if await repository.find(uow, auto_topup.account_id, for_update=True) != auto_topup:
                raise _OutdatedError
            pace = pace_after_begin(auto_topup.pace, now=self._clock.now(), cool_off=self._cool_off)
            await repository.set_pace(uow, auto_topup.account_id, pace)

        try:
            await self._checkout.begin(wish, key=None, when_new=take_claim)
        except _OutdatedError:
            _log.info("auto_topup_outdated", account_id=auto_topup.account_id)
        except ProviderRejected:
            _log.warning("auto_topup_rejected", account_id=auto_topup.account_id)  # counted as a decline where it ended
        except BillingContactRequired:
            async with self._begin() as uow:
                await leave_off(uow, auto_topup, OffReason.CONTACT_MISSING, clock=self._clock, events=self._events)
        except IntegrityError as error:
            if repository.CLAIM_NAME not in str(error.orig):
                raise
            _log.info("auto_topup_under_way", account_id=auto_topup.account_id)


def _obstacle(auto_topup: AutoTopup, *, is_closed: bool, offer: TopupOffer) -> OffReason | None:
    """Why it cannot go on, whatever the wallet holds; None where it can."""
    if is_closed:
        return OffReason.ACCOUNT_CLOSED
    return None if auto_topup.terms.amount in offer.presets else OffReason.NOT_OFFERED
