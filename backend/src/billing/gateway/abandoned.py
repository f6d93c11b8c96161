"""Ends the streams whose process is gone: what was metered is booked, what was not even begun is given back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import structlog

from billing.gateway import repository
from billing.gateway.booking import Booker
from billing.gateway.repository import Checkpoint
from billing.kit.clock import Clock
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.quotas.errors import ReservationEnded
from billing.usage.errors import UsageEventReused
from billing.usage.rules import UsageEvent
from billing.wallets.errors import OperationEnded
from billing.wallets.rules import OperationId

_log = structlog.get_logger(__name__)

_BATCH_MAX = 200
_POSTPONED = timedelta(minutes=1)  # however many cannot be ended, the others are reached


class AbandonedStreams:
    """Works on checkpoints whose lease has run out. The stream's own process may be slow and not dead, so whoever
    deletes the checkpoint ends the stream, and nobody else.
    """

    def __init__(self, *, begin: Begin, clock: Clock, booker: Booker) -> None:
        self._begin = begin
        self._clock = clock
        self._booker = booker

    async def settle(self) -> int:
        """Ends abandoned streams, longest abandoned first, each in a transaction of its own.

        Looks at 200 at the most; says how many it ended, so that the caller can come again at once.
        """
        async with self._begin() as uow:
            due = await repository.abandoned(uow, self._clock.now(), _BATCH_MAX)
        ended = 0
        bugs: list[Exception] = []
        for operation_id in due:
            try:
                ended += await self._settle(operation_id)
            except Exception as bug:  # noqa: BLE001 - one stream that cannot be ended must not keep the others waiting
                bugs.append(bug)
                async with self._begin() as uow:
                    await repository.postpone(uow, operation_id, self._clock.now() + _POSTPONED)
        if bugs:
            raise ExceptionGroup("abandoned streams could not be ended", bugs)
        return ended

    async def hand_over(self, uow: UnitOfWork, operation_id: OperationId) -> UsageEvent | None:
        """Leaves the end of a stream to an operator, in their unit of work; answers what was metered until then.

        From then on neither the stream's own process nor the job ends it. None: no stream, or one that has ended.
        """
        checkpoint = await repository.take_over(uow, operation_id)
        return None if checkpoint is None else checkpoint.event

    async def unfinished(self, uow: UnitOfWork, operations: Sequence[OperationId]) -> frozenset[OperationId]:
        """Those of these operations that are streams which nobody has ended."""
        return await repository.open_streams(uow, operations)

    async def _settle(self, operation_id: OperationId) -> bool:
        try:
            async with self._begin() as uow:
                checkpoint = await repository.claim_abandoned(uow, operation_id, self._clock.now())
                if checkpoint is None:
                    return False
                await self._end(uow, checkpoint)
        except (OperationEnded, ReservationEnded, UsageEventReused) as ended:
            # An operator was here before us; what they decided stands.
            _log.warning("abandoned_stream_had_ended", operation_id=operation_id, code=ended.code)
            async with self._begin() as uow:
                return await repository.claim(uow, operation_id)
        _log.warning("abandoned_stream_ended", operation_id=operation_id, has_delivered=checkpoint.has_delivered)
        return True

    async def _end(self, uow: UnitOfWork, checkpoint: Checkpoint) -> None:
        event = checkpoint.event
        if checkpoint.has_delivered:
            await self._booker.book(uow, event, checkpoint.free)
        else:
            await self._booker.give_back(
                uow, event.operation_id, event.wallet_id, event.billing_source, reason="gateway_lost"
            )
