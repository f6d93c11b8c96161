"""Sends again what was sent before: one message, or all since a moment. For the account's people and for operators."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.unit_of_work import UnitOfWork
from billing.webhooks.outbound import repository
from billing.webhooks.outbound.errors import WebhookEndpointDisabled, WebhookLineFull, WebhookMessageNotFound
from billing.webhooks.outbound.repository import NewDelivery
from billing.webhooks.outbound.rules import WAITING_MAX, Endpoint, EndpointStatus

REPLAYED_AT_ONCE_MAX = 1000


@dataclass(frozen=True, slots=True)
class ReplayOrder:
    """What is to be sent again: the message of this id, or those since this moment; exactly one of the two."""

    message_id: str | None = None
    since: datetime | None = None

    def check(self) -> None:
        """Refuses an order that names both or neither.

        Raises:
            InvalidInput: it does, its id cannot be one, or its moment has no time zone.
        """
        if (self.message_id is None) == (self.since is None):
            raise InvalidInput("message_id", "A replay names either a message or the moment since which.")
        if self.message_id is not None and not (self.message_id.isascii() and self.message_id.isprintable()):
            raise InvalidInput("message_id", "A message's id is printable ASCII.")
        if self.since is not None and self.since.tzinfo is None:
            raise InvalidInput("since", "A moment needs its time zone.")

    def facts(self) -> dict[str, object]:
        """The order as the audit trail keeps it."""
        return {"message_id": self.message_id, "since": None if self.since is None else self.since.isoformat()}


async def require_room(uow: UnitOfWork, endpoint: Endpoint) -> None:
    """Lets tests and replays pass while not too much waits for the endpoint.

    Raises:
        WebhookLineFull: too much does.
    """
    if await repository.count_waiting(uow, endpoint.id, limit=WAITING_MAX) >= WAITING_MAX:
        raise WebhookLineFull(WAITING_MAX)


class Replays:
    """Puts messages in line once more, behind those that wait, with the ids that they had."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    async def replay(self, uow: UnitOfWork, endpoint: Endpoint, order: ReplayOrder) -> int:
        """Sends again, in the messages' order; says how many, 1000 at the most. The caller holds the endpoint locked.

        Of all messages since a moment, those that the endpoint is subscribed to; a single one whatever it is.

        Raises:
            InvalidInput: the order names both a message and a moment, or neither.
            WebhookEndpointDisabled: nothing is sent there.
            WebhookMessageNotFound: the account was never sent such a message.
            WebhookLineFull: too much waits there already.
        """
        order.check()
        if endpoint.status is not EndpointStatus.ENABLED:
            raise WebhookEndpointDisabled(endpoint.id)
        await require_room(uow, endpoint)
        message_ids = await self._chosen(uow, endpoint, order)
        deliveries = [NewDelivery(self._ids.new("dlv"), endpoint.id, message_id) for message_id in message_ids]
        await repository.insert_deliveries(uow, deliveries, at=self._clock.now(), is_replay=True)
        return len(deliveries)

    async def _chosen(self, uow: UnitOfWork, endpoint: Endpoint, order: ReplayOrder) -> list[str]:
        if order.since is not None:
            return await repository.message_ids_since(
                uow, endpoint.account_id, order.since, endpoint.event_types, limit=REPLAYED_AT_ONCE_MAX
            )
        assert order.message_id is not None, "the order was checked"
        if not await repository.has_message(uow, endpoint.account_id, order.message_id):
            raise WebhookMessageNotFound(order.message_id)
        return [order.message_id]
