"""Recording use with its charge, and reading it back."""

from __future__ import annotations

from billing.customers.rules import AccountId, Permission, Principal, require
from billing.kit.pagination import PAGE_SIZE_MAX, Page, decode_cursor, encode_cursor
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.usage import repository
from billing.usage.errors import UsageEventReused
from billing.usage.rules import UsageEvent
from billing.wallets.rules import OperationId


class UsageService:
    """The record of use: one event per operation, written in the transaction that charges it (G4)."""

    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    async def record(self, uow: UnitOfWork, event: UsageEvent) -> None:
        """Writes the event; the same event a second time changes nothing.

        Where writes may wait nobody hears that there is an event already: then the commit fails.

        Raises:
            UsageEventReused: the operation has an event that says something else.
        """
        if uow.writes_may_wait:
            await repository.insert_new_event(uow, event)
            return
        if await repository.insert_event(uow, event):
            return
        if await repository.event_of(uow, event.operation_id) != event:
            raise UsageEventReused(event.operation_id)

    async def event_of(self, uow: UnitOfWork, operation_id: OperationId) -> UsageEvent | None:
        """The operation's event, or None while it has not ended."""
        return await repository.event_of(uow, operation_id)

    async def recent(self, uow: UnitOfWork, account_id: AccountId, limit: int) -> tuple[UsageEvent, ...]:
        """The account's latest events, newest first, 200 at the most."""
        return await repository.events_before(uow, account_id, None, min(limit, PAGE_SIZE_MAX))

    async def page(self, principal: Principal, *, cursor: str | None, limit: int) -> Page[UsageEvent]:
        """One page of the account's events, newest first; rows that arrive meanwhile do not move the next page.

        Raises:
            Forbidden: the caller may not read the account's billing.
            InvalidInput: the cursor is not one of ours.
        """
        require(principal, Permission.READ_BILLING)
        size = max(1, min(limit, PAGE_SIZE_MAX))
        position = decode_cursor(cursor)
        async with self._begin() as uow:
            rows = await repository.events_before(uow, principal.account_id, position, size + 1)
        more = len(rows) > size
        return Page(rows[:size], encode_cursor(rows[size - 1].operation_id) if more else None)
