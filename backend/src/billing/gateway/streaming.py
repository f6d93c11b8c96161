"""Streams: each passed on by a task of its own that outlives its client, metered, made durable and booked once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from billing.gateway import repository
from billing.gateway.booking import Booker
from billing.gateway.calls import Call, Funding, Outcome, StreamedAnswer
from billing.gateway.errors import (
    BillingInterrupted,
    BillingUnavailable,
    GatewayStopping,
    UpstreamBroken,
    UpstreamFailure,
)
from billing.gateway.fail_closed import failing_closed
from billing.gateway.forwarding import Forwarded, Forwarder
from billing.gateway.outbox import Outbox
from billing.gateway.repository import Checkpoint
from billing.gateway.rules.metering import Measured
from billing.gateway.rules.replies import ProviderRefusal
from billing.gateway.rules.sse import SseParser
from billing.gateway.rules.stream_metering import Receipt, StreamMeter
from billing.gateway.rules.stream_terms import StreamTerms
from billing.kit.clock import Clock
from billing.kit.errors import BillingError
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.pricing.rules import price_of
from billing.quotas.errors import ReservationEnded
from billing.quotas.rules import NOTHING
from billing.quotas.service import QuotaService
from billing.usage.errors import UsageEventReused
from billing.usage.rules import BillingSource, EstimateReason
from billing.usage.service import UsageService
from billing.wallets.errors import OperationEnded
from billing.wallets.service import WalletService

_log = structlog.get_logger(__name__)

_OK = 200
_SETTLE_ATTEMPTS = 2
_CHECKPOINT_ATTEMPTS = 2
# After so many bytes for the client the cost is computed again: often enough to stop in time, too rarely to be felt.
_LOOK_EVERY_BYTES = 2048
_END_GRACE_SECONDS = 2.0  # between the provider's last word and the end of its connection
_NOT_EVENTS = ("application/json", "text/html")


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider refused before it streamed anything; what was set aside is given back."""

    refusal: ProviderRefusal
    balance: Money


@dataclass(frozen=True, slots=True)
class Desk:
    """What every stream works with."""

    begin: Begin
    clock: Clock
    forwarder: Forwarder
    booker: Booker
    wallets: WalletService
    quotas: QuotaService
    usage: UsageService
    terms: StreamTerms


class _EnoughError(Exception):
    """We stop here though the provider would go on; `reason` is for the client, None where nobody reads any more."""

    def __init__(self, reason: BillingError | None) -> None:
        super().__init__()
        self.reason = reason


class Streams:
    """All streams of this process."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._running: dict[asyncio.Task[None], _Stream] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def let_in(self, uow: UnitOfWork, call: Call, funding: Funding) -> Money:
        """Writes the stream's checkpoint in the transaction that funds it: a crash leaves something that can be ended.

        Answers what the wallet has available beside what was set aside.
        """
        nothing = Measured({}, NOTHING, EstimateReason.GATEWAY_LOST)
        event = self._desk.booker.event(call, funding, Outcome(call.route.targets[0], "", nothing))
        checkpoint = Checkpoint(event, NOTHING, has_delivered=False, began_at=call.began_at)
        await repository.insert_checkpoint(uow, checkpoint, self._lease_until())
        return (await self._desk.wallets.balance(uow, funding.wallet_id)).available

    async def open(self, call: Call, funding: Funding, available: Money) -> StreamedAnswer | Refused:
        """Begins the stream; answers once the first bytes are there, or the provider's refusal.

        Raises:
            UpstreamFailure: the provider broke off before anything could be passed on; nothing is charged.
            BillingUnavailable: the books cannot be reached.
        """
        stream = _Stream(self._desk, call, funding, available)
        task = asyncio.create_task(stream.run(), name=f"stream {call.operation_id}")
        self._running[task] = stream
        task.add_done_callback(self._running.pop)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep_leases(), name="leases of streams")
        try:
            return await asyncio.shield(stream.first)
        except asyncio.CancelledError:
            stream.outbox.leave()
            raise

    async def finish(self) -> None:
        """Lets running streams end by themselves for a while, then cuts and settles the others."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._desk.terms.shutdown_seconds)
        for stream in tuple(self._running.values()):
            stream.stop(GatewayStopping())
        if self._running:
            await asyncio.wait(self._running)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    async def _keep_leases(self) -> None:
        """Shows that this process is alive, for all its streams at once."""
        while True:
            await asyncio.sleep(self._desk.terms.lease.total_seconds() / 3)
            operations = [stream.operation_id for stream in self._running.values() if not stream.is_given_up]
            if not operations:
                continue
            try:
                with failing_closed():
                    async with self._desk.begin() as uow:
                        await repository.renew_leases(uow, operations, self._lease_until())
            except BillingUnavailable:
                _log.warning("leases_not_renewed", streams=len(operations))

    def _lease_until(self) -> datetime:
        return self._desk.clock.now() + self._desk.terms.lease


class _Stream:
    """One stream, from the request to the booking."""

    def __init__(self, desk: Desk, call: Call, funding: Funding, available: Money) -> None:
        self._desk = desk
        self._call = call
        self._funding = funding
        self._available = available
        self._held = funding.held
        self._step_micros = max(1, funding.held.micros // 2)
        self._least_step_micros = max(1, funding.held.micros // 64)
        self._forwarded: Forwarded | None = None
        self._meter: StreamMeter | None = None
        self._unlooked_bytes = 0
        self._drained_bytes = 0
        self._checkpointed_at = self._renewed_at = desk.clock.now()
        self._checkpointed_units = 0
        self._has_checkpoint = False
        self._deadline: float | None = None
        self._waiting: asyncio.Timeout | None = None
        self._stop_reason: BillingError | None = None
        self.operation_id = call.operation_id
        self.is_given_up = False
        self.first: asyncio.Future[StreamedAnswer | Refused] = asyncio.get_running_loop().create_future()
        self.first.add_done_callback(_seen)
        self.outbox = Outbox(
            bytes_max=desk.terms.buffer_bytes,
            patience_seconds=desk.terms.client_patience_seconds,
            on_leave=lambda: self._end_within(desk.terms.drain_seconds),
        )

    def stop(self, reason: BillingError) -> None:
        """Cuts the stream; what was delivered is settled."""
        self._stop_reason = reason
        self._end_within(0)

    async def run(self) -> None:
        """Forwards, passes on and books. Whatever happens, the operation ends, or its checkpoint stays."""
        try:
            async with AsyncExitStack() as connection:
                forwarded = await self._desk.forwarder.forward(self._call, connection)
                if isinstance(forwarded, ProviderRefusal):
                    balance = await self._given_back()
                    self._answer(Refused(forwarded, balance))
                    return
                ending = await self._passed_on(forwarded)
            await self._ended(ending)
        except BillingError as failure:
            await self._failed(failure)
        except Exception:
            # A bug of ours must not leave the operation open; its trace goes to whoever watches the task.
            await self._failed(UpstreamBroken())
            raise
        finally:
            self.outbox.close()
            if not self.first.done():
                self.first.cancel()

    async def _passed_on(self, forwarded: Forwarded) -> BillingError | None:
        """Reads the answer to its end, whatever that is; answers what the client has to be told, if anything."""
        self._forwarded = forwarded
        rates, names = self._funding.rates[forwarded.target.priced_as], self._call.route.model
        self._meter = self._call.request.stream_meter(
            rates, public_model=names, upstream_model=forwarded.target.upstream_model
        )
        exchange = forwarded.exchange
        if exchange.status != _OK or exchange.content_type.lower().startswith(_NOT_EVENTS):
            raise UpstreamBroken
        try:
            await self._read(exchange.chunks(), self._meter)
        except UpstreamFailure as failure:
            return None if self._meter.is_finished else failure
        except _EnoughError as enough:
            return enough.reason
        return None if self._meter.is_finished else UpstreamBroken()

    async def _read(self, chunks: AsyncIterator[bytes], meter: StreamMeter) -> None:
        parser = SseParser()
        while (chunk := await self._next(chunks, meter)) is not None:
            await self._take(parser, chunk, meter)
            if self.outbox.is_left:
                self._drained_bytes += len(chunk)
                if self._drained_bytes > self._desk.terms.drain_bytes and not meter.is_finished:
                    raise _EnoughError(None)
            if meter.is_finished:
                self._end_within(_END_GRACE_SECONDS)

    async def _next(self, chunks: AsyncIterator[bytes], meter: StreamMeter) -> bytes | None:
        """The next chunk, or None at the end; no longer than until the deadline that a leaving client sets."""
        try:
            async with asyncio.timeout_at(self._deadline) as self._waiting:
                return await anext(chunks, None)
        except TimeoutError:
            if meter.is_finished:
                return None
            raise _EnoughError(self._stop_reason) from None
        finally:
            self._waiting = None

    async def _take(self, parser: SseParser, chunk: bytes, meter: StreamMeter) -> None:
        """Passes on what a chunk completes. Each event is looked at by itself, so that no chunking changes a charge."""
        passed = bytearray()
        try:
            for event in parser.feed(chunk):
                content = meter.see(event)
                passed += content
                self._unlooked_bytes += len(content)
                if self._unlooked_bytes >= _LOOK_EVERY_BYTES:
                    self._unlooked_bytes = 0
                    await self._pass(passed)
                    await self._look(meter)
        finally:
            await self._pass(passed)
        if self._is_checkpoint_due(meter):
            await self._write_checkpoint(meter)

    async def _pass(self, passed: bytearray) -> None:
        if not passed:
            return
        self._begin_answer()
        await self.outbox.put(bytes(passed))
        passed.clear()

    async def _look(self, meter: StreamMeter) -> None:
        """Whether what was set aside still covers what was used; more is set aside in steps, while there is more."""
        measured = meter.measured()
        if self._funding.source is BillingSource.PAYG:
            await self._keep_covered(self._cost_of(measured))
        units = sum(measured.quantities.values())
        if units - self._checkpointed_units >= self._desk.terms.checkpoint_tokens:
            await self._write_checkpoint(meter)

    async def _keep_covered(self, cost: Money) -> None:
        """Lets the hold grow before it is used up, in smaller steps where a larger one is refused; then stops."""
        while cost.micros + self._step_micros // 2 >= self._held.micros:
            refusal = await self._grown_to(Money(cost.micros + self._step_micros, cost.currency))
            if refusal is None:
                return
            is_last_step = self._step_micros <= self._least_step_micros
            if is_last_step and cost >= self._held:
                raise _EnoughError(refusal) from refusal
            if is_last_step:
                return
            self._step_micros = max(self._least_step_micros, self._step_micros // 4)

    async def _grown_to(self, amount: Money) -> BillingError | None:
        """Why the hold cannot grow, or None if it has grown."""
        try:
            with failing_closed():
                async with self._desk.begin() as uow:
                    hold = await self._desk.wallets.extend(uow, self._funding.wallet_id, self.operation_id, amount)
        except BillingUnavailable:
            raise
        except BillingError as refusal:
            return refusal
        self._held = hold.amount
        return None

    def _is_checkpoint_due(self, meter: StreamMeter) -> bool:
        if not meter.has_delivered:
            return False
        age = self._desk.clock.now() - self._checkpointed_at
        return not self._has_checkpoint or age >= self._desk.terms.checkpoint_every

    async def _write_checkpoint(self, meter: StreamMeter) -> None:
        """Makes durable what was used so far. Where that fails twice, nothing more may pass (G5).

        Raises:
            BillingUnavailable: the books cannot be reached.
        """
        for attempts_left in reversed(range(_CHECKPOINT_ATTEMPTS)):
            try:
                await self._store(self._outcome(meter, lost=True))
            except BillingUnavailable:
                if not attempts_left:
                    raise
            else:
                return

    async def _store(self, outcome: Outcome) -> None:
        """Writes the checkpoint, and renews once in a lease what was set aside."""
        now = self._desk.clock.now()
        is_renewal = now - self._renewed_at >= self._desk.terms.lease
        event = self._desk.booker.event(self._call, self._funding, outcome)
        checkpoint = Checkpoint(event, outcome.measured.free, has_delivered=True, began_at=self._call.began_at)
        with failing_closed():
            async with self._desk.begin() as uow:
                if not await repository.write_progress(uow, checkpoint, now + self._desk.terms.lease):
                    # A job or an operator has ended the operation; nothing more may be delivered on it.
                    raise _EnoughError(BillingInterrupted())
                if is_renewal:
                    await self._renew(uow)
        self._has_checkpoint = True
        self._checkpointed_at = now
        self._checkpointed_units = sum(outcome.measured.quantities.values())
        if is_renewal:
            self._renewed_at = now

    async def _renew(self, uow: UnitOfWork) -> None:
        if self._funding.source is BillingSource.LEAD_MAGNET:
            await self._desk.quotas.renew(uow, self.operation_id)
        else:
            await self._desk.wallets.renew(uow, self._funding.wallet_id, self.operation_id)

    async def _ended(self, reason: BillingError | None) -> None:
        """Books what was delivered, or gives everything back where nothing was, and says the last word."""
        meter = self._meter
        assert meter is not None, "an answer had begun"
        if not _has_something_to_book(meter):
            await self._failed(reason or UpstreamBroken())
            return
        self._begin_answer()
        receipt = await self._settled(meter)
        if receipt is None:
            self.outbox.close(meter.broken(BillingInterrupted()))
            await self._settle_later(meter)
        elif reason is None:
            self.outbox.close(meter.closing(receipt))
        elif isinstance(reason, UpstreamFailure):
            self.outbox.close(meter.broken(type(reason)(has_delivered=True)))
        elif isinstance(reason, GatewayStopping | BillingInterrupted):
            self.outbox.close(meter.broken(reason))
        else:
            self.outbox.close(meter.stopped(reason, receipt))

    async def _failed(self, failure: BillingError) -> None:
        """The stream cannot go on. Nothing delivered: nothing charged, and a plain refusal if there is still time."""
        meter = self._meter
        if meter is not None and _has_something_to_book(meter):
            await self._ended(
                failure if isinstance(failure, UpstreamFailure | GatewayStopping) else BillingInterrupted()
            )
            return
        try:
            await self._given_back()
        except BillingUnavailable:
            # The checkpoint stays; once its lease is over, the job gives back what was set aside.
            self.is_given_up = True
        if not self.first.done():
            self.first.set_exception(failure)
        elif meter is not None:
            self.outbox.close(meter.broken(failure))

    async def _given_back(self) -> Money:
        with failing_closed():
            async with self._desk.begin() as uow:
                if await repository.claim(uow, self.operation_id):
                    return await self._desk.booker.give_back(
                        uow, self.operation_id, self._funding.wallet_id, self._funding.source
                    )
                return (await self._desk.wallets.balance(uow, self._funding.wallet_id)).available

    async def _settled(self, meter: StreamMeter) -> Receipt | None:
        """The receipt, or None where the books could not be reached."""
        for attempts_left in reversed(range(_SETTLE_ATTEMPTS)):
            try:
                return await self._settle(meter)
            except BillingUnavailable:
                _log.warning("settlement_failed", operation_id=self.operation_id, attempts_left=attempts_left)
        return None

    async def _settle(self, meter: StreamMeter) -> Receipt:
        """Books the stream, unless somebody else has: then what they booked is what it cost."""
        outcome = self._outcome(meter)
        event = self._desk.booker.event(self._call, self._funding, outcome)
        try:
            with failing_closed():
                async with self._desk.begin() as uow:
                    if await repository.claim(uow, self.operation_id):
                        balance = await self._desk.booker.book(uow, event, outcome.measured.free)
                        return self._receipt(event.charged, balance)
        except (OperationEnded, ReservationEnded, UsageEventReused) as ended:
            _log.error("stream_ended_by_others", operation_id=self.operation_id, code=ended.code)
        with failing_closed():
            async with self._desk.begin() as uow:
                await repository.claim(uow, self.operation_id)
                recorded = await self._desk.usage.event_of(uow, self.operation_id)
                balance = (await self._desk.wallets.balance(uow, self._funding.wallet_id)).available
        return self._receipt(Money.zero(balance.currency) if recorded is None else recorded.charged, balance)

    async def _settle_later(self, meter: StreamMeter) -> None:
        """Nobody waits any more, but only we know the last tokens: tries on until the job takes over."""
        self.is_given_up = True
        until = self._desk.clock.now() + self._desk.terms.lease
        tries_max = max(1, int(self._desk.terms.lease.total_seconds() / self._desk.terms.retry_seconds))
        for _ in range(tries_max):
            await asyncio.sleep(self._desk.terms.retry_seconds)
            if self._stop_reason is not None or self._desk.clock.now() >= until:
                break
            try:
                await self._settle(meter)
            except BillingUnavailable:
                continue
            return
        _log.error("settlement_left_to_the_job", operation_id=self.operation_id)

    def _outcome(self, meter: StreamMeter, *, lost: bool = False) -> Outcome:
        """What the stream has come to by now; `lost` is how it looks to whoever finds its checkpoint alone."""
        assert self._forwarded is not None, "an answer had begun"
        measured = meter.measured()
        if measured.estimate_reason is not None and lost:
            measured = replace(measured, estimate_reason=EstimateReason.GATEWAY_LOST)
        elif measured.estimate_reason is not None and not meter.is_finished:
            measured = replace(measured, estimate_reason=EstimateReason.STREAM_CUT)
        return Outcome(self._forwarded.target, meter.model_used, measured)

    def _cost_of(self, measured: Measured) -> Money:
        assert self._forwarded is not None, "an answer had begun"
        return price_of(measured.quantities, self._funding.rates[self._forwarded.target.priced_as])

    def _receipt(self, charged: Money, balance: Money) -> Receipt:
        return Receipt(self.operation_id, charged, balance, self._funding.source)

    def _begin_answer(self) -> None:
        self._answer(
            StreamedAnswer(
                content_type="text/event-stream; charset=utf-8",
                reading=self.outbox,
                operation_id=self.operation_id,
                balance=self._available,
                billing_source=self._funding.source,
            )
        )

    def _answer(self, first: StreamedAnswer | Refused) -> None:
        if not self.first.done():
            self.first.set_result(first)

    def _end_within(self, seconds: float) -> None:
        """Sets the deadline; a nearer one stays."""
        at = asyncio.get_running_loop().time() + seconds
        if self._deadline is not None and self._deadline <= at:
            return
        self._deadline = at
        if self._waiting is not None:
            self._waiting.reschedule(at)


def _has_something_to_book(meter: StreamMeter) -> bool:
    """Output was passed on, or the provider says at its end what an answer without words has used."""
    return meter.has_delivered or (meter.is_finished and meter.measured().estimate_reason is None)


def _seen(first: asyncio.Future[StreamedAnswer | Refused]) -> None:
    """Whoever waited may have left; a refusal that nobody hears is no bug."""
    if not first.cancelled():
        first.exception()
