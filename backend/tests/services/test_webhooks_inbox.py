"""The inbox: stored once with its job or not at all, handed over until somebody has decided."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.jobs import HandTicked
from backend.tests.fakes.clock import NOON, StoppedClock
from backend.tests.fakes.payment_provider import ProcessDiedError
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.webhooks import jobs
from billing.webhooks.errors import WebhookMalformed, WebhookNotConfigured
from billing.webhooks.ports import Handling, Verdict
from billing.webhooks.service import InboxService

pytestmark = pytest.mark.trust


@dataclass
class Listener:
    """Hears what the inbox hands over, and answers as told; afterwards always `done`."""

    answers: list[Handling] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    ending: BaseException | None = None
    never_answers: asyncio.Event | None = None

    async def handle(self, body: str) -> Handling:
        """Hears one notification."""
        self.heard.append(body)
        if self.ending is not None:
            raise self.ending
        if self.never_answers is not None:
            await self.never_answers.wait()
        return self.answers.pop(0) if self.answers else Handling(Verdict.DONE)


class FullQueue(JobQueue):
    """A queue that cannot take anything more."""

    async def enqueue(
        self, uow: UnitOfWork, name: str, queue: Queue, *, lock: str | None = None, **arguments: str
    ) -> None:
        """Fails."""
        del uow, name, queue, lock, arguments
        message = "the queue is full"
        raise RuntimeError(message)


@dataclass(frozen=True)
class Inbox:
    """An inbox with its listener, and what the database has of it."""

    service: InboxService
    listener: Listener
    begin: Begin
    name: str

    async def received(self) -> dict[str, Any]:
        """The only message, after a notification has come."""
        await self.service.receive(self.name, json.dumps({"event": "x"}).encode())
        (message,) = await self.messages()
        return message

    async def messages(self) -> list[dict[str, Any]]:
        """The messages of this inbox's provider, with the number of jobs that were put into the queue for each."""
        async with self.begin() as uow:
            found = await uow.connection.execute(
                text(
                    "SELECT message.*, (SELECT count(*) FROM procrastinate_jobs AS job"
                    " WHERE job.args ->> 'message_id' = message.id AND job.task_name = 'webhooks.hand_over'"
                    " AND job.queue_name = 'billing-payment-sync') AS jobs"
                    " FROM inbox_messages AS message WHERE provider = :name"
                ),
                {"name": self.name},
            )
            return [dict(row) for row in found.mappings()]


@pytest.fixture
def inbox(begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue) -> Inbox:
    """The inbox of a provider that no other test has."""
    name, listener = ids.new("provider"), Listener()
    service = InboxService(begin=begin, clock=clock, ids=ids, job_queue=job_queue, handlers={name: listener})
    return Inbox(service, listener, begin, name)


class TestReceiving:
    async def test_stores_the_message_with_its_job(self, inbox: Inbox) -> None:
        is_new = await inbox.service.receive(inbox.name, b'{"event": "x"}')

        (message,) = await inbox.messages()
        assert is_new
        assert (message["status"], message["attempts"], message["jobs"]) == ("waiting", 0, 1)

    async def test_the_same_event_written_differently_changes_nothing(self, inbox: Inbox) -> None:
        first = await inbox.service.receive(inbox.name, b'{"event": "x", "object": {"id": "1"}}')
        again = await inbox.service.receive(inbox.name, b'{"object":{"id":"1"},"event":"x"}')

        (message,) = await inbox.messages()
        assert (first, again, message["jobs"]) == (True, False, 1)

    async def test_twenty_at_once_are_one(self, inbox: Inbox) -> None:
        answers = await asyncio.gather(*(inbox.service.receive(inbox.name, b'{"event": "x"}') for _ in range(20)))

        (message,) = await inbox.messages()
        assert (answers.count(True), message["jobs"]) == (1, 1)

    async def test_an_event_that_its_provider_names_is_one_event_however_its_body_changes(
        self, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        service = InboxService(begin=begin, clock=clock, ids=ids, job_queue=job_queue, handlers={"stripe": Listener()})
        event_id = ids.new("evt")

        first = await service.receive("stripe", json.dumps({"id": event_id, "pending_webhooks": 2}).encode())
        again = await service.receive("stripe", json.dumps({"id": event_id, "pending_webhooks": 1}).encode())

        async with begin() as uow:
            found = await uow.connection.execute(
                text("SELECT body::jsonb ->> 'pending_webhooks' FROM inbox_messages WHERE event_id = :id"),
                {"id": event_id},
            )
        assert (first, again, found.scalars().all()) == (True, False, ["2"])

    async def test_without_its_job_the_message_is_not_stored_either(
        self, begin: Begin, clock: StoppedClock, ids: Ids, inbox: Inbox, database_url: URL
    ) -> None:
        service = InboxService(
            begin=begin,
            clock=clock,
            ids=ids,
            job_queue=FullQueue(database_url),
            handlers={inbox.name: inbox.listener},
        )

        with pytest.raises(RuntimeError):
            await service.receive(inbox.name, b'{"event": "x"}')

        assert await inbox.messages() == []

    async def test_for_nobody_is_refused(self, inbox: Inbox) -> None:
        with pytest.raises(WebhookNotConfigured):
            await inbox.service.receive("nobody", b'{"event": "x"}')

    async def test_what_cannot_be_a_notification_is_refused(self, inbox: Inbox) -> None:
        with pytest.raises(WebhookMalformed):
            await inbox.service.receive(inbox.name, b"[]")

        assert await inbox.messages() == []


class TestHandingOver:
    @pytest.mark.parametrize("verdict", [Verdict.DONE, Verdict.IGNORED, Verdict.QUARANTINED])
    async def test_ends_with_the_verdict_and_is_not_repeated(self, inbox: Inbox, verdict: Verdict) -> None:
        inbox.listener.answers = [Handling(verdict, "because")]
        message = await inbox.received()

        for _ in range(3):
            await inbox.service.hand_over(message["id"])

        (message,) = await inbox.messages()
        assert (message["status"], message["reason"], message["attempts"]) == (verdict, "because", 1)
        assert len(inbox.listener.heard) == 1

    async def test_of_an_unknown_message_does_nothing(self, inbox: Inbox) -> None:
        await inbox.service.hand_over("msg_unknown")

        assert inbox.listener.heard == []

    async def test_what_cannot_be_decided_yet_comes_back_when_its_moment_has_come(
        self, inbox: Inbox, clock: StoppedClock
    ) -> None:
        inbox.listener.answers = [Handling(Verdict.LATER, "not yet")]
        message = await inbox.received()
        await inbox.service.hand_over(message["id"])

        await inbox.service.hand_over_due()
        (too_early,) = await inbox.messages()
        clock.move(timedelta(seconds=5))
        await inbox.service.hand_over_due()
        (in_time,) = await inbox.messages()

        assert (too_early["due_at"], too_early["jobs"]) == (NOON + timedelta(seconds=5), 1)
        assert in_time["jobs"] == 2

    async def test_that_leads_nowhere_is_given_up_in_the_end(self, inbox: Inbox) -> None:
        inbox.listener.answers = [Handling(Verdict.LATER, "never")] * 99
        message = await inbox.received()

        for _ in range(20):
            await inbox.service.hand_over(message["id"])

        (message,) = await inbox.messages()
        assert (message["status"], message["attempts"], message["due_at"]) == ("given_up", 8, None)
        assert len(inbox.listener.heard) == 8

    async def test_that_kills_every_process_which_begins_it_is_given_up(
        self, inbox: Inbox, clock: StoppedClock
    ) -> None:
        inbox.listener.ending = ProcessDiedError()
        message = await inbox.received()

        for _ in range(20):
            with suppress(ProcessDiedError):
                await inbox.service.hand_over(message["id"])
            clock.move(timedelta(minutes=10))
            await inbox.service.hand_over_due()

        (message,) = await inbox.messages()
        assert (message["status"], message["reason"]) == ("given_up", "no attempt came to an end")
        assert len(inbox.listener.heard) == 8

    async def test_that_hangs_its_handler_is_called_off_and_given_up(
        self, inbox: Inbox, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        service = InboxService(
            begin=begin,
            clock=clock,
            ids=ids,
            job_queue=job_queue,
            handlers={inbox.name: inbox.listener},
            handling_seconds_max=0.001,
        )
        inbox.listener.never_answers = asyncio.Event()
        message = await inbox.received()

        await service.hand_over(message["id"])
        (first,) = await inbox.messages()
        for _ in range(10):
            await service.hand_over(message["id"])

        (last,) = await inbox.messages()
        assert (first["status"], first["reason"], first["attempts"]) == ("waiting", "took too long", 1)
        assert (last["status"], last["attempts"]) == ("given_up", 8)

    async def test_a_timeout_of_the_handlers_own_is_a_bug_that_comes_out(self, inbox: Inbox) -> None:
        inbox.listener.ending = TimeoutError()
        message = await inbox.received()

        with pytest.raises(TimeoutError):
            await inbox.service.hand_over(message["id"])

    async def test_of_a_provider_that_nobody_handles_any_more_waits(
        self, inbox: Inbox, begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue
    ) -> None:
        service = InboxService(begin=begin, clock=clock, ids=ids, job_queue=job_queue, handlers={})
        message = await inbox.received()

        await service.hand_over(message["id"])

        (message,) = await inbox.messages()
        assert (message["status"], message["reason"]) == ("waiting", "no handler")

    async def test_whose_job_was_lost_comes_back_after_its_lease(self, inbox: Inbox, clock: StoppedClock) -> None:
        await inbox.received()
        clock.move(timedelta(minutes=10))

        await inbox.service.hand_over_due()
        await inbox.service.hand_over_due()

        (message,) = await inbox.messages()
        assert message["jobs"] == 2

    async def test_two_ticks_at_once_put_each_message_back_once(self, inbox: Inbox, clock: StoppedClock) -> None:
        await inbox.received()
        clock.move(timedelta(minutes=10))

        await asyncio.gather(*(inbox.service.hand_over_due() for _ in range(5)))

        (message,) = await inbox.messages()
        assert message["jobs"] == 2


class TestTheTick:
    async def test_puts_back_what_is_due(self, inbox: Inbox, clock: StoppedClock, database_url: URL) -> None:
        queue = HandTicked(database_url)
        jobs.register(queue, inbox.service)
        await inbox.received()
        clock.move(timedelta(minutes=10))

        await queue.ticks["webhooks.hand_over_due"]()

        (message,) = await inbox.messages()
        assert message["jobs"] == 2
