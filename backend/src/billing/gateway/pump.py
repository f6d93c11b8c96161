"""Passes one stream on, from the provider to the client, in a task that outlives the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from billing.gateway.calls import Call, Funding, StreamedAnswer
from billing.gateway.errors import (
    BillingInterrupted,
    BillingUnavailable,
    GatewayStopping,
    UpstreamBroken,
    UpstreamFailure,
)
from billing.gateway.forwarding import Forwarded, Forwarder
from billing.gateway.outbox import Outbox
from billing.gateway.rules.replies import ProviderRefusal
from billing.gateway.rules.sse import ServerSentEvent, SseParser
from billing.gateway.rules.stream_metering import StreamMeter
from billing.gateway.rules.stream_terms import StreamTerms
from billing.gateway.stream_accounts import StreamAccounts, StreamEnds
from billing.kit.errors import BillingError
from billing.kit.money import Money

_OK = 200
# After so many bytes for the client the cost is computed again: often enough to stop in time, too rarely to be felt.
_LOOK_EVERY_BYTES = 2048
_END_GRACE_SECONDS = 2.0  # between the provider's last word and the end of its connection
_NOT_EVENTS = ("application/json", "text/html")


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider refused before it streamed anything; what was set aside is given back."""

    refusal: ProviderRefusal
    balance: Money


class Pump:
    """One stream under way. `first` comes with its first bytes, with a refusal, or with a failure."""

    def __init__(
        self,
        call: Call,
        funding: Funding,
        *,
        accounts: StreamAccounts,
        forwarder: Forwarder,
        available: Money,
        terms: StreamTerms,
    ) -> None:
        self._call = call
        self._funding = funding
        self._forwarder = forwarder
        self._available = available
        self._terms = terms
        self._meter: StreamMeter | None = None
        self._unlooked_bytes = 0
        self._drained_bytes = 0
        self._deadline: float | None = None
        self._waiting: asyncio.Timeout | None = None
        self._stop_reason: BillingError | None = None
        self._is_stopped = asyncio.Event()
        self.accounts = accounts
        self.operation_id = call.operation_id
        self.first: asyncio.Future[StreamedAnswer | Refused] = asyncio.get_running_loop().create_future()
        self.first.add_done_callback(_seen)
        self.outbox = Outbox(
            bytes_max=terms.buffer_bytes,
            patience_seconds=terms.client_patience_seconds,
            on_leave=lambda: self._end_within(terms.drain_seconds),
        )

    def stop(self, reason: BillingError) -> None:
        """Cuts the stream; what was delivered is settled."""
        self._stop_reason = reason
        self._is_stopped.set()
        self._end_within(0)

    async def run(self) -> None:
        """Forwards, passes on and books. Whatever happens, the operation ends, or its checkpoint stays."""
        try:
            async with AsyncExitStack() as connection:
                forwarded = await self._forwarder.forward(self._call, connection)
                if isinstance(forwarded, ProviderRefusal):
                    self._answer(Refused(forwarded, await self.accounts.give_back()))
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
        target, exchange = forwarded.target, forwarded.exchange
        self.accounts.answered_by(target)
        self._meter = meter = self._call.request.stream_meter(
            self._funding.rates[target.priced_as],
            public_model=self._call.route.model,
            upstream_model=target.upstream_model,
        )
        if exchange.status != _OK or exchange.content_type.lower().startswith(_NOT_EVENTS):
            raise UpstreamBroken
        try:
            await self._read(exchange.chunks(), meter)
        except UpstreamFailure as failure:
            return None if meter.is_finished else failure
        except StreamEnds as end:
            return end.reason
        return None if meter.is_finished else UpstreamBroken()

    async def _read(self, chunks: AsyncIterator[bytes], meter: StreamMeter) -> None:
        parser = SseParser()
        while (chunk := await self._next(chunks, meter)) is not None:
            await self._take(parser.feed(chunk), meter)
            if self.outbox.is_left:
                self._drained_bytes += len(chunk)
                if self._drained_bytes > self._terms.drain_bytes and not meter.is_finished:
                    raise StreamEnds(None)
            if meter.is_finished:
                self._end_within(_END_GRACE_SECONDS)
        await self._take(parser.finish(), meter)

    async def _next(self, chunks: AsyncIterator[bytes], meter: StreamMeter) -> bytes | None:
        """The next chunk, or None at the end; no longer than until the deadline that a leaving client sets."""
        try:
            async with asyncio.timeout_at(self._deadline) as self._waiting:
                return await anext(chunks, None)
        except TimeoutError:
            if meter.is_finished:
                return None
            raise StreamEnds(self._stop_reason) from None
        finally:
            self._waiting = None

    async def _take(self, events: list[ServerSentEvent], meter: StreamMeter) -> None:
        """Passes events on. Each is looked at by itself, so that no chunking changes a charge (G6).

        The first output waits until it is durable that there is some: from then on a crash is billable (G5).
        """
        passed = bytearray()
        try:
            for event in events:
                content = meter.see(event)
                if meter.has_delivered and not self.accounts.is_durable:
                    await self.accounts.store(meter)
                passed += content
                self._unlooked_bytes += len(content)
                if self._unlooked_bytes >= _LOOK_EVERY_BYTES:
                    self._unlooked_bytes = 0
                    await self._pass(passed)
                    await self.accounts.look_at(meter)
        finally:
            await self._pass(passed)
        if self.accounts.is_due():
            await self.accounts.store(meter)

    async def _pass(self, passed: bytearray) -> None:
        if not passed:
            return
        self._begin_answer()
        await self.outbox.put(bytes(passed))
        passed.clear()

    async def _ended(self, reason: BillingError | None) -> None:
        """Books what was delivered, or gives everything back where nothing was, and says the last word."""
        meter = self._meter
        assert meter is not None, "an answer had begun"
        if not self._has_something_to_book(meter):
            await self._failed(reason or UpstreamBroken())
            return
        self._begin_answer()
        receipt = await self.accounts.settle(meter)
        if receipt is None:
            self.outbox.close(meter.broken(BillingInterrupted()))
            await self.accounts.settle_later(meter, self._is_stopped)
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
        if meter is not None and self._has_something_to_book(meter):
            is_told = isinstance(failure, UpstreamFailure | GatewayStopping)
            await self._ended(failure if is_told else BillingInterrupted())
            return
        with suppress(BillingUnavailable):  # the checkpoint stays then, and the job gives back
            await self.accounts.give_back()
        if not self.first.done():
            self.first.set_exception(failure)
        elif meter is not None:
            self.outbox.close(meter.broken(failure))

    def _has_something_to_book(self, meter: StreamMeter) -> bool:
        """Output may have passed, or the provider says at its end what an answer without words has used."""
        return self.accounts.is_durable or (meter.is_finished and meter.measured().estimate_reason is None)

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


def _seen(first: asyncio.Future[StreamedAnswer | Refused]) -> None:
    """Whoever waited may have left; a refusal that nobody hears is no bug."""
    if not first.cancelled():
        first.exception()
