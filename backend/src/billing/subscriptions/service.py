"""The plan of one customer: bought, shown, renewed early, canceled, resumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from billing.customers.audit import AuditTrail
from billing.customers.rules import AccountId, Permission, Principal, require, require_person
from billing.kit.clock import Clock
from billing.kit.idempotency import digest_of
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments.beginning import Checkout
from billing.payments.errors import PaymentMethodNotFound, PaymentNotFound
from billing.payments.records import NO_CONTACT, Contact, KeyClaim, Payment, SavedMethod, Wish
from billing.payments.returning import ReturnRules
from billing.payments.rules import SUBSCRIPTION, Cancellation, PaymentId, PaymentState
from billing.subscriptions import repository
from billing.subscriptions.errors import PlanNotFound, RenewalNotPossible, SubscriptionNotFound
from billing.subscriptions.granting import PlanFulfilment
from billing.subscriptions.ports import SavedMethods
from billing.subscriptions.repository import Subscription
from billing.subscriptions.rules import (
    EndReason,
    Grant,
    Plan,
    RenewalStatus,
    Subject,
    first_of_next_series,
    last_paid,
    paid_until,
    require_room_ahead,
)

_OPERATION = "plans.buy"
RETURN_PAGE = "/billing/plan/{payment_id}/return"


class SubscriptionStatus(StrEnum):
    """Where an account stands."""

    NONE = "none"
    """It never had a plan."""
    ACTIVE = "active"
    """A paid period runs, or is to come."""
    CANCELED = "canceled"
    """What is paid runs to its end, and its owner wants no more of it; or its owner ended it."""
    EXPIRED = "expired"
    """Nothing that is paid is left."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What an account has paid for, and what becomes of it. `running` is None between and after paid periods."""

    status: SubscriptionStatus
    running: Grant | None
    ahead: tuple[Grant, ...]
    paid_until: datetime | None
    will_renew: bool
    method_id: str | None
    canceled_at: datetime | None


@dataclass(frozen=True, slots=True)
class Order:
    """How a customer wants to pay for a period.

    With a `method_id` the saved method is charged at once, else the customer is sent to the provider. `renews` is the
    consent that the same method (kept, where it is new) pays for the following periods too.
    """

    method_id: str | None = None
    renews: bool = False
    return_to: str | None = None
    return_url: str | None = None
    contact: Contact = NO_CONTACT


class PurchaseStatus(StrEnum):
    """What a customer is told about a plan payment."""

    PROCESSING = "processing"
    """Begun or paid, and not certain yet."""
    PENDING = "pending"
    """Waits for the customer at `confirmation_url`."""
    SUCCEEDED = "succeeded"
    """Paid; its period is granted. Stays so after a partial refund."""
    CANCELED = "canceled"
    """Ended without money; `cancellation` says why."""
    GIVEN_BACK = "given_back"
    """All of it was refunded, or its customer's bank disputes it; its period has ended."""


_STATUS_OF = {
    PaymentState.CREATED: PurchaseStatus.PROCESSING,
    PaymentState.PENDING: PurchaseStatus.PENDING,
    PaymentState.WAITING_FOR_CAPTURE: PurchaseStatus.PROCESSING,
    PaymentState.SUCCEEDED: PurchaseStatus.SUCCEEDED,
    PaymentState.PARTIALLY_REFUNDED: PurchaseStatus.SUCCEEDED,
    PaymentState.REFUNDED: PurchaseStatus.GIVEN_BACK,
    PaymentState.DISPUTED: PurchaseStatus.GIVEN_BACK,
    PaymentState.CANCELED: PurchaseStatus.CANCELED,
}


@dataclass(frozen=True, slots=True)
class Purchase:
    """A plan payment as its customer sees it; `confirmation_url` is there exactly while it waits to be paid."""

    payment_id: PaymentId
    status: PurchaseStatus
    amount: Money
    confirmation_url: str | None
    cancellation: Cancellation | None
    return_to: str | None
    is_under_review: bool = False


class SubscriptionService:
    """Speaks for the one plan that an account has. Periods are granted by `PlanFulfilment` alone, when money came."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        audit: AuditTrail,
        checkout: Checkout,
        fulfilment: PlanFulfilment,
        methods: SavedMethods,
        returns: ReturnRules,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._audit = audit
        self._checkout = checkout
        self._fulfilment = fulfilment
        self._methods = methods
        self._returns = returns

    async def offer(self) -> tuple[Plan, ...]:
        """The plans that can be bought."""
        async with self._begin() as uow:
            return await repository.plans(uow)

    async def standing(self, principal: Principal) -> Standing:
        """What the caller's account has paid for.

        Raises:
            Forbidden: the caller may not read the account's billing.
        """
        require(principal, Permission.READ_BILLING)
        async with self._begin() as uow:
            wanted = await repository.find_subscription(uow, principal.account_id)
            return self._standing(wanted, await repository.grants_of(uow, principal.account_id))

    async def buy(
        self, principal: Principal, plan_code: str, order: Order, *, idempotency_key: str, request_id: str
    ) -> Purchase:
        """Begins the payment for one period of this plan; the same key or the same intent finds the same payment.

        While another period runs or is to come, the new one begins at its end, whatever plan it is of.

        Raises:
            Forbidden: the caller may not manage the account's billing, or is an API key that wants to charge a method.
            PlanNotFound: no plan of this code is on offer.
            PaidFarAhead: two years are paid already.
            PaymentMethodNotFound: the account has no such saved method.
            InvalidReturnUrl, InvalidInput, BillingContactRequired: not a valid request.
            IdempotencyKeyReused: the key came before with another request.
            PaymentsNotConfigured, ProviderFailure, PaymentUnderReview: as for top-ups.
        """
        require(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            plan = await repository.plan_on_offer(uow, plan_code)
        if plan is None:
            raise PlanNotFound(plan_code)
        return await self._ordered(principal, plan, order, idempotency_key=idempotency_key, request_id=request_id)

    async def renew(self, principal: Principal, order: Order, *, idempotency_key: str, request_id: str) -> Purchase:
        """Begins the payment for one more period of the plan that ends last, at its own price, also when it is retired.

        Raises:
            SubscriptionNotFound: nothing paid runs or is to come.
            BillingError: as for `buy`.
        """
        require(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            grants = await repository.grants_of(uow, principal.account_id)
        last = last_paid(grants, since=self._clock.now())
        if last is None:
            raise SubscriptionNotFound
        return await self._ordered(principal, last.plan, order, idempotency_key=idempotency_key, request_id=request_id)

    async def purchase(self, principal: Principal, payment_id: str) -> Purchase:
        """The plan payment as our books have it, without asking the provider.

        Raises:
            PaymentNotFound: there is none, or it belongs to another account or another purpose.
        """
        require(principal, Permission.READ_BILLING)
        return _purchase(await self._own(principal, payment_id))

    async def reconcile(self, principal: Principal, payment_id: str) -> Purchase:
        """Asks the provider about exactly this payment and grants what was paid.

        Raises:
            PaymentNotFound: there is none, or it belongs to another account or another purpose.
            PaymentsNotConfigured, ProviderFailure, PaymentUnderReview: as for top-ups.
        """
        require(principal, Permission.READ_BILLING)
        return _purchase(await self._checkout.finish(await self._own(principal, payment_id)))

    async def cancel(self, principal: Principal, *, is_now: bool, request_id: str) -> Standing:
        """Ends the plan: at the end of what is paid, or now, which gives up the rest and its unspent credit.

        The second time changes nothing. Money is given back by operators only.

        Raises:
            Forbidden: the caller may not manage the account's billing.
            SubscriptionNotFound: nothing paid runs or is to come, nothing would renew, and nobody canceled it.
        """
        require(principal, Permission.MANAGE_BILLING)
        now = self._clock.now()
        async with self._begin() as uow:
            wanted = await repository.lock_subscription(uow, principal.account_id, now)
            grants = await repository.grants_of(uow, principal.account_id)
            before = self._standing(wanted, grants)
            if before.paid_until is None and wanted.canceled_at is None and not wanted.will_renew:
                raise SubscriptionNotFound
            live = [grant for grant in (before.running, *before.ahead) if grant is not None]
            if wanted.canceled_at is not None and not (is_now and live):
                return before
            for grant in live if is_now else ():
                await self._fulfilment.end(uow, principal.account_id, grant, EndReason.CANCELED)
            await repository.supersede_renewals(uow, principal.account_id)
            canceled = replace(wanted, will_renew=False, canceled_at=wanted.canceled_at or now)
            return await self._changed(uow, principal, "subscription.canceled", before, canceled, request_id)

    async def resume(self, principal: Principal, *, method_id: str | None, request_id: str) -> Standing:
        """Lets a plan that still runs renew itself from now on, with this method or the one that it had.

        A renewal of the coming period that was called off, or given up, is tried again at once. The second time changes
        nothing.

        Raises:
            Forbidden: the role may not manage the account's billing, or the caller is an API key.
            SubscriptionNotFound: nothing paid runs or is to come.
            RenewalNotPossible: there is no saved method to charge.
            PaymentMethodNotFound: the account has no such saved method.
        """
        require(principal, Permission.MANAGE_BILLING)
        async with self._begin() as uow:
            wanted = await repository.lock_subscription(uow, principal.account_id, self._clock.now())
            before = self._standing(wanted, await repository.grants_of(uow, principal.account_id))
            if before.paid_until is None:
                raise SubscriptionNotFound
            chosen = method_id or wanted.method_id
            if chosen is None:
                raise RenewalNotPossible
            await self._usable(uow, principal, chosen)
            resumed = replace(wanted, will_renew=True, method_id=chosen, canceled_at=None)
            is_reopened = await self._reopened(uow, principal.account_id, before.paid_until)
            if resumed == wanted and not is_reopened:
                return before
            return await self._changed(uow, principal, "subscription.resumed", before, resumed, request_id)

    async def _reopened(self, uow: UnitOfWork, account_id: AccountId, ends_at: datetime) -> bool:
        """Opens the renewal of the period that begins at this end again, if there is one that was over.

        A payment of it that has not ended may have been charged already: it decides, and its attempt goes on. Without
        one a new series of attempts begins, with keys of its own. The caller holds the account's lock.
        """
        renewal = await repository.lock_renewal_at(uow, account_id, ends_at)
        if renewal is None or renewal.status is RenewalStatus.OPEN:
            return False
        subject = Subject(renewal.plan_id, renewal_id=renewal.id, attempt=renewal.attempt)
        is_under_way = await self._methods.is_under_way(uow, account_id, purpose=SUBSCRIPTION, subject=str(subject))
        attempt = renewal.attempt if is_under_way else first_of_next_series(renewal.attempt)
        await repository.write_renewal(
            uow, renewal.id, status=RenewalStatus.OPEN, attempt=attempt, due_at=self._clock.now()
        )
        return True

    async def _ordered(
        self, principal: Principal, plan: Plan, order: Order, *, idempotency_key: str, request_id: str
    ) -> Purchase:
        self._returns.check(order.return_to, order.return_url)
        async with self._begin() as uow:
            require_room_ahead(await repository.grants_of(uow, principal.account_id), self._clock.now())
            method = None if order.method_id is None else await self._usable(uow, principal, order.method_id)
        wish = Wish(
            account_id=principal.account_id,
            purpose=SUBSCRIPTION,
            amount=plan.terms.price,
            return_page=RETURN_PAGE,
            subject=str(Subject(plan.id, renews=order.renews)),
            return_to=order.return_to,
            client_return_url=order.return_url,
            method=method,
            saves_method=order.renews and method is None,
            contact=order.contact,
        )

        async def record(uow: UnitOfWork, payment: Payment) -> None:
            await self._audit.record(
                uow,
                principal,
                action="subscription.purchase_started",
                target=payment.id,
                before=None,
                after={"plan": plan.terms.code, "plan_id": plan.id, "price": str(plan.terms.price)},
                reason="",
                request_id=request_id,
            )

        key = KeyClaim(_OPERATION, idempotency_key, _digest(wish))
        return _purchase(await self._checkout.begin(wish, key=key, when_new=record))

    async def _usable(self, uow: UnitOfWork, principal: Principal, method_id: str) -> SavedMethod:
        """The account's own method, to be charged without a page on which a person agrees once more.

        Raises:
            Forbidden: the caller is an API key; a stolen one must not be able to charge a card.
            PaymentMethodNotFound: the account has no such saved method.
        """
        require_person(principal, Permission.MANAGE_BILLING)
        method = await self._methods.usable(uow, principal.account_id, method_id)
        if method is None:
            raise PaymentMethodNotFound(method_id)
        return method

    async def _own(self, principal: Principal, payment_id: str) -> Payment:
        payment = await self._checkout.find(payment_id)
        is_own = payment is not None and payment.account_id == principal.account_id
        if payment is None or not is_own or payment.purpose != SUBSCRIPTION:
            raise PaymentNotFound(payment_id)
        return payment

    async def _changed(
        self,
        uow: UnitOfWork,
        principal: Principal,
        action: str,
        before: Standing,
        wanted: Subscription,
        request_id: str,
    ) -> Standing:
        await repository.write_subscription(uow, wanted)
        after = self._standing(wanted, await repository.grants_of(uow, principal.account_id))
        await self._audit.record(
            uow,
            principal,
            action=action,
            target=principal.account_id,
            before=_as_facts(before),
            after=_as_facts(after),
            reason="",
            request_id=request_id,
        )
        return after

    def _standing(self, wanted: Subscription, grants: tuple[Grant, ...]) -> Standing:
        now = self._clock.now()
        until = paid_until(grants, now)
        return Standing(
            status=_status(wanted, grants, until),
            running=next((grant for grant in grants if grant.runs_at(now)), None),
            ahead=tuple(sorted((g for g in grants if g.is_ahead_at(now)), key=lambda grant: grant.span.starts_at)),
            paid_until=until,
            will_renew=wanted.will_renew and until is not None,
            method_id=wanted.method_id,
            canceled_at=wanted.canceled_at,
        )


def _status(wanted: Subscription, grants: tuple[Grant, ...], until: datetime | None) -> SubscriptionStatus:
    if not grants:
        return SubscriptionStatus.NONE
    if wanted.canceled_at is not None:
        return SubscriptionStatus.CANCELED
    return SubscriptionStatus.EXPIRED if until is None else SubscriptionStatus.ACTIVE


def _as_facts(standing: Standing) -> dict[str, object]:
    until = standing.paid_until
    return {
        "status": standing.status.value,
        "will_renew": standing.will_renew,
        "paid_until": None if until is None else until.isoformat(),
    }


def _digest(wish: Wish) -> str:
    return digest_of(
        {
            "subject": wish.subject or "",
            "method_id": "" if wish.method is None else wish.method.method_id,
            "return_to": wish.return_to or "",
            "return_url": wish.client_return_url or "",
        }
    )


def _purchase(payment: Payment) -> Purchase:
    return Purchase(
        payment_id=payment.id,
        status=_STATUS_OF[payment.state],
        amount=payment.amount,
        confirmation_url=payment.confirmation_url if payment.state is PaymentState.PENDING else None,
        cancellation=payment.cancellation,
        return_to=payment.return_to,
        is_under_review=payment.contradiction is not None,
    )
