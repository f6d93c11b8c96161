"""The streams of one process: let in, started, kept alive, and ended when the process ends."""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog

from billing.gateway import repository
from billing.gateway.calls import Call, Funding, Outcome, StreamedAnswer
from billing.gateway.errors import BillingUnavailable, GatewayStopping
from billing.gateway.fail_closed import failing_closed
from billing.gateway.forwarding import Forwarder
from billing.gateway.pump import Pump, Refused
from billing.gateway.repository import Checkpoint
from billing.gateway.rules.metering import Measured
from billing.gateway.stream_accounts import Books, StreamAccounts
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.rules import NOTHING
from billing.usage.rules import EstimateReason

_log = structlog.get_logger(__name__)


class Streams:
    """All streams of this process; each runs in a task of its own."""

    def __init__(self, books: Books, forwarder: Forwarder) -> None:
        self._books = books
        self._forwarder = forwarder
        self._running: dict[asyncio.Task[None], Pump] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def let_in(self, uow: UnitOfWork, call: Call, funding: Funding) -> Money:
        """Writes the stream's checkpoint in the transaction that funds it: a crash leaves something that can be ended.

        Answers what the wallet has available beside what was set aside.
        """
        available = funding.available
        if available is None:
            available = (await self._books.wallets.balance(uow, funding.wallet_id)).available
        nothing = Measured({}, NOTHING, EstimateReason.GATEWAY_LOST)
        event = self._books.booker.event(call, funding, Outcome(call.route.targets[0], "", nothing))
        checkpoint = Checkpoint(event, NOTHING, has_delivered=False, began_at=call.began_at)
        await repository.insert_checkpoint(uow, checkpoint, self._lease_until())
        return available

    async def open(self, call: Call, funding: Funding, available: Money) -> StreamedAnswer | Refused:
        """Begins the stream; answers once the first bytes are there, or with the provider's refusal.

        Raises:
            UpstreamFailure: the provider broke off before anything could be passed on; nothing is charged.
            BillingUnavailable: the books cannot be reached.
        """
        pump = Pump(
            call,
            funding,
            accounts=StreamAccounts(self._books, call, funding),
            forwarder=self._forwarder,
            available=available,
            terms=self._books.terms,
        )
        task = asyncio.create_task(pump.run(), name=f"stream {call.operation_id}")
        self._running[task] = pump
        task.add_done_callback(self._forget)
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.create_task(self._keep_leases(), name="leases of streams")
        try:
            return await asyncio.shield(pump.first)
        except asyncio.CancelledError:
            pump.outbox.leave()
            raise

    async def finish(self) -> None:
        """Lets running streams end by themselves for a while, then cuts and settles the others."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._books.terms.shutdown_seconds)
        for pump in tuple(self._running.values()):
            pump.stop(GatewayStopping())
        if self._running:
            await asyncio.wait(self._running)
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        pump = self._running.pop(task)
        bug = None if task.cancelled() else task.exception()
        if bug is not None:
            _log.error("bug", operation_id=pump.operation_id, exc_info=bug)

    async def _keep_leases(self) -> None:
        """Shows that this process is alive, for all its streams at once, as long as there are any."""
        while self._running:
            await asyncio.sleep(self._books.terms.lease.total_seconds() / 3)
            operations = [pump.operation_id for pump in self._running.values() if not pump.accounts.is_left_alone]
            if not operations:
                continue
            try:
                with failing_closed():
                    async with self._books.begin() as uow:
                        await repository.renew_leases(uow, operations, self._lease_until())
            except BillingUnavailable:
                _log.warning("leases_not_renewed", streams=len(operations))

    def _lease_until(self) -> datetime:
        return self._books.clock.now() + self._books.terms.lease
