"""Top-ups of one account at a simulated provider, of which we hear in any order, twice, late and all at once.

What must come of it is read from the provider itself at the end: each thing that really happened there, once (G7, G17).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, TypeVar

import httpx
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.payments import OFFER, PUBLIC
from backend.tests.builders.providers import Ability, SimulatedProvider
from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.properties.ground import DeathError, Ground, Tally, deaths
from backend.tests.properties.payment_truth import NOTHING, Standing, Truth, standing_of
from billing.customers.audit import AuditTrail
from billing.kit.ids import Ids
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.invariants import EVERYTHING, Drift, Extent, LedgerVerifier
from billing.ledger.service import LedgerService
from billing.payments.beginning import Checkout
from billing.payments.chargeable import ChargeableMethods
from billing.payments.errors import PaymentNotRefundable, ProviderFailure, RefundExceedsPayment, RefundExceedsUnspent
from billing.payments.invariants import PaymentVerifier
from billing.payments.notifications import PaymentNotifications
from billing.payments.provider_states import Outcome, Picture
from billing.payments.purposes import NoReceipts
from billing.payments.read_back import ReadBack
from billing.payments.records import Payment, Refund
from billing.payments.refunds import RefundService, RefundWish
from billing.payments.returning import ReturnRules
from billing.payments.rules import (
    Actor,
    DisputeStatus,
    PaymentId,
    ProviderPaymentId,
    RefundStatus,
)
from billing.payments.service import TopupService
from billing.wallets.invariants import WalletVerifier
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import WalletService
from billing.wallets.settings import WalletSettings
from billing.wiring.payments import payment_parts
from billing.wiring.verification import Verification

T = TypeVar("T")

_TOPUPS_MAX = 2
_ASKS_MAX = 5
_RENOTIFIED = 3
CAME_BACK = "a refund that we had booked came back"

which = st.sampled_from([0, 0, 0, 1])
nths = st.integers(0, 9)
parts = st.sampled_from(["50", "200", "500"])
# What a payment lives through before chance goes on: most single steps of a machine happen to nobody.
_HAPPENINGS = ("cabinet", "cabinet", "returns", "fails", "succeeds", "dispute", "won", "won", "lost", "lost", "slow")
_HEARINGS = ("heard", "heard", "back", "told", "notified", "refund", "overdraft", "together")
stories = st.lists(
    st.tuples(st.sampled_from(_HAPPENINGS), st.sampled_from(_HEARINGS), parts, nths), min_size=3, max_size=5
)


@dataclass
class Topup:
    """One of the account's top-ups, with everything about it that somebody has seen and not yet told."""

    payment_id: PaymentId
    provider_id: ProviderPaymentId
    amount: Money
    seen: list[Picture] = field(default_factory=list)


class PaymentMachine(RuleBasedStateMachine):
    """Money comes in and goes back at the provider; we hear of it however we hear of it."""

    ground: ClassVar[Ground]
    tally: ClassVar[Tally]
    shop: ClassVar[SimulatedProvider]

    def __init__(self) -> None:
        super().__init__()
        begin, clock, provider = self.ground.begin, StoppedClock(), self.shop.provider
        ids, ledger = Ids(clock), LedgerService()
        self.clock, self.ids = clock, ids
        self.wallets = WalletService(begin=begin, clock=clock, ids=ids, ledger=ledger, settings=WalletSettings())
        made = payment_parts(clock=clock, ids=ids, wallets=self.wallets, topup_ttl_days=365)
        self.states = made.states
        checkout = Checkout(
            begin=begin,
            clock=clock,
            ids=ids,
            states=made.states,
            provider=provider,
            purposes=made.purposes,
            methods=ChargeableMethods(provider, customers_service(begin, clock, ids)),
            receipts=NoReceipts(),
            public=PUBLIC,
        )
        self.service = TopupService(
            begin=begin,
            audit=AuditTrail(clock, ids),
            checkout=checkout,
            offer=OFFER,
            returns=ReturnRules(PUBLIC, frozenset()),
        )
        self.refunds = RefundService(
            begin=begin, clock=clock, ids=ids, checkout=checkout, states=made.states, purposes=made.purposes
        )
        self.notifications = PaymentNotifications(begin=begin, provider=provider, states=made.states)
        self.read_back = ReadBack(begin=begin, provider=provider, states=made.states)
        self.customer: Customer | None = None
        self.wallet_id = WalletId("")
        self.topups: list[Topup] = []
        self.spent = NOTHING
        self.tally.examples += 1

    # ---- what happens at the provider -------------------------------------------------------------------------------

    @initialize(is_paid=st.sampled_from([True, True, True, False]), story=stories)
    def open(self, is_paid: bool, story: list[tuple[str, str, str, int]]) -> None:  # noqa: FBT001 - hypothesis draws it
        """A fresh account with a top-up, and what became of it since: something happens, and something is heard."""
        town = Town(customers_service(self.ground.begin, self.clock, self.ids), self.ground.begin)
        self.customer = self._wait(town.customer())
        self._wait(self.shop.backstage.let_refunds_through())  # the provider outlives its examples
        self.wallet_id = self.ground.run(lambda uow: self.wallets.of_account(uow, self._customer.account.id, RUB))
        self.start()
        if is_paid:
            self.end_at_the_provider(0, "pay")
        for happening, hearing, amount, nth in story:
            self._happens(happening, amount)
            self._is_heard(hearing, amount, nth)

    @precondition(lambda self: len(self.topups) < _TOPUPS_MAX)
    @rule()
    def start(self) -> None:
        """Another top-up begins."""
        amount = rub("500") if not self.topups else rub("1000")
        topup = self._wait(
            self.service.start(self._customer.principal, amount=amount, idempotency_key=self.ids.new("key"))
        )
        file = self._wait(self.refunds.file(topup.payment_id))
        assert file.payment.provider_payment_id is not None
        self.topups.append(Topup(topup.payment_id, file.payment.provider_payment_id, amount))

    @rule(which=which, how=st.sampled_from(["pay", "pay", "pay", "decline", "expire"]))
    def end_at_the_provider(self, which: int, how: str) -> None:
        """The customer pays, or does not."""
        topup = self._topup(which)
        self._behind_the_counter(topup, partial(getattr(self.shop.backstage, how), topup.provider_id))

    @rule(which=which, amount=parts)
    def refund_in_the_cabinet(self, which: int, amount: str) -> None:
        """Somebody gives money back without us."""
        topup = self._topup(which)
        self._behind_the_counter(topup, partial(self.shop.backstage.refund_in_cabinet, topup.provider_id, rub(amount)))

    @rule()
    def let_refunds_take_their_time(self) -> None:
        """From now on refunds are pending first."""
        self._wait(self.shop.backstage.hold_refunds())

    @rule(which=which, is_good=st.booleans())
    def end_refunds(self, which: int, is_good: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        """The provider ends what is pending, well or not."""
        topup = self._topup(which)
        for refund in self._wait(self.shop.provider.refunds_of(topup.provider_id)):
            if refund.status is RefundStatus.PENDING or not is_good:  # what has succeeded may still come back
                self._behind_the_counter(topup, partial(self.shop.backstage.end_refund, refund.id, is_good=is_good))

    @precondition(lambda self: Ability.DISPUTES in self.shop.abilities)
    @rule(which=which)
    def dispute(self, which: int) -> None:
        """The customer's bank wants the money back."""
        topup = self._topup(which)
        self._behind_the_counter(topup, partial(self.shop.backstage.open_dispute, topup.provider_id))

    @precondition(lambda self: Ability.DISPUTES in self.shop.abilities)
    @rule(which=which, is_won=st.booleans())
    def decide_dispute(self, which: int, is_won: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        """The bank decides."""
        topup = self._topup(which)
        if any(one.status is DisputeStatus.OPEN for one in self._wait(self._picture(topup)).disputes or ()):
            self._behind_the_counter(
                topup, partial(self.shop.backstage.close_dispute, topup.provider_id, is_won=is_won)
            )

    # ---- how we hear of it, and what we do --------------------------------------------------------------------------

    @rule(which=which, nth=nths, death=deaths)
    def tell(self, which: int, nth: int, death: int | None) -> None:
        """What somebody saw some time ago is applied now, perhaps again, perhaps by a process that dies of it."""
        topup = self._topup(which)
        if topup.seen:
            with suppress(DeathError):
                self.ground.run(self._told(topup, topup.seen[nth % len(topup.seen)]), death=death)

    @rule(which=which, nth=nths)
    def notify(self, which: int, nth: int) -> None:
        """One of the provider's notifications comes, perhaps again, in whatever order."""
        self._wait(self._notified(self._topup(which), nth))

    @rule(which=which)
    def come_back(self, which: int) -> None:
        """The customer returns from the payment page, or reconciles."""
        self._wait(self._reconciled(self._topup(which)))

    @rule(which=which)
    def check(self, which: int) -> None:
        """The job that forgets nothing comes by."""
        self._wait(self._checked(self._topup(which)))

    @rule(which=which, nth=nths)
    def all_at_once(self, which: int, nth: int) -> None:
        """Notification, return page, job and somebody who looks arrive together."""
        topup = self._topup(which)

        async def together() -> None:
            await asyncio.gather(
                self._notified(topup, nth),
                self._notified(topup, nth + 1),
                self._reconciled(topup),
                self._checked(topup),
                self.read_back.named(topup.provider_id, with_all=True),
            )

        self._wait(together())

    @rule(which=which, amount=parts, is_overdraft=st.booleans())
    def refund(self, which: int, amount: str, is_overdraft: bool) -> None:  # noqa: FBT001 - hypothesis draws it
        """An operator gives money back, as far as that is allowed."""
        wish = RefundWish(self._topup(which).payment_id, rub(amount), is_overdraft, "a test")
        with suppress(PaymentNotRefundable, RefundExceedsPayment, RefundExceedsUnspent):
            self._wait(self.refunds.begin(wish, key=None, when_new=_nothing_else))

    @rule(amount=parts)
    def spend(self, amount: str) -> None:
        """The customer uses something, with credit or without."""
        operation = OperationId(self.ids.new("opr"))
        self._wait(self._charged(operation, rub(amount)))
        self.spent += rub(amount)

    # ---- what must be true ------------------------------------------------------------------------------------------

    @invariant()
    def the_books_agree_with_our_rows(self) -> None:
        """Whatever we have heard of so far, it stands in the books once."""
        self.tally.steps += 1
        assert self._wait(self._drifts(Extent(self.wallet_id))) == ()

    def teardown(self) -> None:
        """At last everything is heard of; then it is as if each thing had been heard of once, and stays so."""
        if self.customer is None:
            return
        truths = [self._wait(self._heard(topup)) for topup in self.topups]
        first = self._wait(self._standing())
        first.require(truths, spent=self.spent)
        self.tally.happened.update(first.told)
        self.tally.happened[CAME_BACK] += first.came_back
        for topup in self.topups:
            for picture in reversed(topup.seen):  # the oldest news last
                self.ground.run(self._told(topup, picture))
            for nth in range(_RENOTIFIED):
                self._wait(self._notified(topup, nth))
        assert self._wait(self._standing()) == first
        assert self._wait(self._drifts(EVERYTHING)) == ()

    # ---- what stories are made of ------------------------------------------------------------------------------------

    def _happens(self, what: str, amount: str) -> None:
        has_disputes = Ability.DISPUTES in self.shop.abilities
        match what:
            case "cabinet":
                self.refund_in_the_cabinet(0, amount)
            case "returns" if Ability.REFUNDS_COME_BACK in self.shop.abilities:
                # Money went back, we booked that, and then it came again: too long a way for chance alone.
                self.refund_in_the_cabinet(0, amount)
                self._is_heard("heard", amount, 0)
                self.end_refunds(0, is_good=False)
            case "fails" | "succeeds":
                self.end_refunds(0, what == "succeeds")
            case "slow":
                self.let_refunds_take_their_time()
            case "dispute" if has_disputes:
                self.dispute(0)
            case "won" | "lost" if has_disputes:
                self.dispute(0)
                self.decide_dispute(0, what == "won")

    def _is_heard(self, how: str, amount: str, nth: int) -> None:
        match how:
            case "heard":
                self._wait(self.read_back.named(self._topup(0).provider_id, with_all=True))
            case "back":
                self.come_back(0)
            case "told":
                self.tell(0, nth, None)
            case "notified":
                self.notify(0, nth)
            case "refund" | "overdraft":
                self.refund(0, amount, how == "overdraft")
            case "together":
                self.all_at_once(0, nth)

    # ---- how it is asked --------------------------------------------------------------------------------------------

    @property
    def _customer(self) -> Customer:
        assert self.customer is not None, "the account was opened first"
        return self.customer

    def _topup(self, which: int) -> Topup:
        return self.topups[which % len(self.topups)]

    def _wait(self, work: Awaitable[T]) -> T:
        async def waited() -> T:
            return await work

        return self.ground.runner.run(waited())

    def _behind_the_counter(self, topup: Topup, step: Callable[[], Awaitable[None]]) -> None:
        """Something happens at the provider, and somebody has seen how things are then, but is slow to tell.

        Nothing happens where the provider does not let it happen: nobody pays twice, or refunds what is gone.
        """
        with suppress(httpx.HTTPStatusError):
            self._wait(step())
            topup.seen.append(self._wait(self._picture(topup)))

    async def _picture(self, topup: Topup) -> Picture:
        provider = self.shop.provider
        seen = await provider.get_payment(topup.provider_id)
        return Picture(seen, await provider.refunds_of(seen.id), await provider.disputes_of(seen.id))

    def _told(self, topup: Topup, picture: Picture) -> Callable[[UnitOfWork], Awaitable[object]]:
        async def told(uow: UnitOfWork) -> object:
            return await self.states.apply_provider_state(uow, topup.payment_id, picture, actor=Actor.READ_BACK)

        return told

    async def _notified(self, topup: Topup, nth: int) -> None:
        bodies = await self.shop.backstage.events(topup.provider_id)
        if bodies:
            await self.notifications.handle(bodies[nth % len(bodies)])

    async def _reconciled(self, topup: Topup) -> None:
        await self.service.reconcile(self._customer.principal, topup.payment_id)

    async def _checked(self, topup: Topup) -> None:
        for refund in (await self.refunds.file(topup.payment_id)).refunds:
            with suppress(ProviderFailure):
                await self.refunds.finish(refund.id)

    async def _charged(self, operation: OperationId, amount: Money) -> None:
        async with self.ground.begin() as uow:
            await self.wallets.hold(uow, self.wallet_id, NOTHING, operation)
            await self.wallets.settle(uow, self.wallet_id, operation, amount)

    async def _heard(self, topup: Topup) -> Truth:
        """Everything about this payment has reached us; what the provider says about it in the end."""
        await self._checked(topup)
        for _ in range(_ASKS_MAX):
            applied = await self.read_back.named(topup.provider_id, with_all=True)
            assert applied is not None
            assert applied.outcome is not Outcome.CONTRADICTED, applied
            if applied.outcome is not Outcome.BEHIND:
                break
        return Truth(await self._picture(topup), topup.amount)

    async def _standing(self) -> Standing:
        files = [await self.refunds.file(topup.payment_id) for topup in self.topups]
        async with self.ground.begin() as uow:
            balance = await self.wallets.balance(uow, self.wallet_id)
            worth = balance.paid + balance.granted - balance.debt
            return await standing_of(uow, self._customer.account.id, files, worth=worth)

    async def _drifts(self, extent: Extent) -> tuple[Drift, ...]:
        verifiers = (LedgerVerifier(), WalletVerifier(self.clock), PaymentVerifier())
        return await Verification(self.ground.snapshot, verifiers).drifts(extent)


async def _nothing_else(uow: UnitOfWork, payment: Payment, refund: Refund) -> None:
    del uow, payment, refund
