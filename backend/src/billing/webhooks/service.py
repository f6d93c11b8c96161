"""The inbox: a notification is stored once, with its job, and handed over until somebody has decided about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.webhooks import repository
from billing.webhooks.errors import MessageNotFound, MessageStatusWrong, WebhookNotConfigured
from billing.webhooks.ports import Handling, NotificationHandler, Verdict
from billing.webhooks.repository import LeasedMessage, Message, NewMessage
from billing.webhooks.rules import (
    ATTEMPTS_MAX,
    HANDLING_SECONDS_MAX,
    LEASE,
    MessageId,
    MessageStatus,
    digest_of_body,
    event_id_of,
    parse_body,
    wait_after,
)

HAND_OVER_JOB = "webhooks.hand_over"

_DUE_AT_ONCE_MAX = 200
_STATUS_OF = {
    Verdict.DONE: MessageStatus.DONE,
    Verdict.IGNORED: MessageStatus.IGNORED,
    Verdict.QUARANTINED: MessageStatus.QUARANTINED,
}

_log = structlog.get_logger(__name__)


class InboxService:
    """Takes notifications that passed the door; `handlers` understand them, by provider."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        job_queue: JobQueue,
        handlers: Mapping[str, NotificationHandler],
        handling_seconds_max: float = HANDLING_SECONDS_MAX,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._job_queue = job_queue
        self._handlers = handlers
        self._handling_seconds_max = handling_seconds_max

    async def receive(self, provider: str, body: bytes) -> bool:
        """Stores a notification together with its job, or finds that it is known; says whether it is new.

        When this returns, the provider may forget the notification: it cannot be lost any more.

        Raises:
            WebhookNotConfigured: nobody handles this provider here.
            WebhookMalformed: it cannot be a notification.
        """
        if provider not in self._handlers:
            raise WebhookNotConfigured
        text = parse_body(body)
        message = NewMessage(
            id=MessageId(self._ids.new("msg")),
            provider=provider,
            event_id=event_id_of(provider, text),
            digest=digest_of_body(text),
            body=text,
        )
        now = self._clock.now()
        async with self._begin() as uow:
            is_new = await repository.insert_if_new(uow, message, received_at=now, due_at=now + LEASE)
            if is_new:
                await self._enqueue(uow, message.id)
        return is_new

    async def hand_over(self, message_id: str) -> None:
        """Lets the provider's handler decide about one message; one that is decided is left alone.

        The attempt is counted before it begins: a message that kills its process, or hangs in its handler, is given up
        like one that leads nowhere.
        """
        message = await self._leased(message_id)
        if message is None:
            return
        # No transaction is open: the handler asks the provider, and opens its own to book the answer.
        handling = await self._handled(message)
        async with self._begin() as uow:
            uow.writes_may_wait = True
            await self._write(uow, message, handling)

    async def hand_over_again(
        self, uow: UnitOfWork, message_id: str, *, from_statuses: frozenset[MessageStatus]
    ) -> Message:
        """Lets a message that is over wait as if it had just come, with its job; gives back how it stood before.

        Raises:
            MessageNotFound: there is none of this id.
            MessageStatusWrong: it stands in none of these statuses.
        """
        message = await repository.find(uow, message_id, for_update=True)
        if message is None:
            raise MessageNotFound(message_id)
        if message.status not in from_statuses:
            raise MessageStatusWrong(message.id, message.status)
        await repository.wait_again(uow, message.id, due_at=self._clock.now() + LEASE)
        await self._enqueue(uow, message.id)
        return message

    async def hand_over_due(self) -> int:
        """Puts the messages whose moment has come back into the queue; says how many. Run by a tick."""
        now = self._clock.now()
        async with self._begin() as uow:
            due = await repository.lease_due(uow, now=now, until=now + LEASE, limit=_DUE_AT_ONCE_MAX)
            for message_id in due:
                await self._enqueue(uow, message_id)
        return len(due)

    async def _enqueue(self, uow: UnitOfWork, message_id: MessageId) -> None:
        await self._job_queue.enqueue(uow, HAND_OVER_JOB, Queue.PAYMENT_SYNC, lock=message_id, message_id=message_id)

    async def _leased(self, message_id: str) -> LeasedMessage | None:
        async with self._begin() as uow:
            message = await repository.lease(uow, message_id, until=self._clock.now() + LEASE)
            if message is None or message.attempts <= ATTEMPTS_MAX:
                return message
            await self._write(uow, message, Handling(Verdict.LATER, "no attempt came to an end"))
            return None

    async def _handled(self, message: LeasedMessage) -> Handling:
        handler = self._handlers.get(message.provider)
        if handler is None:
            return Handling(Verdict.LATER, "no handler")
        try:
            async with asyncio.timeout(self._handling_seconds_max) as limit:
                return await handler.handle(message.body)
        except TimeoutError:
            if not limit.expired():
                raise
            return Handling(Verdict.LATER, "took too long")

    async def _write(self, uow: UnitOfWork, message: LeasedMessage, handling: Handling) -> None:
        now = self._clock.now()
        status, due_at = _STATUS_OF.get(handling.verdict, MessageStatus.WAITING), None
        if status is MessageStatus.WAITING:
            wait = wait_after(message.attempts)
            status, due_at = (MessageStatus.GIVEN_UP, None) if wait is None else (status, now + wait)
        await repository.write_outcome(
            uow, message.id, status=status, reason=handling.reason, due_at=due_at, handled_at=now
        )
        if status in {MessageStatus.QUARANTINED, MessageStatus.GIVEN_UP}:
            _log.error("message_needs_a_person", message_id=message.id, status=status, reason=handling.reason)
