"""The inbox in the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, Select, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.kit.statements import DriverStatement, written
from billing.kit.unit_of_work import UnitOfWork
from billing.webhooks.models import InboxMessageRow, WebhookRefusalRow
from billing.webhooks.rules import MessageId, MessageStatus


@dataclass(frozen=True, slots=True)
class Message:
    """A stored notification, without what it says; `attempts` counts those that have begun."""

    id: MessageId
    provider: str
    event_id: str | None
    status: MessageStatus
    reason: str | None
    attempts: int
    received_at: datetime
    due_at: datetime | None
    handled_at: datetime | None


@dataclass(frozen=True, slots=True)
class LeasedMessage:
    """A message that an attempt to handle it has begun with."""

    id: MessageId
    provider: str
    body: str = field(repr=False)
    attempts: int


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A notification as it is stored."""

    id: MessageId
    provider: str
    event_id: str | None
    digest: str
    body: str = field(repr=False)


_INSERT = DriverStatement(
    insert(InboxMessageRow).on_conflict_do_nothing(),  # by its event id or by its digest
    columns=("id", "provider", "event_id", "digest", "body", "status", "attempts", "received_at", "due_at"),
)


async def insert_if_new(uow: UnitOfWork, message: NewMessage, *, received_at: datetime, due_at: datetime) -> bool:
    """Stores the message unless its provider sent the same before; says whether it is new."""
    inserted = await _INSERT.changed(
        uow,
        id=message.id,
        provider=message.provider,
        event_id=message.event_id,
        digest=message.digest,
        body=message.body,
        status=MessageStatus.WAITING.value,
        attempts=0,
        received_at=received_at,
        due_at=due_at,
    )
    return inserted == 1


_LEASE = DriverStatement(
    update(InboxMessageRow)
    .where(InboxMessageRow.id == bindparam("message_id"), InboxMessageRow.status == MessageStatus.WAITING.value)
    .values(attempts=InboxMessageRow.attempts + 1, due_at=bindparam("until"))
    .returning(InboxMessageRow.id, InboxMessageRow.provider, InboxMessageRow.body, InboxMessageRow.attempts)
)


async def lease(uow: UnitOfWork, message_id: str, *, until: datetime) -> LeasedMessage | None:
    """Begins an attempt with a waiting message and counts it; None where there is nothing to decide."""
    row = await _LEASE.row(uow, message_id=message_id, until=until)
    return None if row is None else LeasedMessage(MessageId(row.id), row.provider, row.body, row.attempts)


_WRITE_OUTCOME = DriverStatement(
    update(InboxMessageRow)
    .where(InboxMessageRow.id == bindparam("message_id"), InboxMessageRow.status == MessageStatus.WAITING.value)
    .values(
        status=bindparam("new_status"),
        reason=bindparam("reason"),
        due_at=bindparam("due_at"),
        handled_at=bindparam("handled_at"),
    )
)


async def write_outcome(
    uow: UnitOfWork,
    message_id: MessageId,
    *,
    status: MessageStatus,
    reason: str | None,
    due_at: datetime | None,
    handled_at: datetime,
) -> None:
    """Says what came of an attempt; a message that another attempt has ended stays as it is. A write that may wait."""
    await written(
        uow,
        _WRITE_OUTCOME.filled(
            message_id=message_id, new_status=status.value, reason=reason, due_at=due_at, handled_at=handled_at
        ),
    )


async def wait_again(uow: UnitOfWork, message_id: MessageId, *, due_at: datetime) -> None:
    """Lets a message, locked by the caller, wait as if it had just come."""
    await uow.connection.execute(
        update(InboxMessageRow)
        .where(InboxMessageRow.id == message_id)
        .values(status=MessageStatus.WAITING, reason=None, attempts=0, due_at=due_at, handled_at=None)
    )


async def lease_due(uow: UnitOfWork, *, now: datetime, until: datetime, limit: int) -> tuple[MessageId, ...]:
    """Takes the messages whose moment has come, oldest first, and puts their next moment to `until`."""
    due = (
        select(InboxMessageRow.id)
        .where(InboxMessageRow.status == MessageStatus.WAITING, InboxMessageRow.due_at <= now)
        .order_by(InboxMessageRow.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    leased = await uow.connection.execute(
        update(InboxMessageRow)
        .where(InboxMessageRow.id.in_(due.scalar_subquery()))
        .values(due_at=until)
        .returning(InboxMessageRow.id)
    )
    return tuple(MessageId(message_id) for message_id in leased.scalars())


async def find(uow: UnitOfWork, message_id: str, *, for_update: bool = False) -> Message | None:
    """The message of this id, locked if wanted."""
    statement = _messages().where(InboxMessageRow.id == message_id)
    found = await uow.connection.execute(statement.with_for_update() if for_update else statement)
    row = found.one_or_none()
    return None if row is None else _message(row)


async def find_body(uow: UnitOfWork, message_id: MessageId) -> str:
    """What a stored message says."""
    body: str = await uow.connection.scalar(select(InboxMessageRow.body).where(InboxMessageRow.id == message_id)) or ""
    return body


async def newest(
    uow: UnitOfWork, *, provider: str | None, status: MessageStatus | None, before: str | None, limit: int
) -> tuple[Message, ...]:
    """Messages that came before the one of this id, newest first."""
    statement = _messages().order_by(InboxMessageRow.id.desc()).limit(limit)
    if provider is not None:
        statement = statement.where(InboxMessageRow.provider == provider)
    if status is not None:
        statement = statement.where(InboxMessageRow.status == status)
    if before is not None:
        statement = statement.where(InboxMessageRow.id < before)
    return tuple(_message(row) for row in await uow.connection.execute(statement))


async def add_refusals(uow: UnitOfWork, counted: Mapping[tuple[str, str, date], int]) -> None:
    """Adds to the day's counts; rows are taken in one order, so that two processes never wait for each other."""
    rows = [
        {"provider": provider, "reason": reason, "counted_on": day, "count": count}
        for (provider, reason, day), count in sorted(counted.items())
    ]
    statement = insert(WebhookRefusalRow).values(rows)
    await uow.connection.execute(
        statement.on_conflict_do_update(
            index_elements=["provider", "reason", "counted_on"],
            set_={"count": WebhookRefusalRow.count + statement.excluded.count},
        )
    )


@dataclass(frozen=True, slots=True)
class Refusals:
    """How many notifications were turned away on a day (UTC) for one reason, which is a refusal's code."""

    provider: str
    reason: str
    counted_on: date
    count: int


async def refusals_since(uow: UnitOfWork, day: date, *, limit: int) -> Sequence[Refusals]:
    """The counts of this day and those after it, newest first."""
    row = WebhookRefusalRow
    statement = (
        select(row.provider, row.reason, row.counted_on, row.count)
        .where(row.counted_on >= day)
        .order_by(row.counted_on.desc(), row.provider, row.reason)
        .limit(limit)
    )
    return [Refusals(*found) for found in await uow.connection.execute(statement)]


def _messages() -> Select[*tuple[Any, ...]]:
    row = InboxMessageRow
    return select(
        row.id,
        row.provider,
        row.event_id,
        row.status,
        row.reason,
        row.attempts,
        row.received_at,
        row.due_at,
        row.handled_at,
    )


def _message(row: Row[Any]) -> Message:
    return Message(
        id=MessageId(row.id),
        provider=row.provider,
        event_id=row.event_id,
        status=MessageStatus(row.status),
        reason=row.reason,
        attempts=row.attempts,
        received_at=row.received_at,
        due_at=row.due_at,
        handled_at=row.handled_at,
    )
