"""Sends what happened to whoever wants to know: routes messages to endpoints, and works off each endpoint's line.

A message is sent at least once: whoever dies between sending and writing that down leaves it waiting, and it is sent
again with the same id, by which its receiver knows it. Of one endpoint's messages none overtakes another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import random

import structlog

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.webhooks.outbound import repository
from billing.webhooks.outbound.errors import OutboundNotConfigured
from billing.webhooks.outbound.event_types import ENDPOINT_DISABLED
from billing.webhooks.outbound.ports import Carrier
from billing.webhooks.outbound.repository import NewDelivery, Outgoing
from billing.webhooks.outbound.rules import (
    KEPT_DELIVERIES,
    KEPT_MESSAGES,
    LEASE,
    Answer,
    DisabledReason,
    EndpointId,
    Message,
    Outcome,
    Ruling,
    body_of,
    routes,
    ruling,
)
from billing.webhooks.outbound.signing import SecretName, SigningKeys

DELIVER_JOB = "webhooks.deliver"

_MESSAGES_AT_ONCE_MAX = 500
_SUBSCRIPTIONS_AT_ONCE_MAX = 50_000  # so many messages of accounts with as many endpoints as an account can have
_ENDPOINTS_AT_ONCE_MAX = 200
_SWEEPS_MAX = 100
_SWEPT_AT_ONCE_MAX = 1000
_DELIVERIES_PER_JOB = 20
_JOB_LASTS = timedelta(seconds=20)  # whoever answers slowly goes to the end of the queue, and not before the others

_log = structlog.get_logger(__name__)


class Dispatcher:
    """What workers do for webhooks to customers."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        job_queue: JobQueue,
        carrier: Carrier,
        keys: SigningKeys,
        chance: Callable[[], float] = random,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._job_queue = job_queue
        self._carrier = carrier
        self._keys = keys
        self._chance = chance

    async def route(self) -> int:
        """Puts new messages in line for the endpoints that want them, 500 at a time; says how many there were.

        Run by a tick. Messages are rows without a mark, not positions above a remembered one: what commits late is
        found late, never passed over.
        """
        now = self._clock.now()
        async with self._begin() as uow:
            messages = await repository.unrouted_messages(uow, limit=_MESSAGES_AT_ONCE_MAX)
            if not messages:
                return 0
            subscriptions = await repository.lock_subscriptions(
                uow, {message.account_id for message in messages}, limit=_SUBSCRIPTIONS_AT_ONCE_MAX
            )
            deliveries = [
                NewDelivery(self._ids.new("dlv"), endpoint_id, message_id)
                for endpoint_id, message_id in routes(messages, subscriptions)
            ]
            await repository.insert_deliveries(uow, deliveries, at=now, is_replay=False)
            await repository.mark_routed(uow, messages, at=now)
        return len(messages)

    async def visit_due(self) -> int:
        """Puts a job into the queue for each endpoint whose moment has come; says for how many. Run by a tick."""
        now = self._clock.now()
        async with self._begin() as uow:
            due = await repository.lease_due(uow, now=now, until=now + LEASE, limit=_ENDPOINTS_AT_ONCE_MAX)
            for endpoint_id in due:
                await self._enqueue(uow, endpoint_id)
        return len(due)

    async def sweep(self) -> int:
        """Forgets what is old, in short transactions; says how many rows went. Missing it costs only space."""
        removed = 0
        for _ in range(_SWEEPS_MAX):
            now = self._clock.now()
            async with self._begin() as uow:
                deliveries = await repository.delete_ended_deliveries(
                    uow, before=now - KEPT_DELIVERIES, limit=_SWEPT_AT_ONCE_MAX
                )
                messages = await repository.delete_old_messages(
                    uow, before=now - KEPT_MESSAGES, limit=_SWEPT_AT_ONCE_MAX
                )
            if deliveries + messages == 0:
                break
            removed += deliveries + messages
        return removed

    async def deliver(self, endpoint_id: str) -> None:
        """Sends what waits for one endpoint, in its order, until nothing is due or a message has to wait.

        After twenty messages or seconds the others' turn comes, and the rest of this line goes to the queue's end.
        """
        stop_at = self._clock.now() + _JOB_LASTS
        for _ in range(_DELIVERIES_PER_JOB):
            if not await self._deliver_head(endpoint_id) or self._clock.now() >= stop_at:
                break
        await self._say_when(EndpointId(endpoint_id))

    async def _deliver_head(self, endpoint_id: str) -> bool:
        """Sends the first message in line; False if there is none that is due."""
        now = self._clock.now()
        async with self._begin() as uow:
            outgoing = await repository.head(uow, endpoint_id, now=now)
            if outgoing is None:
                return False
            names = await repository.live_secrets(uow, outgoing.endpoint.id, at=now)
        # No transaction is open: a slow receiver must not hold locks. Whoever dies from here on sends it again.
        answer = await self._send(outgoing, names)
        async with self._begin() as uow:
            await self._write(uow, outgoing, answer)
        return True

    async def _send(self, outgoing: Outgoing, names: list[SecretName]) -> Answer:
        message, endpoint = outgoing.message, outgoing.endpoint
        body = body_of(message)
        try:
            headers = self._keys.headers(endpoint.id, names, message_id=message.id, at=self._clock.now(), body=body)
        except OutboundNotConfigured:
            _log.error("webhook_cannot_be_signed", endpoint_id=endpoint.id)
            return Answer(Outcome.NOT_SIGNED)
        return await self._carrier.carry(endpoint.url, headers=headers, body=body.encode())

    async def _write(self, uow: UnitOfWork, outgoing: Outgoing, answer: Answer) -> None:
        """Books the attempt on the delivery and on the endpoint as it is now, not as it was before the attempt."""
        now = self._clock.now()
        endpoint = await repository.find_endpoint(uow, outgoing.endpoint.id, for_update=True)
        if endpoint is None:
            return
        result = ruling(answer, attempts=outgoing.attempts + 1, spell=endpoint.spell, now=now, chance=self._chance())
        if not await repository.write_attempt(uow, outgoing, answer, result, at=now):
            return
        after = replace(endpoint, spell=result.spell)
        if result.disables is not None:
            await self._disable(uow, outgoing, result, result.disables)
        elif after != endpoint:
            await repository.update_endpoint(uow, after)

    async def _disable(self, uow: UnitOfWork, outgoing: Outgoing, result: Ruling, reason: DisabledReason) -> None:
        now, endpoint = self._clock.now(), outgoing.endpoint
        await repository.cancel_waiting(uow, endpoint.id, at=now)
        await repository.set_due(uow, endpoint.id, None)
        await repository.update_endpoint(uow, replace(endpoint, spell=result.spell).disabled(reason, now))
        notice = Message(
            id=self._ids.new("msg"),
            account_id=endpoint.account_id,
            type=ENDPOINT_DISABLED,
            subject=endpoint.id,
            data={"reason": reason.value},
            occurred_at=now,
        )
        await repository.insert_message(uow, notice, routed_at=None)
        _log.warning("webhook_endpoint_disabled", endpoint_id=endpoint.id, reason=reason.value)

    async def _say_when(self, endpoint_id: EndpointId) -> None:
        """Writes when the endpoint is to be visited again, at once if its line is not worked off.

        With its row locked: whoever puts a message in line meanwhile waits, and then sees what is written here.
        """
        async with self._begin() as uow:
            if await repository.find_endpoint(uow, endpoint_id, for_update=True) is None:
                return
            now = self._clock.now()
            due_at = await repository.head_due_at(uow, endpoint_id)
            if due_at is not None and due_at <= now:
                due_at = now + LEASE
                await self._enqueue(uow, endpoint_id)
            await repository.set_due(uow, endpoint_id, due_at)

    async def _enqueue(self, uow: UnitOfWork, endpoint_id: EndpointId) -> None:
        await self._job_queue.enqueue(uow, DELIVER_JOB, Queue.OUTBOUND, lock=endpoint_id, endpoint_id=endpoint_id)
