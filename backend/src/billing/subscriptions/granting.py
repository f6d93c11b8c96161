"""What a plan payment buys: one period, once; and what becomes of it when the money goes back."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import structlog

from billing.customers.rules import AccountId
from billing.kit.clock import Clock
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import PLAN_SALES, PROMOTIONS, SystemAccount, provider_account
from billing.ledger.postings import Entry, Transfer, TransferKind
from billing.ledger.service import LedgerService
from billing.payments.errors import PaymentUnderReview
from billing.payments.records import GivenBack, Payment
from billing.subscriptions import repository
from billing.subscriptions.ports import SavedMethods
from billing.subscriptions.repository import Subscription
from billing.subscriptions.rules import (
    RENEWS_AFTER_MAX,
    EndReason,
    Grant,
    Plan,
    RenewalStatus,
    Subject,
    last_paid,
    next_span,
    parse_subject,
    retry_wait,
)
from billing.subscriptions.telling import Telling
from billing.wallets.alerts import EventKind
from billing.wallets.models import LotSource
from billing.wallets.returns import WalletReturns
from billing.wallets.service import WalletService

_log = structlog.get_logger(__name__)


class PlanFulfilment:
    """Turns the money of plan payments into paid periods. A participant in the unit of work of payments.

    The account's subscription is locked before its periods are read, so that payments which arrive together are given
    one period behind the other.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        ledger: LedgerService,
        wallets: WalletService,
        returns: WalletReturns,
        methods: SavedMethods,
        telling: Telling,
    ) -> None:
        self._clock = clock
        self._ledger = ledger
        self._wallets = wallets
        self._returns = returns
        self._methods = methods
        self._telling = telling

    async def is_wanted(self, uow: UnitOfWork, payment: Payment) -> bool:
        """A purchase always; an automatic payment while its renewal is open, at this attempt and with this method, and
        what is paid still ends where its period begins.
        """
        subject = parse_subject(payment.subject)
        if subject is None or subject.renewal_id is None:
            return True
        renewal = await repository.find_renewal(uow, subject.renewal_id)
        if renewal is None or (renewal.status, renewal.attempt) != (RenewalStatus.OPEN, subject.attempt):
            return False
        wanted = await repository.find_subscription(uow, payment.account_id)
        grants = await repository.grants_of(uow, payment.account_id)
        last = last_paid(grants, since=self._clock.now() - RENEWS_AFTER_MAX)
        is_next = last is not None and last.span.ends_at == renewal.starts_at
        return is_next and wanted.will_renew and wanted.method_id == payment.method_id

    async def succeeded(self, uow: UnitOfWork, payment: Payment) -> None:
        """Grants the next period of the plan that the payment names, whether that plan is still on offer or not.

        Raises:
            PaymentUnderReview: it names no plan, or was paid for at another price; nothing was granted.
        """
        now = self._clock.now()
        wanted = await repository.lock_subscription(uow, payment.account_id, now)
        subject, plan = await self._checked(uow, payment)
        if await repository.grant_of_payment(uow, payment.id) is not None:
            return
        grants = await repository.grants_of(uow, payment.account_id)
        grant = Grant(payment.id, plan, next_span(grants, plan.terms.interval, now))
        await repository.insert_grant(uow, payment.account_id, grant, at=now)
        await self._sell(uow, payment, payment.amount, provider_account(payment.provider), f"sale:{payment.id}")
        await self.give_credit(uow, payment.account_id, grant)
        await self._remember(uow, payment, subject, wanted)
        news = EventKind.SUBSCRIPTION_RENEWED if subject.renewal_id is not None else EventKind.SUBSCRIPTION_PAID
        await self._telling.tell(uow, payment.account_id, news, grant, subject=payment.id)

    async def canceled(self, uow: UnitOfWork, payment: Payment) -> None:
        """A purchase is just not made; an automatic payment is tried again later, or no more."""
        subject = parse_subject(payment.subject)
        if subject is None or subject.renewal_id is None:
            return
        renewal = await repository.lock_renewal(uow, subject.renewal_id)
        if renewal is None or renewal.status is not RenewalStatus.OPEN or renewal.attempt != subject.attempt:
            return
        wait = retry_wait(renewal.attempt)
        if wait is not None:
            due_at = self._clock.now() + wait
            await repository.write_renewal(
                uow, renewal.id, status=RenewalStatus.OPEN, attempt=renewal.attempt + 1, due_at=due_at
            )
            return
        await repository.write_renewal(
            uow, renewal.id, status=RenewalStatus.GIVEN_UP, attempt=renewal.attempt, due_at=None
        )
        await self._telling.tell_of_renewal(uow, EventKind.SUBSCRIPTION_RENEWAL_FAILED, renewal)

    async def unspent(self, uow: UnitOfWork, payment: Payment) -> Money:
        """All of it until its period begins; of a period that has begun, nothing without an operator's reason."""
        grant = await repository.grant_of_payment(uow, payment.id)
        is_ahead = grant is not None and grant.is_ahead_at(self._clock.now())
        return payment.amount - payment.refunded if is_ahead else Money.zero(payment.amount.currency)

    async def given_back(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """Takes the amount out of what plans were sold for; once nothing of the payment is left, its period ends."""
        await self._sell(uow, payment, -given.amount, SystemAccount(given.account), given.transfer_id)
        if not given.is_all:
            return
        now = self._clock.now()
        wanted = await repository.lock_subscription(uow, payment.account_id, now)
        grant = await repository.grant_of_payment(uow, payment.id)
        if grant is None or grant.ended_at is not None or grant.span.ends_at <= now:
            return
        await self.end(uow, payment.account_id, grant, EndReason.REFUNDED)
        await repository.write_subscription(uow, replace(wanted, will_renew=False))
        await self._telling.tell(
            uow, payment.account_id, EventKind.SUBSCRIPTION_ENDED, grant, subject=given.transfer_id
        )

    async def returned(self, uow: UnitOfWork, payment: Payment, given: GivenBack) -> None:
        """Money is ours again: the rest of the period that ended for it runs again, if nothing took its place.

        Not while refunds and disputes still have all of the payment in spite of it.
        """
        await self._sell(uow, payment, given.amount, SystemAccount(given.account), given.transfer_id)
        if given.is_all:
            return
        now = self._clock.now()
        await repository.lock_subscription(uow, payment.account_id, now)
        grants = await repository.grants_of(uow, payment.account_id)
        grant = next((one for one in grants if one.payment_id == payment.id), None)
        if grant is None or grant.end_reason is not EndReason.REFUNDED or grant.span.ends_at <= now:
            return
        if any(grant.span.overlaps(other.span) for other in grants if other.ended_at is None):
            # Two periods at once would be one lost. Which one the customer wants is for a person to ask.
            _log.error("plan_period_not_restored", payment_id=payment.id)
            return
        await repository.restore_grant(uow, payment.id)
        taken = Money(grant.credit_taken_micros, payment.amount.currency)
        await self._include(uow, payment.account_id, grant, taken, f"plan_credit_again:{given.transfer_id}")
        await self._telling.tell(
            uow, payment.account_id, EventKind.SUBSCRIPTION_RESTORED, grant, subject=given.transfer_id
        )

    async def give_credit(self, uow: UnitOfWork, account_id: AccountId, grant: Grant) -> None:
        """Puts the period's included credit into the wallet once the period has begun; the second time does nothing.

        It expires with the period. The caller holds the account's lock.
        """
        now = self._clock.now()
        if grant.credit_given_at is not None or not grant.span.starts_at <= now:
            return
        credit = grant.plan.terms.included_credit
        if grant.runs_at(now):
            await self._include(uow, account_id, grant, credit, f"plan_credit:{grant.payment_id}")
        await repository.note_credit_given(uow, grant.payment_id, now)

    async def end(self, uow: UnitOfWork, account_id: AccountId, grant: Grant, reason: EndReason) -> None:
        """Ends a period now, and takes back what is left of its credit; what is spent stays spent.

        The caller holds the account's lock.
        """
        now = self._clock.now()
        wallet_id = await self._wallets.of_account(uow, account_id, grant.plan.terms.price.currency)
        left = await self._returns.left_of(uow, wallet_id, grant.payment_id)
        if left.micros:
            await self._returns.take(
                uow,
                wallet_id,
                left,
                origin=grant.payment_id,
                transfer_id=f"plan_credit_back:{grant.payment_id}:{_stamp(now)}",
                counter_account=PROMOTIONS,
            )
        await repository.end_grant(uow, grant.payment_id, reason, now, credit_taken_micros=left.micros)

    async def _include(
        self, uow: UnitOfWork, account_id: AccountId, grant: Grant, credit: Money, transfer_id: str
    ) -> None:
        """Gives credit that expires with the period; nothing where there is none."""
        if credit.micros:
            await self._wallets.credit(
                uow,
                await self._wallets.of_account(uow, account_id, credit.currency),
                credit,
                source=LotSource.INCLUDED,
                transfer_id=transfer_id,
                counter_account=PROMOTIONS,
                origin=grant.payment_id,
                expires_at=grant.span.ends_at,
            )

    async def _checked(self, uow: UnitOfWork, payment: Payment) -> tuple[Subject, Plan]:
        subject = parse_subject(payment.subject)
        plan = None if subject is None else await repository.plan_with_id(uow, subject.plan_id)
        if subject is None or plan is None:
            raise PaymentUnderReview(payment.id, ("plan",))
        if plan.terms.price.currency != payment.amount.currency:
            raise PaymentUnderReview(payment.id, ("currency",))
        if plan.terms.price != payment.amount:
            raise PaymentUnderReview(payment.id, ("amount",))
        if subject.renewal_id is not None:
            renewal = await repository.lock_renewal(uow, subject.renewal_id)
            if renewal is None or (renewal.account_id, renewal.plan_id) != (payment.account_id, plan.id):
                raise PaymentUnderReview(payment.id, ("owner",))
        return subject, plan

    async def _remember(self, uow: UnitOfWork, payment: Payment, subject: Subject, wanted: Subscription) -> None:
        """What the payment says about the periods after this one."""
        if subject.renewal_id is not None:
            renewal = await repository.lock_renewal(uow, subject.renewal_id)
            assert renewal is not None, "it was compared with the payment"
            # Attempts only grow, because each is a key: money of an earlier one may come after a later one has begun.
            attempt = max(renewal.attempt, subject.attempt)
            await repository.write_renewal(uow, renewal.id, status=RenewalStatus.PAID, attempt=attempt, due_at=None)
            return
        # The end that they were for has moved.
        await repository.supersede_renewals(uow, payment.account_id)
        if not subject.renews:
            await repository.write_subscription(uow, replace(wanted, canceled_at=None))
            return
        method_id = payment.method_id or await self._methods.kept_from(uow, payment.id)
        renewing = replace(wanted, will_renew=method_id is not None, method_id=method_id, canceled_at=None)
        await repository.write_subscription(uow, renewing)

    async def _sell(
        self, uow: UnitOfWork, payment: Payment, amount: Money, counter: SystemAccount, transfer_id: str
    ) -> None:
        """Books the amount from the counter account to what plans were sold for; a negative one the other way round."""
        currency = amount.currency
        kind = TransferKind.SALE if amount.micros > 0 else TransferKind.REFUND
        await self._ledger.post(
            uow,
            Transfer(
                transfer_id=transfer_id,
                kind=kind,
                occurred_at=self._clock.now(),
                reference=payment.id,
                entries=(Entry(counter, -amount.micros, currency), Entry(PLAN_SALES, amount.micros, currency)),
            ),
        )


def _stamp(moment: datetime) -> str:
    """The moment as a part of an id."""
    return moment.strftime("%Y%m%dT%H%M%S%f")
