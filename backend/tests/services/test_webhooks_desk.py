"""Operators read the inbox, and have a notification handled again with a reason, which leaves one audit row."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from backend.tests.builders.customers import Customer, Town
from backend.tests.fakes.clock import StoppedClock
from billing.admin.inbox_desk import InboxDesk
from billing.customers.audit import AuditTrail
from billing.customers.errors import Forbidden
from billing.customers.models import AuditEntryRow
from billing.customers.rules import OperatorRole
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin
from billing.webhooks.errors import MessageNotFound, MessageStatusWrong
from billing.webhooks.ports import Handling, Verdict
from billing.webhooks.refusals import RefusalCounter
from billing.webhooks.rules import MessageStatus, Provider
from billing.webhooks.service import InboxService

pytestmark = pytest.mark.trust

WHY = "the record was mended"


@dataclass
class Judge:
    """Decides about every notification as it is told."""

    verdict: Verdict = Verdict.DONE
    heard: list[str] = field(default_factory=list)

    async def handle(self, body: str) -> Handling:
        """Hears one notification."""
        self.heard.append(body)
        return Handling(self.verdict, f"judged {self.verdict}")


@dataclass(frozen=True)
class Office:
    """The desk, the inbox behind it, and who works here."""

    desk: InboxDesk
    inbox: InboxService
    judge: Judge
    begin: Begin
    ids: Ids
    finance: Customer
    support: Customer
    customer: Customer

    async def message(self, verdict: Verdict | None = None, **body: Any) -> str:
        """A notification; handled with this verdict, or still waiting."""
        event = self.ids.new("evt")
        await self.inbox.receive(Provider.STRIPE, json.dumps({"id": event, **body}).encode())
        async with self.begin() as uow:
            message_id = await uow.connection.scalar(
                text("SELECT id FROM inbox_messages WHERE event_id = :event"), {"event": event}
            )
        assert isinstance(message_id, str)
        if verdict is not None:
            self.judge.verdict = verdict
            await self.inbox.hand_over(message_id)
        return message_id

    async def given_up(self) -> str:
        """A notification that led nowhere."""
        message_id = await self.message(Verdict.LATER)
        for _ in range(8):
            await self.inbox.hand_over(message_id)
        return message_id

    async def status(self, message_id: str) -> tuple[MessageStatus, int]:
        """Where a notification stands, and how many attempts it had."""
        shown = (await self.desk.message(self.support.principal, message_id)).message
        return shown.status, shown.attempts

    async def jobs(self, message_id: str) -> int:
        """How many jobs wait to look into it."""
        async with self.begin() as uow:
            statement = text("SELECT count(*) FROM procrastinate_jobs WHERE args ->> 'message_id' = :id")
            return await uow.connection.scalar(statement, {"id": message_id}) or 0

    async def audit_of(self, message_id: str) -> list[tuple[str, str, Any, Any]]:
        """The audit entries about a notification."""
        async with self.begin() as uow:
            row = AuditEntryRow
            found = await uow.connection.execute(
                select(row.action, row.reason, row.before, row.after).where(row.target == message_id).order_by(row.id)
            )
            return [(entry.action, entry.reason, entry.before, entry.after) for entry in found]


@pytest.fixture
async def office(begin: Begin, clock: StoppedClock, ids: Ids, job_queue: JobQueue, town: Town) -> Office:
    """An office with an inbox."""
    judge = Judge()
    inbox = InboxService(begin=begin, clock=clock, ids=ids, job_queue=job_queue, handlers={Provider.STRIPE: judge})
    desk = InboxDesk(begin=begin, clock=clock, inbox=inbox, audit=AuditTrail(clock, ids))
    return Office(
        desk,
        inbox,
        judge,
        begin,
        ids,
        finance=await town.customer(operator_role=OperatorRole.FINANCE),
        support=await town.customer(operator_role=OperatorRole.SUPPORT),
        customer=await town.customer(),
    )


class TestReading:
    async def test_lists_the_newest_first_page_by_page(self, office: Office, clock: StoppedClock) -> None:
        clock.move(timedelta(days=365))  # later than what other tests have stored
        made = []
        for _ in range(3):
            made.append(await office.message())
            clock.move(timedelta(seconds=1))

        page = await office.desk.messages(office.support.principal, limit=2)
        rest = await office.desk.messages(office.support.principal, before=page[-1].id, limit=1)

        assert [message.id for message in (*page, *rest)] == made[::-1]

    async def test_lists_those_of_one_provider_that_stand_in_one_way(self, office: Office) -> None:
        quarantined = await office.message(Verdict.QUARANTINED)
        await office.message(Verdict.DONE)

        found = await office.desk.messages(
            office.support.principal, provider=Provider.STRIPE, status=MessageStatus.QUARANTINED, limit=200
        )
        none = await office.desk.messages(
            office.support.principal, provider=Provider.YOOKASSA, status=MessageStatus.QUARANTINED, before=quarantined
        )

        assert quarantined in {message.id for message in found}
        assert {(message.provider, message.status) for message in found} == {("stripe", MessageStatus.QUARANTINED)}
        assert quarantined not in {message.id for message in none}

    async def test_shows_what_became_of_one_and_hides_who_it_is_about(self, office: Office) -> None:
        message_id = await office.message(Verdict.QUARANTINED, type="x", email="ada@example.com")

        shown = await office.desk.message(office.support.principal, message_id)

        message = shown.message
        assert (message.status, message.reason, message.attempts) == ("quarantined", "judged quarantined", 1)
        assert shown.body == {"id": message.event_id, "type": "x", "email": "[hidden]"}

    async def test_of_one_that_is_not_there_is_refused(self, office: Office) -> None:
        with pytest.raises(MessageNotFound):
            await office.desk.message(office.support.principal, "msg_unknown")

    async def test_says_how_many_were_turned_away(self, office: Office, begin: Begin, clock: StoppedClock) -> None:
        provider = office.ids.new("provider")
        counter = RefusalCounter(begin=begin, clock=clock)
        counter.count(provider, "webhook_token_invalid")
        clock.move(timedelta(days=2))
        counter.count(provider, "webhook_source_refused")
        await counter.close()

        found = {
            days: [
                one.reason
                for one in await office.desk.refusals(office.support.principal, days=days)
                if one.provider == provider
            ]
            for days in (1, 2, 3)
        }

        assert found == {
            1: ["webhook_source_refused"],
            2: ["webhook_source_refused"],
            3: ["webhook_source_refused", "webhook_token_invalid"],
        }

    async def test_is_for_operators_alone(self, office: Office) -> None:
        somebody = office.customer.principal

        with pytest.raises(Forbidden):
            await office.desk.messages(somebody)
        with pytest.raises(Forbidden):
            await office.desk.message(somebody, "msg_unknown")
        with pytest.raises(Forbidden):
            await office.desk.refusals(somebody)


class TestReplaying:
    @pytest.mark.parametrize("verdict", [Verdict.DONE, Verdict.IGNORED])
    async def test_has_one_that_is_over_handled_again(self, office: Office, verdict: Verdict) -> None:
        message_id = await office.message(verdict)

        await office.desk.replay(office.finance.principal, message_id, reason=WHY, request_id="req_1")

        assert (await office.status(message_id), await office.jobs(message_id)) == ((MessageStatus.WAITING, 0), 2)
        await office.inbox.hand_over(message_id)
        assert await office.status(message_id) == (MessageStatus(verdict.value), 1)
        assert len(office.judge.heard) == 2

    async def test_gives_one_that_was_given_up_all_its_attempts_again(self, office: Office) -> None:
        message_id = await office.given_up()

        await office.desk.replay(office.finance.principal, message_id, reason=WHY, request_id="req_1")

        await office.inbox.hand_over(message_id)
        assert await office.status(message_id) == (MessageStatus.WAITING, 1)

    async def test_leaves_one_audit_row(self, office: Office) -> None:
        message_id = await office.given_up()

        await office.desk.replay(office.finance.principal, message_id, reason=f" {WHY} ", request_id="req_1")

        assert await office.audit_of(message_id) == [
            (
                "webhook.replayed",
                WHY,
                {"status": "given_up", "reason": "judged later", "attempts": 8},
                {"status": "waiting", "reason": None, "attempts": 0},
            )
        ]

    async def test_is_not_for_one_that_waits_or_stands_in_quarantine(self, office: Office) -> None:
        for message_id in (await office.message(), await office.message(Verdict.QUARANTINED)):
            before = await office.status(message_id)

            with pytest.raises(MessageStatusWrong):
                await office.desk.replay(office.finance.principal, message_id, reason=WHY, request_id="req_1")

            assert (await office.status(message_id), await office.audit_of(message_id)) == (before, [])


class TestReleasing:
    async def test_has_one_in_quarantine_handled_again(self, office: Office) -> None:
        message_id = await office.message(Verdict.QUARANTINED)
        office.judge.verdict = Verdict.DONE

        await office.desk.release(office.finance.principal, message_id, reason=WHY, request_id="req_1")
        await office.inbox.hand_over(message_id)

        assert await office.status(message_id) == (MessageStatus.DONE, 1)
        assert [entry[:2] for entry in await office.audit_of(message_id)] == [("webhook.released", WHY)]

    async def test_does_not_order_that_what_still_contradicts_be_booked(self, office: Office) -> None:
        message_id = await office.message(Verdict.QUARANTINED)

        await office.desk.release(office.finance.principal, message_id, reason=WHY, request_id="req_1")
        await office.inbox.hand_over(message_id)

        assert await office.status(message_id) == (MessageStatus.QUARANTINED, 1)

    @pytest.mark.parametrize("verdict", [None, Verdict.DONE, Verdict.IGNORED, Verdict.LATER])
    async def test_is_only_for_one_in_quarantine(self, office: Office, verdict: Verdict | None) -> None:
        message_id = await office.message(verdict)

        with pytest.raises(MessageStatusWrong):
            await office.desk.release(office.finance.principal, message_id, reason=WHY, request_id="req_1")

        assert await office.audit_of(message_id) == []


class TestBoth:
    @pytest.mark.parametrize("act", ["replay", "release"])
    async def test_need_an_operator_who_may_write_and_a_reason(self, office: Office, act: str) -> None:
        message_id = await office.message(Verdict.DONE if act == "replay" else Verdict.QUARANTINED)
        again = getattr(office.desk, act)

        for somebody in (office.support, office.customer):
            with pytest.raises(Forbidden):
                await again(somebody.principal, message_id, reason=WHY, request_id="req_1")
        with pytest.raises(InvalidInput):
            await again(office.finance.principal, message_id, reason=" ", request_id="req_1")
        with pytest.raises(MessageNotFound):
            await again(office.finance.principal, "msg_unknown", reason=WHY, request_id="req_1")

        assert (await office.jobs(message_id), await office.audit_of(message_id)) == (1, [])
