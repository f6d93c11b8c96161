"""Plans that pay for themselves: one charge for each period, tried again when it is declined, and no more than that."""

from __future__ import annotations

from datetime import timedelta

import structlog

from billing.customers.rules import AccountId
from billing.kit.clock import Clock
from billing.kit.idempotency import digest_of
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments.beginning import Checkout
from billing.payments.records import KeyClaim, Payment, Wish
from billing.payments.rules import SUBSCRIPTION
from billing.subscriptions import repository
from billing.subscriptions.granting import PlanFulfilment
from billing.subscriptions.ports import SavedMethods
from billing.subscriptions.repository import Renewal
from billing.subscriptions.rules import (
    RENEWS_AFTER_MAX,
    RENEWS_BEFORE,
    RenewalId,
    RenewalStatus,
    Subject,
    last_paid,
)
from billing.subscriptions.service import RETURN_PAGE
from billing.subscriptions.telling import Telling
from billing.wallets.alerts import EventKind

_log = structlog.get_logger(__name__)

JOB = "subscriptions.charge_renewal"
_OPERATION = "plans.renew"
_ROUND_MAX = 100
LEASE = timedelta(minutes=10)
"""So long a worker has a renewal for itself; after that whoever comes asks again under the same key."""


class _OutdatedError(Exception):
    """Nobody wants any more what was decided a moment ago; nothing is written, and nobody charged."""


class Renewals:
    """What the scheduler does for plans. Several at once do each thing once: periods are claimed, renewals leased."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        job_queue: JobQueue,
        checkout: Checkout,
        fulfilment: PlanFulfilment,
        methods: SavedMethods,
        telling: Telling,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._job_queue = job_queue
        self._checkout = checkout
        self._fulfilment = fulfilment
        self._methods = methods
        self._telling = telling

    async def enqueue_due(self) -> int:
        """Claims the periods that come next, and puts what is due into the queue of those who wait for providers; says
        how much that was.
        """
        now = self._clock.now()
        async with self._begin() as uow:
            accounts = await repository.accounts_to_renew(
                uow, since=now - RENEWS_AFTER_MAX, before=now + RENEWS_BEFORE, limit=_ROUND_MAX
            )
        for account_id in accounts:
            await self._claim(account_id)
        async with self._begin() as uow:
            due = await repository.lease_due_renewals(uow, now=now, until=now + LEASE, limit=_ROUND_MAX)
            for renewal in due:
                await self._job_queue.enqueue(
                    uow,
                    JOB,
                    Queue.PAYMENT_SYNC,
                    lock=f"plan of {renewal.account_id}",
                    renewal_id=renewal.id,
                    attempt=str(renewal.attempt),
                )
        return len(due)

    async def charge(self, renewal_id: RenewalId, attempt: int) -> None:
        """Charges one attempt at a renewal, or asks what became of it: the same attempt is the same payment.

        Raises:
            BillingError: the provider refused, or nobody knows; a decline was dealt with where it was seen, and what is
                uncertain comes again when the lease has run out.
        """
        async with self._begin() as uow:
            wish = await self._wish(uow, renewal_id, attempt)
        if wish is None:
            return

        async def require_wanted(uow: UnitOfWork, payment: Payment) -> None:
            """Whoever cancels or takes the method back comes before the payment's row, or after it; never between."""
            del payment
            if await self._wish(uow, renewal_id, attempt) != wish:
                raise _OutdatedError

        key = KeyClaim(_OPERATION, f"{renewal_id}/{attempt}", digest_of({"subject": wish.subject or ""}))
        try:
            await self._checkout.begin(wish, key=key, when_new=require_wanted)
        except _OutdatedError:
            _log.info("renewal_outdated", renewal_id=renewal_id)

    async def give_credit(self) -> int:
        """Puts the included credit of periods that have begun into their wallets; says how many accounts had some."""
        now = self._clock.now()
        async with self._begin() as uow:
            accounts = await repository.accounts_with_credit_due(uow, now, limit=_ROUND_MAX)
        for account_id in accounts:
            async with self._begin() as uow:
                await repository.lock_subscription(uow, account_id, now)
                for grant in await repository.grants_of(uow, account_id):
                    if grant.ended_at is None:
                        await self._fulfilment.give_credit(uow, account_id, grant)
        return len(accounts)

    async def _claim(self, account_id: AccountId) -> None:
        """Makes the next period's renewal, unless somebody else has, or nobody wants it any more."""
        now = self._clock.now()
        async with self._begin() as uow:
            wanted = await repository.lock_subscription(uow, account_id, now)
            last = last_paid(await repository.grants_of(uow, account_id), since=now - RENEWS_AFTER_MAX)
            if last is None or not wanted.will_renew or last.span.ends_at > now + RENEWS_BEFORE:
                return
            renewal = Renewal(
                id=RenewalId(self._ids.new("rnw")),
                account_id=account_id,
                plan_id=last.plan.id,
                starts_at=last.span.ends_at,
                attempt=1,
                status=RenewalStatus.OPEN,
                due_at=now,
            )
            await repository.insert_renewal(uow, renewal, at=now)

    async def _wish(self, uow: UnitOfWork, renewal_id: RenewalId, attempt: int) -> Wish | None:
        """What is to be charged for this attempt; None where it is not needed, or not possible, any more."""
        now = self._clock.now()
        account_id = await repository.account_of_renewal(uow, renewal_id)
        wanted = await repository.lock_subscription(uow, account_id, now)
        renewal = await repository.lock_renewal(uow, renewal_id)
        assert renewal is not None, "renewals are never deleted"
        if renewal.status is not RenewalStatus.OPEN or renewal.attempt != attempt:
            return None
        last = last_paid(await repository.grants_of(uow, account_id), since=now - RENEWS_AFTER_MAX)
        if not wanted.will_renew or last is None or last.span.ends_at != renewal.starts_at:
            await self._end(uow, renewal, RenewalStatus.SUPERSEDED)
            return None
        method = None
        if wanted.method_id is not None:
            method = await self._methods.usable(uow, account_id, wanted.method_id)
        if method is None:
            await self._end(uow, renewal, RenewalStatus.GIVEN_UP)
            await self._telling.tell_of_renewal(uow, EventKind.SUBSCRIPTION_RENEWAL_FAILED, renewal)
            return None
        return Wish(
            account_id=account_id,
            purpose=SUBSCRIPTION,
            amount=last.plan.terms.price,
            return_page=RETURN_PAGE,
            subject=str(Subject(renewal.plan_id, renewal_id=renewal.id, attempt=renewal.attempt)),
            method=method,
        )

    async def _end(self, uow: UnitOfWork, renewal: Renewal, status: RenewalStatus) -> None:
        await repository.write_renewal(uow, renewal.id, status=status, attempt=renewal.attempt, due_at=None)
