"""The daily look at the provider's books and ours, in both directions."""

from __future__ import annotations

from datetime import timedelta

from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments import reconciliation_repository as repository
from billing.payments.comparison import (
    WINDOW_MAX,
    DifferenceKind,
    RecordedDifference,
    Resolution,
    Run,
    Window,
    window_after,
)
from billing.payments.errors import DifferenceNotFound, DifferenceResolved, PaymentsNotConfigured
from billing.payments.matching import Matcher

RECONCILE_JOB = "payments.reconcile"

EVERY = timedelta(days=1)

_SHOWN_MAX = 200


class Reconciliation:
    """Compares, heals what can be healed, lists the rest until a person decides; repeating a run changes nothing."""

    def __init__(self, *, begin: Begin, clock: Clock, ids: Ids, job_queue: JobQueue, matcher: Matcher | None) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._job_queue = job_queue
        self._matcher = matcher

    async def enqueue_due(self) -> bool:
        """Puts the daily run into the queue when the last one is a day old; says whether it did.

        Run by a tick, which must not wait for the provider.
        """
        if self._matcher is None:
            return False
        async with self._begin() as uow:
            now = self._clock.now()
            last = await repository.last_daily_run(uow, self._matcher.shop, now=now)
            is_due = last is None or last.finished_at <= now - EVERY
            if is_due:
                await self._job_queue.enqueue(uow, RECONCILE_JOB, Queue.PAYMENT_SYNC, lock=RECONCILE_JOB)
        return is_due

    async def run_due(self) -> Run | None:
        """The daily run, on from where the last one ended; None if it has been made meanwhile.

        Raises:
            PaymentsNotConfigured: nobody collects here.
            ProviderFailure: the provider could not be asked; the next attempt begins where this one did.
        """
        matcher, now = self._configured(), self._clock.now()
        async with self._begin() as uow:
            last = await repository.last_daily_run(uow, matcher.shop, now=now)
        if last is not None and last.finished_at > now - EVERY:
            return None
        window = window_after(None if last is None else last.until, now=now)
        return await self._run(matcher, window, is_daily=True)

    async def run(self, window: Window) -> Run:
        """Compares what began in this time.

        Raises:
            InvalidInput: the time is empty, or longer than a month.
            PaymentsNotConfigured: nobody collects here.
            ProviderFailure: the provider could not be asked.
        """
        if not window.since < window.until <= window.since + WINDOW_MAX:
            raise InvalidInput("since", f"A run compares more than no time and at the most {WINDOW_MAX.days} days.")
        return await self._run(self._configured(), window, is_daily=False)

    async def differences(
        self, *, kind: DifferenceKind | None = None, is_open: bool = True, limit: int = 100
    ) -> tuple[RecordedDifference, ...]:
        """What differs and nobody has decided about, or what has been decided; newest first, 200 at the most."""
        async with self._begin() as uow:
            return await repository.differences(uow, kind=kind, is_open=is_open, limit=min(limit, _SHOWN_MAX))

    async def open_difference(self, difference_id: str) -> RecordedDifference:
        """A difference that somebody may decide about.

        Raises:
            DifferenceNotFound: none has this id.
            DifferenceResolved: somebody has decided about it.
        """
        async with self._begin() as uow:
            return await _open(uow, difference_id)

    async def resolve(self, uow: UnitOfWork, difference_id: str, resolution: Resolution) -> RecordedDifference:
        """Ends the difference in the caller's transaction; answers it as it was. Of two at once the second is refused.

        Raises:
            DifferenceNotFound: none has this id.
            DifferenceResolved: somebody has decided about it.
        """
        found = await _open(uow, difference_id, for_update=True)
        await repository.resolve(uow, found.id, resolution, at=self._clock.now())
        return found

    def _configured(self) -> Matcher:
        if self._matcher is None:
            raise PaymentsNotConfigured
        return self._matcher

    async def _run(self, matcher: Matcher, window: Window, *, is_daily: bool) -> Run:
        found = await matcher.match(window)
        run = Run(
            since=window.since,
            until=window.until,
            payments=len(found.payments),
            refunds=len(found.refunds),
            healed=found.healed,
            differences=found.differences,
        )
        async with self._begin() as uow:
            run_id = self._ids.new("rcr")
            await repository.insert_run(uow, matcher.shop, run, run_id=run_id, is_daily=is_daily, at=self._clock.now())
        return run


async def _open(uow: UnitOfWork, difference_id: str, *, for_update: bool = False) -> RecordedDifference:
    found = await repository.find_difference(uow, difference_id, for_update=for_update)
    if found is None:
        raise DifferenceNotFound(difference_id)
    if found.resolution is not None:
        raise DifferenceResolved(found.id, found.resolution.value)
    return found
