"""Endpoints, messages and deliveries in the database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.kit.unit_of_work import UnitOfWork
from billing.webhooks.outbound.models import (
    WebhookDeliveryRow,
    WebhookEndpointRow,
    WebhookMessageRow,
    WebhookSecretRow,
)
from billing.webhooks.outbound.rules import (
    Answer,
    Delivery,
    DeliveryStatus,
    DisabledReason,
    Endpoint,
    EndpointId,
    EndpointStatus,
    Message,
    Outcome,
    Ruling,
    Spell,
    Subscription,
)
from billing.webhooks.outbound.signing import SecretName

_ENDPOINT = WebhookEndpointRow.__table__
_MESSAGE = WebhookMessageRow.__table__
_DELIVERY = WebhookDeliveryRow.__table__
_IS_WAITING = WebhookDeliveryRow.status == DeliveryStatus.WAITING


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """One message for one endpoint, to be sent when its turn comes."""

    id: str
    endpoint_id: EndpointId
    message_id: str


@dataclass(frozen=True, slots=True)
class Outgoing:
    """The first message that waits for an endpoint, where it goes, and how it fared so far."""

    delivery_id: str
    endpoint: Endpoint
    message: Message
    attempts: int


async def lock_account(uow: UnitOfWork, account_id: str) -> None:
    """Lets those who make endpoints of one account wait for each other until the transaction ends."""
    await uow.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(account_id, 16))))


async def insert_endpoint(uow: UnitOfWork, endpoint: Endpoint) -> None:
    """Stores a new endpoint."""
    await uow.connection.execute(
        insert(WebhookEndpointRow).values(
            id=endpoint.id,
            account_id=endpoint.account_id,
            url=endpoint.url,
            description=endpoint.description,
            event_types=_as_array(endpoint.event_types),
            status=endpoint.status,
            created_at=endpoint.created_at,
        )
    )


async def find_endpoint(
    uow: UnitOfWork, endpoint_id: str, *, account_id: str | None = None, for_update: bool = False
) -> Endpoint | None:
    """The endpoint of this id, if it is this account's; without an account, whoever's it is."""
    query = select(_ENDPOINT).where(WebhookEndpointRow.id == endpoint_id)
    if account_id is not None:
        query = query.where(WebhookEndpointRow.account_id == account_id)
    if for_update:
        query = query.with_for_update(key_share=True)
    row = (await uow.connection.execute(query)).mappings().one_or_none()
    return None if row is None else _endpoint(row)


async def endpoints_of(uow: UnitOfWork, account_id: str | None, *, limit: int) -> list[Endpoint]:
    """The account's endpoints, oldest first; without an account everybody's, those that fail first."""
    query = select(_ENDPOINT).limit(limit)
    if account_id is None:
        query = query.order_by(WebhookEndpointRow.failing_since.asc().nulls_last(), WebhookEndpointRow.id)
    else:
        query = query.where(WebhookEndpointRow.account_id == account_id).order_by(WebhookEndpointRow.id)
    return [_endpoint(row) for row in (await uow.connection.execute(query)).mappings()]


async def update_endpoint(uow: UnitOfWork, endpoint: Endpoint) -> None:
    """Writes everything about it that can change but its moment."""
    await uow.connection.execute(
        update(WebhookEndpointRow)
        .where(WebhookEndpointRow.id == endpoint.id)
        .values(
            url=endpoint.url,
            description=endpoint.description,
            event_types=_as_array(endpoint.event_types),
            status=endpoint.status,
            disabled_reason=endpoint.disabled_reason,
            disabled_at=endpoint.disabled_at,
            failing_since=endpoint.spell.failing_since,
            last_failed_at=endpoint.spell.last_failed_at,
        )
    )


async def delete_endpoint(uow: UnitOfWork, endpoint_id: EndpointId) -> None:
    """Forgets the endpoint, its secrets and its deliveries."""
    await uow.connection.execute(delete(WebhookEndpointRow).where(WebhookEndpointRow.id == endpoint_id))


async def live_secrets(uow: UnitOfWork, endpoint_id: EndpointId, *, at: datetime) -> list[SecretName]:
    """The secrets that messages are signed with at this moment, the newest first."""
    rows = await uow.connection.execute(
        select(WebhookSecretRow.generation, WebhookSecretRow.key_fingerprint)
        .where(
            WebhookSecretRow.endpoint_id == endpoint_id,
            or_(WebhookSecretRow.expires_at.is_(None), WebhookSecretRow.expires_at > at),
        )
        .order_by(WebhookSecretRow.generation.desc())
        .limit(2)
    )
    return [SecretName(row.generation, row.key_fingerprint) for row in rows]


async def newest_generation(uow: UnitOfWork, endpoint_id: EndpointId) -> int:
    """How many secrets the endpoint has had."""
    return int(
        await uow.connection.scalar(
            select(func.max(WebhookSecretRow.generation)).where(WebhookSecretRow.endpoint_id == endpoint_id)
        )
        or 0
    )


async def insert_secret(uow: UnitOfWork, endpoint_id: EndpointId, name: SecretName, *, at: datetime) -> None:
    """Stores which secret an endpoint has from now on."""
    await uow.connection.execute(
        insert(WebhookSecretRow).values(
            endpoint_id=endpoint_id, generation=name.generation, key_fingerprint=name.key_fingerprint, created_at=at
        )
    )


async def expire_secrets(uow: UnitOfWork, endpoint_id: EndpointId, *, newest: int, at: datetime, end: datetime) -> None:
    """Lets the newest secret end at `end` and those before it at once."""
    mine = WebhookSecretRow.endpoint_id == endpoint_id
    await uow.connection.execute(
        update(WebhookSecretRow).where(mine, WebhookSecretRow.generation == newest).values(expires_at=end)
    )
    await uow.connection.execute(
        update(WebhookSecretRow)
        .where(mine, WebhookSecretRow.generation < newest, WebhookSecretRow.expires_at > at)
        .values(expires_at=at)
    )


async def insert_message(uow: UnitOfWork, message: Message, *, routed_at: datetime | None) -> None:
    """Stores a message that no billing event led to."""
    await uow.connection.execute(
        insert(WebhookMessageRow).values(
            id=message.id,
            account_id=message.account_id,
            type=message.type,
            subject=message.subject,
            data=dict(message.data),
            occurred_at=message.occurred_at,
            routed_at=routed_at,
        )
    )


async def unrouted_messages(uow: UnitOfWork, *, limit: int) -> list[Message]:
    """The oldest messages that nobody has taken in hand; a second reader waits, because their order matters."""
    rows = await uow.connection.execute(
        select(_MESSAGE)
        .where(WebhookMessageRow.routed_at.is_(None))
        .order_by(WebhookMessageRow.position)
        .limit(limit)
        .with_for_update()
    )
    return [_message(row) for row in rows.mappings()]


async def mark_routed(uow: UnitOfWork, messages: Sequence[Message], *, at: datetime) -> None:
    """Nobody needs to look at these messages again."""
    await uow.connection.execute(
        update(WebhookMessageRow)
        .where(WebhookMessageRow.id.in_([message.id for message in messages]))
        .values(routed_at=at)
    )


async def lock_subscriptions(uow: UnitOfWork, account_ids: Collection[str], *, limit: int) -> list[Subscription]:
    """What these accounts' enabled endpoints want to be told; they stay as they are until the transaction ends."""
    rows = await uow.connection.execute(
        select(WebhookEndpointRow.id, WebhookEndpointRow.account_id, WebhookEndpointRow.event_types)
        .where(WebhookEndpointRow.account_id.in_(account_ids), WebhookEndpointRow.status == EndpointStatus.ENABLED)
        .order_by(WebhookEndpointRow.id)
        .limit(limit)
        .with_for_update(key_share=True)
    )
    return [Subscription(EndpointId(row.id), row.account_id, _as_set(row.event_types)) for row in rows]


async def message_ids_since(
    uow: UnitOfWork, account_id: str, since: datetime, types: frozenset[str] | None, *, limit: int
) -> list[str]:
    """The account's messages from this moment on, in their order."""
    query = select(WebhookMessageRow.id).where(
        WebhookMessageRow.account_id == account_id, WebhookMessageRow.occurred_at >= since
    )
    if types is not None:
        query = query.where(WebhookMessageRow.type.in_(types))
    return list(await uow.connection.scalars(query.order_by(WebhookMessageRow.position).limit(limit)))


async def has_message(uow: UnitOfWork, account_id: str, message_id: str) -> bool:
    """Whether the account was ever sent this."""
    found = await uow.connection.scalar(
        select(WebhookMessageRow.id).where(
            WebhookMessageRow.id == message_id, WebhookMessageRow.account_id == account_id
        )
    )
    return found is not None


async def insert_deliveries(
    uow: UnitOfWork, deliveries: Sequence[NewDelivery], *, at: datetime, is_replay: bool
) -> None:
    """Puts messages in line behind those that wait already, and sees to it that somebody looks.

    A message that was routed to an endpoint before is not routed there again; a replay is always new. The caller holds
    the endpoints' rows locked.
    """
    if not deliveries:
        return
    await uow.connection.execute(
        insert(WebhookDeliveryRow).on_conflict_do_nothing(),
        [
            {
                "id": one.id,
                "endpoint_id": one.endpoint_id,
                "message_id": one.message_id,
                "is_replay": is_replay,
                "status": DeliveryStatus.WAITING,
                "attempts": 0,
                "created_at": at,
                "due_at": at,
            }
            for one in deliveries
        ],
    )
    await uow.connection.execute(
        update(WebhookEndpointRow)
        .where(WebhookEndpointRow.id.in_({one.endpoint_id for one in deliveries}))
        .values(due_at=func.coalesce(WebhookEndpointRow.due_at, at))
    )


async def lease_due(uow: UnitOfWork, *, now: datetime, until: datetime, limit: int) -> list[EndpointId]:
    """Takes the endpoints whose moment has come, the longest due first, and puts their next moment to `until`."""
    due = (
        select(WebhookEndpointRow.id)
        .where(WebhookEndpointRow.due_at <= now)
        .order_by(WebhookEndpointRow.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True, key_share=True)
    )
    leased = await uow.connection.execute(
        update(WebhookEndpointRow)
        .where(WebhookEndpointRow.id.in_(due.scalar_subquery()))
        .values(due_at=until)
        .returning(WebhookEndpointRow.id)
    )
    return [EndpointId(endpoint_id) for endpoint_id in leased.scalars()]


async def set_due(uow: UnitOfWork, endpoint_id: EndpointId, due_at: datetime | None) -> None:
    """When somebody should look at the endpoint again."""
    await uow.connection.execute(
        update(WebhookEndpointRow).where(WebhookEndpointRow.id == endpoint_id).values(due_at=due_at)
    )


async def count_waiting(uow: UnitOfWork, endpoint_id: EndpointId, *, limit: int) -> int:
    """How many deliveries wait in the endpoint's line, counted no further than `limit`."""
    waiting = (
        select(WebhookDeliveryRow.id)
        .where(WebhookDeliveryRow.endpoint_id == endpoint_id, _IS_WAITING)
        .limit(limit)
        .subquery()
    )
    return int(await uow.connection.scalar(select(func.count()).select_from(waiting)) or 0)


async def head_due_at(uow: UnitOfWork, endpoint_id: EndpointId) -> datetime | None:
    """When the first delivery in the endpoint's line is due; None where none waits."""
    due_at: datetime | None = await uow.connection.scalar(
        select(WebhookDeliveryRow.due_at)
        .where(WebhookDeliveryRow.endpoint_id == endpoint_id, _IS_WAITING)
        .order_by(WebhookDeliveryRow.position)
        .limit(1)
    )
    return due_at


async def head(uow: UnitOfWork, endpoint_id: str, *, now: datetime) -> Outgoing | None:
    """The first delivery in the endpoint's line, if it is due; the others wait behind it."""
    delivery = (
        await uow.connection.execute(
            select(
                WebhookDeliveryRow.id,
                WebhookDeliveryRow.message_id,
                WebhookDeliveryRow.attempts,
                WebhookDeliveryRow.due_at,
            )
            .where(WebhookDeliveryRow.endpoint_id == endpoint_id, _IS_WAITING)
            .order_by(WebhookDeliveryRow.position)
            .limit(1)
        )
    ).one_or_none()
    endpoint = await find_endpoint(uow, endpoint_id)
    if delivery is None or delivery.due_at > now or endpoint is None:
        return None
    message = (
        (await uow.connection.execute(select(_MESSAGE).where(WebhookMessageRow.id == delivery.message_id)))
        .mappings()
        .one()
    )
    return Outgoing(delivery.id, endpoint, _message(message), delivery.attempts)


async def write_attempt(uow: UnitOfWork, outgoing: Outgoing, answer: Answer, result: Ruling, *, at: datetime) -> bool:
    """Counts the attempt and says what came of it; False if the delivery has ended or was tried by another since."""
    written = await uow.connection.execute(
        update(WebhookDeliveryRow)
        .where(
            WebhookDeliveryRow.id == outgoing.delivery_id,
            WebhookDeliveryRow.attempts == outgoing.attempts,
            _IS_WAITING,
        )
        .values(
            status=result.status,
            attempts=outgoing.attempts + 1,
            last_outcome=answer.outcome,
            last_status=answer.status,
            last_attempted_at=at,
            due_at=result.due_at,
            ended_at=None if result.due_at is not None else at,
        )
    )
    return written.rowcount > 0


async def cancel_waiting(uow: UnitOfWork, endpoint_id: EndpointId, *, at: datetime) -> None:
    """Takes everything out of the endpoint's line."""
    await uow.connection.execute(
        update(WebhookDeliveryRow)
        .where(WebhookDeliveryRow.endpoint_id == endpoint_id, _IS_WAITING)
        .values(status=DeliveryStatus.CANCELED, due_at=None, ended_at=at)
    )


async def delete_ended_deliveries(uow: UnitOfWork, *, before: datetime, limit: int) -> int:
    """Forgets deliveries that ended before this moment; says how many."""
    old = (
        select(WebhookDeliveryRow.id)
        .where(WebhookDeliveryRow.ended_at < before)
        .order_by(WebhookDeliveryRow.ended_at)
        .limit(limit)
    )
    deleted = await uow.connection.execute(
        delete(WebhookDeliveryRow).where(WebhookDeliveryRow.id.in_(old.scalar_subquery()))
    )
    return deleted.rowcount


async def delete_old_messages(uow: UnitOfWork, *, before: datetime, limit: int) -> int:
    """Forgets messages of before this moment that were routed and that no delivery speaks of; says how many."""
    delivery = select(WebhookDeliveryRow.id).where(WebhookDeliveryRow.message_id == WebhookMessageRow.id)
    old = (
        select(WebhookMessageRow.id)
        .where(WebhookMessageRow.occurred_at < before, WebhookMessageRow.routed_at.is_not(None), ~delivery.exists())
        .order_by(WebhookMessageRow.occurred_at)
        .limit(limit)
    )
    deleted = await uow.connection.execute(
        delete(WebhookMessageRow).where(WebhookMessageRow.id.in_(old.scalar_subquery()))
    )
    return deleted.rowcount


async def deliveries_of(
    uow: UnitOfWork, endpoint_id: EndpointId, *, status: DeliveryStatus | None, before: int | None, limit: int
) -> list[Delivery]:
    """The endpoint's deliveries, the last in line first, from behind the one at `before`."""
    conditions: list[ColumnElement[bool]] = [WebhookDeliveryRow.endpoint_id == endpoint_id]
    if status is not None:
        conditions.append(WebhookDeliveryRow.status == status)
    if before is not None:
        conditions.append(WebhookDeliveryRow.position < before)
    query: Select[Any] = (
        select(*_DELIVERY.columns, WebhookMessageRow.type)
        .join(WebhookMessageRow, WebhookMessageRow.id == WebhookDeliveryRow.message_id)
        .where(*conditions)
        .order_by(WebhookDeliveryRow.position.desc())
        .limit(limit)
    )
    return [_delivery(row) for row in (await uow.connection.execute(query)).mappings()]


def _endpoint(row: RowMapping) -> Endpoint:
    return Endpoint(
        id=EndpointId(row["id"]),
        account_id=row["account_id"],
        url=row["url"],
        description=row["description"],
        event_types=_as_set(row["event_types"]),
        status=EndpointStatus(row["status"]),
        disabled_reason=None if row["disabled_reason"] is None else DisabledReason(row["disabled_reason"]),
        disabled_at=row["disabled_at"],
        spell=Spell(row["failing_since"], row["last_failed_at"]),
        created_at=row["created_at"],
    )


def _message(row: RowMapping) -> Message:
    return Message(row["id"], row["account_id"], row["type"], row["subject"], row["data"], row["occurred_at"])


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(
        id=row["id"],
        position=row["position"],
        message_id=row["message_id"],
        type=row["type"],
        is_replay=row["is_replay"],
        status=DeliveryStatus(row["status"]),
        attempts=row["attempts"],
        last_outcome=None if row["last_outcome"] is None else Outcome(row["last_outcome"]),
        last_status=row["last_status"],
        last_attempted_at=row["last_attempted_at"],
        created_at=row["created_at"],
        due_at=row["due_at"],
        ended_at=row["ended_at"],
    )


def _as_array(types: frozenset[str] | None) -> list[str] | None:
    return None if types is None else sorted(types)


def _as_set(types: list[str] | None) -> frozenset[str] | None:
    return None if types is None else frozenset(types)
