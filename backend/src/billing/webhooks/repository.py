"""The inbox in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from billing.kit.unit_of_work import UnitOfWork
from billing.webhooks.models import InboxMessageRow
from billing.webhooks.rules import MessageId, MessageStatus


@dataclass(frozen=True, slots=True)
class Message:
    """A stored notification."""

    id: MessageId
    provider: str
    body: str
    status: MessageStatus
    attempts: int


async def insert_if_new(
    uow: UnitOfWork, message: Message, *, digest: str, received_at: datetime, due_at: datetime
) -> bool:
    """Stores the message unless its provider sent the same before; says whether it is new."""
    inserted = await uow.connection.execute(
        insert(InboxMessageRow)
        .values(
            id=message.id,
            provider=message.provider,
            digest=digest,
            body=message.body,
            status=message.status,
            attempts=message.attempts,
            received_at=received_at,
            due_at=due_at,
        )
        .on_conflict_do_nothing(index_elements=["provider", "digest"])
        .returning(InboxMessageRow.id),
    )
    return inserted.scalar_one_or_none() is not None


async def find(uow: UnitOfWork, message_id: str) -> Message | None:
    """The message of this id."""
    statement = select(
        InboxMessageRow.id,
        InboxMessageRow.provider,
        InboxMessageRow.body,
        InboxMessageRow.status,
        InboxMessageRow.attempts,
    ).where(InboxMessageRow.id == message_id)
    row = (await uow.connection.execute(statement)).one_or_none()
    if row is None:
        return None
    return Message(MessageId(row.id), row.provider, row.body, MessageStatus(row.status), row.attempts)


async def write_outcome(
    uow: UnitOfWork,
    message_id: MessageId,
    *,
    status: MessageStatus,
    reason: str | None,
    due_at: datetime | None,
    handled_at: datetime,
) -> None:
    """Counts an attempt and says what came of it; a message that another attempt has ended stays as it is."""
    await uow.connection.execute(
        update(InboxMessageRow)
        .where(InboxMessageRow.id == message_id, InboxMessageRow.status == MessageStatus.WAITING)
        .values(
            status=status,
            reason=reason,
            attempts=InboxMessageRow.attempts + 1,
            due_at=due_at,
            handled_at=handled_at,
        )
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
