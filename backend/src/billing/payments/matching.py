"""Walks through the provider's list and through our rows of the same time, and finds what only one side has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import structlog

from billing.kit.clock import Clock
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin
from billing.payments import reconciliation_repository, refunds_repository
from billing.payments.comparison import (
    Difference,
    DifferenceId,
    DifferenceKind,
    Shop,
    Window,
    difference_without_object,
    difference_without_row,
    payment_differences,
    refund_difference,
    refund_without_object,
    refund_without_row,
    unbooked_fee,
    unreadable,
)
from billing.payments.errors import (
    PaymentUnderReview,
    ProviderListHoles,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRejected,
)
from billing.payments.outages import CANNOT_BE_ASKED, is_provider_down
from billing.payments.ports import PaymentProvider, ProviderPayment, ProviderRefund
from billing.payments.provider_states import ProviderStates
from billing.payments.read_back import ReadBack
from billing.payments.records import Payment, Refund

_log = structlog.get_logger(__name__)

_HEALED_BY_BOOKING = frozenset({DifferenceKind.STATUS, DifferenceKind.REFUND})

_ABOUT_ONE = (PaymentUnderReview, ProviderMalformed, ProviderObjectUnknown, ProviderRejected)
"""What says something about the one object that was asked about, and nothing about the others."""

_PERHAPS_ABOUT_ONE = (*_ABOUT_ONE, *CANNOT_BE_ASKED)
"""The same, and what is about the one object only where the provider answers other questions."""

T = TypeVar("T", ProviderPayment, ProviderRefund)


@dataclass(slots=True)
class Findings:
    """What has been met and found so far."""

    payments: set[str] = field(default_factory=set)
    refunds: set[str] = field(default_factory=set)
    healed: int = 0
    differences: int = 0


class Matcher:
    """Compares one shop's books with ours; what the way of every other news can heal is healed by it."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        provider: PaymentProvider,
        states: ProviderStates,
        at_once: int = 100,
    ) -> None:
        """`at_once` rows are asked of the database in one question."""
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._provider = provider
        self._at_once = at_once
        self._read_back = ReadBack(begin=begin, provider=provider, states=states)
        self.shop = Shop(provider.name, provider.shop_id)

    async def match(self, window: Window) -> Findings:
        """Both directions, payments before refunds; differences are listed as they are found.

        Raises:
            ProviderFailure: the provider could not be asked; what was found by then stays listed.
        """
        found = Findings()
        seen = _Listing(self._provider.list_payments(since=window.since, until=window.until))
        async for payments in _batches(seen, self._at_once):
            await self._match_payments(payments, found)
        await self._list_holes(seen.holes, found.payments, found)
        await self._match_our_payments(window, found)
        given_back = _Listing(self._provider.list_refunds(since=window.since, until=window.until))
        async for refunds in _batches(given_back, self._at_once):
            await self._match_refunds(refunds, found)
        await self._list_holes(given_back.holes, found.refunds, found)
        await self._match_our_refunds(window, found)
        return found

    async def _list_holes(self, holes: Sequence[str], met: set[str], found: Findings) -> None:
        """What the list has and nobody understands; it was met, so that it is not asked for by its name as well."""
        met.update(holes)
        for hole in holes:
            await self._list(unreadable(hole), found)

    async def _match_payments(self, seen: Sequence[ProviderPayment], found: Findings) -> None:
        found.payments.update(one.id for one in seen)
        rows = await self._rows_of(seen)
        by_name: dict[str | None, Payment] = {row.provider_payment_id: row for row in rows}
        by_id: dict[str, Payment] = {row.id: row for row in rows}
        for one in seen:
            row = by_name.get(one.id) or by_id.get(str(one.payment_id))
            if row is None:
                await self._list(difference_without_row(one), found)
            else:
                await self._match_payment(row, one, found)

    async def _match_payment(self, row: Payment, seen: ProviderPayment, found: Findings) -> None:
        differences = payment_differences(row, seen)
        if _is_healed_by_booking(row, seen, differences):
            seen, row = await self._booked(row, seen)
            differences = payment_differences(row, seen)
            found.healed += not differences
        for difference in differences:
            await self._list(difference, found)

    async def _booked(self, row: Payment, seen: ProviderPayment) -> tuple[ProviderPayment, Payment]:
        """Both sides, after what the provider says now has been booked; as they were, where that cannot be.

        A payment that is odd, or whose purpose does not take its money, stays a difference; it must not keep the others
        from being compared.
        """
        try:
            applied = await self._read_back.named(seen.id, with_all=True)
            fresh = await self._provider.get_payment(seen.id)
        except _PERHAPS_ABOUT_ONE as failure:
            await self._require_provider(failure)
            _log.warning("payment_not_healed", payment_id=row.id, code=failure.code)
            return seen, row
        return fresh, row if applied is None else applied.payment

    async def _match_our_payments(self, window: Window, found: Findings) -> None:
        """What we have and the list had not is asked for by its name: it may have begun just outside of the window."""
        after = None
        while True:
            async with self._begin() as uow:
                rows = await reconciliation_repository.payments_begun(
                    uow, self.shop, since=window.since, until=window.until, after=after, limit=self._at_once
                )
            for row in rows:
                if row.provider_payment_id is not None and row.provider_payment_id not in found.payments:
                    await self._ask_for_payment(row, found)
            if len(rows) < self._at_once:
                return
            after = rows[-1].created_at, rows[-1].id

    async def _ask_for_payment(self, row: Payment, found: Findings) -> None:
        assert row.provider_payment_id is not None, "only named payments are asked for"
        try:
            seen = await self._provider.get_payment(row.provider_payment_id)
        except ProviderObjectUnknown:
            await self._list(difference_without_object(row), found)
        except (ProviderMalformed, *CANNOT_BE_ASKED) as failure:
            await self._require_provider(failure)
            await self._list(unreadable(row.provider_payment_id, row.id), found)
        else:
            await self._match_payment(row, seen, found)

    async def _match_refunds(self, seen: Sequence[ProviderRefund], found: Findings) -> None:
        found.refunds.update(one.id for one in seen)
        rows = await self._refund_rows_of(seen)
        for one in seen:
            await self._match_refund(_row_of(one, rows), one, found)

    async def _match_refund(self, row: Refund | None, seen: ProviderRefund, found: Findings) -> None:
        difference = refund_without_row(seen, None) if row is None else refund_difference(row, seen)
        if difference is None:
            return
        payment = await self._payment_behind(seen)
        fresh = await self._fresh(seen)
        row = _row_of(fresh, await self._refund_rows_of([fresh]))
        difference = refund_without_row(fresh, payment) if row is None else refund_difference(row, fresh)
        found.healed += difference is None
        await self._list(difference, found)

    async def _payment_behind(self, seen: ProviderRefund) -> Payment | None:
        """Our payment that was given back, with what the provider says now booked where that can be; None without."""
        try:
            applied = await self._read_back.named(seen.payment_id, with_all=True)
        except _PERHAPS_ABOUT_ONE as failure:
            await self._require_provider(failure)
            _log.warning("refund_not_healed", provider_refund_id=seen.id, code=failure.code)
            async with self._begin() as uow:
                rows = await reconciliation_repository.payments_of(uow, self.shop, named=[seen.payment_id], ids=[])
            return next(iter(rows), None)
        return None if applied is None else applied.payment

    async def _fresh(self, seen: ProviderRefund) -> ProviderRefund:
        try:
            return await self._provider.get_refund(seen.id)
        except _PERHAPS_ABOUT_ONE as failure:
            await self._require_provider(failure)
            return seen

    async def _require_provider(self, failure: BillingError) -> None:
        """Lets a failure pass that is about the one object which was asked about.

        Raises:
            ProviderFailure: the failure itself; it is the provider's as a whole.
        """
        if isinstance(failure, CANNOT_BE_ASKED) and await is_provider_down(self._provider, failure):
            raise failure

    async def _match_our_refunds(self, window: Window, found: Findings) -> None:
        after = None
        while True:
            async with self._begin() as uow:
                rows = await reconciliation_repository.refunds_begun(
                    uow, self.shop, since=window.since, until=window.until, after=after, limit=self._at_once
                )
            for row in rows:
                if row.provider_refund_id is not None and row.provider_refund_id not in found.refunds:
                    await self._ask_for_refund(row, found)
            if len(rows) < self._at_once:
                return
            after = rows[-1].created_at, rows[-1].id

    async def _ask_for_refund(self, row: Refund, found: Findings) -> None:
        assert row.provider_refund_id is not None, "only named refunds are asked for"
        try:
            seen = await self._provider.get_refund(row.provider_refund_id)
        except ProviderObjectUnknown:
            await self._list(refund_without_object(row), found)
        except (ProviderMalformed, *CANNOT_BE_ASKED) as failure:
            await self._require_provider(failure)
            await self._list(unreadable(row.provider_refund_id, row.payment_id), found)
        else:
            await self._match_refund(row, seen, found)

    async def _rows_of(self, seen: Sequence[ProviderPayment]) -> tuple[Payment, ...]:
        async with self._begin() as uow:
            return await reconciliation_repository.payments_of(
                uow,
                self.shop,
                named=[one.id for one in seen],
                ids=[one.payment_id for one in seen if one.payment_id is not None],
            )

    async def _refund_rows_of(self, seen: Sequence[ProviderRefund]) -> list[Refund]:
        async with self._begin() as uow:
            return await refunds_repository.refunds_named(
                uow,
                self.shop.provider,
                [one.id for one in seen],
                [one.refund_id for one in seen if one.refund_id is not None],
            )

    async def _list(self, difference: Difference | None, found: Findings) -> None:
        if difference is None:
            return
        new_id = DifferenceId(self._ids.new("rcd"))
        async with self._begin() as uow:
            listed = await reconciliation_repository.record_difference(
                uow, self.shop, difference, new_id=new_id, at=self._clock.now()
            )
        found.differences += listed is not None
        if listed == new_id:
            _log.error(
                "books_differ",
                difference_id=listed,
                kind=difference.kind,
                object_id=difference.object_id,
                payment_id=difference.payment_id,
            )


def _is_healed_by_booking(row: Payment, seen: ProviderPayment, differences: Sequence[Difference]) -> bool:
    kinds = {difference.kind for difference in differences}
    return kinds <= _HEALED_BY_BOOKING if kinds else unbooked_fee(row, seen) is not None


def _row_of(seen: ProviderRefund, rows: Sequence[Refund]) -> Refund | None:
    """Our row: by the provider's name, or by ours where its answer never reached us."""
    by_name = next((row for row in rows if row.provider_refund_id == seen.id), None)
    return by_name or next((row for row in rows if row.id == seen.refund_id), None)


class _Listing(AsyncIterator[T]):
    """A provider's list; what of it makes no sense is in `holes` once it has been read to its end."""

    def __init__(self, behind: AsyncIterator[T]) -> None:
        self._behind: AsyncIterator[T] = behind
        self.holes: tuple[str, ...] = ()

    async def __anext__(self) -> T:
        try:
            return await anext(self._behind)
        except ProviderListHoles as holes:
            self.holes = holes.objects
            raise StopAsyncIteration from holes


async def _batches(objects: AsyncIterator[T], size: int) -> AsyncIterator[list[T]]:
    """So many at a time, so that each question to the database is about many."""
    batch: list[T] = []
    async for one in objects:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
