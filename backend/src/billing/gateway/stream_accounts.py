"""The money of one stream: kept covered while it runs, made durable as it goes, booked once at its end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import structlog

from billing.gateway import repository
from billing.gateway.booking import Booker
from billing.gateway.calls import Call, Funding, Outcome, cost_of
from billing.gateway.errors import BillingInterrupted, BillingUnavailable
from billing.gateway.fail_closed import failing_closed
from billing.gateway.repository import Checkpoint
from billing.gateway.rules.routes import UpstreamTarget
from billing.gateway.rules.stream_metering import Receipt, StreamMeter
from billing.gateway.rules.stream_terms import StreamTerms
from billing.kit.clock import Clock
from billing.kit.errors import BillingError
from billing.kit.money import Money
from billing.kit.turns import Turns
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.quotas.errors import ReservationEnded
from billing.quotas.rules import NOTHING, Amounts, Metric, NotAvailable, growth_to
from billing.quotas.service import QuotaService
from billing.usage.errors import UsageEventReused
from billing.usage.rules import BillingSource, EstimateReason
from billing.usage.service import UsageService
from billing.wallets.errors import OperationEnded
from billing.wallets.service import WalletService

_log = structlog.get_logger(__name__)

_SETTLE_ATTEMPTS = 2
_CHECKPOINT_ATTEMPTS = 2


@dataclass(frozen=True, slots=True)
class Books:
    """What the accounts of every stream are kept with."""

    begin: Begin
    turns: Turns
    clock: Clock
    booker: Booker
    wallets: WalletService
    quotas: QuotaService
    usage: UsageService
    terms: StreamTerms


class StreamEnds(Exception):
    """We stop the stream; `reason` is what the client is told, None where nobody reads any more."""

    def __init__(self, reason: BillingError | None) -> None:
        super().__init__()
        self.reason = reason


class StreamAccounts:
    """One stream's hold or reservation, its checkpoint and its charge.

    `is_durable` says that a crash from now on is billed; no output passes before. `is_left_alone` says that its lease
    is not to be renewed any more: the job may end it.
    """

    def __init__(self, books: Books, call: Call, funding: Funding) -> None:
        self._books = books
        self._call = call
        self._funding = funding
        self._target = call.route.targets[0]
        self._held = funding.held
        self._step_micros = max(1, funding.held.micros // 2)
        self._least_step_micros = max(1, funding.held.micros // 64)
        self._reserved = call.request.free_bounds
        self._stored_at = self._renewed_at = books.clock.now()
        self._stored_units = 0
        self._operation_id = call.operation_id
        self.is_durable = False
        self.is_left_alone = False

    def answered_by(self, target: UpstreamTarget) -> None:
        """From here on this target's rates apply."""
        self._target = target

    async def look_at(self, meter: StreamMeter) -> None:
        """Whether what was set aside still covers what was used, and whether enough was used to store it.

        Raises:
            StreamEnds: it does not, and no more can be set aside.
            BillingUnavailable: the books cannot be reached.
        """
        outcome = self._outcome(meter)
        if self._funding.source is BillingSource.PAYG:
            await self._keep_covered(cost_of(outcome, self._funding))
        elif self._funding.source is BillingSource.LEAD_MAGNET:
            await self._keep_reserved(outcome.measured.free)
        if sum(outcome.measured.quantities.values()) - self._stored_units >= self._books.terms.checkpoint_tokens:
            await self.store(meter)

    def is_due(self) -> bool:
        """There is a checkpoint, and it is too old."""
        return self.is_durable and self._books.clock.now() - self._stored_at >= self._books.terms.checkpoint_every

    async def store(self, meter: StreamMeter) -> None:
        """Makes durable what was used so far. Where that fails twice, nothing more may pass (G5).

        Raises:
            StreamEnds: a job or an operator has ended the operation; nothing more may be delivered on it.
            BillingUnavailable: the books cannot be reached.
        """
        for attempts_left in reversed(range(_CHECKPOINT_ATTEMPTS)):
            try:
                await self._store(self._outcome(meter, is_lost=True))
            except BillingUnavailable:
                if not attempts_left:
                    raise
            else:
                return

    async def give_back(self) -> Money:
        """Ends the operation uncharged, unless somebody else has ended it; answers what the wallet has then.

        Raises:
            BillingUnavailable: the books cannot be reached. The checkpoint stays, and the job gives back.
        """
        try:
            with failing_closed():
                async with self._books.turns.at(self._call.principal.account_id), self._books.begin() as uow:
                    wallet_id, source = self._funding.wallet_id, self._funding.source
                    if await repository.claim(uow, self._operation_id):
                        return await self._books.booker.give_back(uow, self._operation_id, wallet_id, source)
                    return (await self._books.wallets.balance(uow, wallet_id)).available
        except BillingUnavailable:
            self.is_left_alone = True
            raise

    async def settle(self, meter: StreamMeter) -> Receipt | None:
        """Books the stream once; None where the books cannot be reached now: `settle_later` then."""
        for attempts_left in reversed(range(_SETTLE_ATTEMPTS)):
            try:
                return await self._settle(meter)
            except BillingUnavailable:
                _log.warning("settlement_failed", operation_id=self._operation_id, attempts_left=attempts_left)
        self.is_left_alone = True
        return None

    async def settle_later(self, meter: StreamMeter, stop: asyncio.Event) -> None:
        """Nobody waits any more, but only we know the last tokens: tries on until the job takes over, or `stop`."""
        terms, clock = self._books.terms, self._books.clock
        until = clock.now() + terms.lease
        for _ in range(max(1, int(terms.lease.total_seconds() / terms.retry_seconds))):
            try:
                await asyncio.wait_for(stop.wait(), terms.retry_seconds)
                break
            except TimeoutError:
                if clock.now() >= until:
                    break
            try:
                await self._settle(meter)
            except BillingUnavailable:
                continue
            return
        _log.error("settlement_left_to_the_job", operation_id=self._operation_id)

    async def _keep_covered(self, cost: Money) -> None:
        """Lets the hold grow before it is used up, in smaller steps where a larger one is refused; then stops.

        What costs nothing needs no cover, and what costs just what is held is covered.
        """
        while cost.micros and cost.micros + self._step_micros // 2 >= self._held.micros:
            refusal = await self._grown_to(Money(cost.micros + self._step_micros, cost.currency))
            if refusal is None:
                return
            is_last_step = self._step_micros <= self._least_step_micros
            if is_last_step and cost > self._held:
                raise StreamEnds(refusal) from refusal
            if is_last_step:
                return
            self._step_micros = max(self._least_step_micros, self._step_micros // 4)

    async def _grown_to(self, amount: Money) -> BillingError | None:
        """Why the hold cannot grow, or None if it has grown."""
        try:
            with failing_closed():
                async with self._books.turns.at(self._call.principal.account_id), self._books.begin() as uow:
                    hold = await self._books.wallets.extend(
                        uow,
                        self._funding.wallet_id,
                        self._operation_id,
                        amount,
                        plan_caps=self._funding.entitlement.caps,
                    )
        except BillingUnavailable:
            raise
        except BillingError as refusal:
            return refusal
        self._held = hold.amount
        return None

    async def _keep_reserved(self, used: Amounts) -> None:
        """Lets the reservation of a free call grow once it is used up, by as much as it began with, else just to what
        is used already; then stops.
        """
        if growth_to(used, self._reserved) == NOTHING:
            return
        began_with, reserved = self._call.request.free_bounds, self._reserved
        extra = self._funding.entitlement.quotas
        step = Amounts(*(began_with.of(metric) if used.of(metric) > reserved.of(metric) else 0 for metric in Metric))
        try:
            with failing_closed():
                async with self._books.turns.at(self._call.principal.account_id), self._books.begin() as uow:
                    grown = await self._books.quotas.extend(uow, self._operation_id, used + step, extra=extra)
                    if isinstance(grown, NotAvailable):
                        grown = await self._books.quotas.extend(uow, self._operation_id, used, extra=extra)
        except ReservationEnded as ended:
            raise StreamEnds(ended) from ended
        if isinstance(grown, NotAvailable):
            raise StreamEnds(grown.refusal())
        self._reserved = grown.amounts

    async def _store(self, outcome: Outcome) -> None:
        """Writes the checkpoint, and renews once in a lease what was set aside."""
        now = self._books.clock.now()
        is_renewal = now - self._renewed_at >= self._books.terms.lease
        event = self._books.booker.event(self._call, self._funding, outcome)
        checkpoint = Checkpoint(event, outcome.measured.free, has_delivered=True, began_at=self._call.began_at)
        with failing_closed():
            async with self._books.begin() as uow:
                lease_until = now + self._books.terms.lease
                if not await repository.write_progress(uow, checkpoint, lease_until, is_last=not is_renewal):
                    raise StreamEnds(BillingInterrupted())
                if is_renewal:
                    await self._renew(uow)
        self.is_durable = True
        self._stored_at = now
        self._stored_units = sum(outcome.measured.quantities.values())
        if is_renewal:
            self._renewed_at = now

    async def _renew(self, uow: UnitOfWork) -> None:
        if self._funding.source is BillingSource.LEAD_MAGNET:
            await self._books.quotas.renew(uow, self._operation_id)
        else:
            await self._books.wallets.renew(uow, self._funding.wallet_id, self._operation_id)

    async def _settle(self, meter: StreamMeter) -> Receipt:
        """Books the stream, unless somebody else has: then what they booked is what it cost."""
        outcome = self._outcome(meter)
        event = self._books.booker.event(self._call, self._funding, outcome)
        try:
            with failing_closed():
                async with self._books.turns.at(self._call.principal.account_id), self._books.begin() as uow:
                    if await repository.claim(uow, self._operation_id):
                        balance = await self._books.booker.book(uow, event, outcome.measured.free)
                        return self._receipt(event.charged, balance)
        except (OperationEnded, ReservationEnded, UsageEventReused) as ended:
            _log.error("stream_ended_by_others", operation_id=self._operation_id, code=ended.code)
        with failing_closed():
            async with self._books.begin() as uow:
                await repository.claim(uow, self._operation_id)
                recorded = await self._books.usage.event_of(uow, self._operation_id)
                balance = (await self._books.wallets.balance(uow, self._funding.wallet_id)).available
        return self._receipt(Money.zero(balance.currency) if recorded is None else recorded.charged, balance)

    def _outcome(self, meter: StreamMeter, *, is_lost: bool = False) -> Outcome:
        """What the stream has come to by now; `is_lost` is how it looks to whoever finds its checkpoint alone."""
        measured = meter.measured()
        if measured.estimate_reason is not None and is_lost:
            measured = replace(measured, estimate_reason=EstimateReason.GATEWAY_LOST)
        elif measured.estimate_reason is not None and not meter.is_finished:
            measured = replace(measured, estimate_reason=EstimateReason.STREAM_CUT)
        return Outcome(self._target, meter.model_used, measured)

    def _receipt(self, charged: Money, balance: Money) -> Receipt:
        return Receipt(self._operation_id, charged, balance, self._funding.source)
