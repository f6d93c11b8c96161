"""What a call leaves behind when something of ours breaks, moves or changes while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from backend.tests.builders.gateway import (
    ALIAS,
    SETTINGS,
    Gate,
    Payer,
    Provider,
    body_of,
    build_gate,
    chat,
    free_terms,
    incoming,
    open_gate,
    routes_to,
)
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from billing.customers.errors import Forbidden
from billing.customers.rules import Role
from billing.gateway.calls import Answer, StreamedAnswer
from billing.gateway.errors import BillingUnavailable, ModelNotAllowed, UpstreamTimeout, UpstreamUnreachable
from billing.gateway.rules.doors import Door
from billing.kit.database import application_engine
from billing.kit.unit_of_work import Begin, UnitOfWork, units_of_work
from billing.pricing.rules import NewRate, Unit
from billing.pricing.seed import DEMO_FREE
from billing.usage.rules import BillingSource
from billing.wallets.errors import InsufficientFunds

pytestmark = pytest.mark.money

HOLDS = timedelta(seconds=900)

_LOCK = text("SELECT id FROM wallets WHERE id = :wallet FOR UPDATE")


class TestTheProviderDoesNotAnswer:
    @pytest.fixture
    async def impatient(self, gate: Gate, provider: Provider) -> AsyncIterator[Gate]:
        """A gateway that does not wait long."""
        settings = SETTINGS.model_copy(update={"read_timeout_seconds": 0.3, "total_timeout_seconds": 0.6})
        async with open_gate(
            begin=gate.begin,
            wallets=gate.wallets,
            town=gate.town,
            routes=routes_to(provider.url),
            settings=settings,
        ) as impatient:
            yield impatient

    async def test_a_timeout_gives_the_credit_back(self, impatient: Gate, provider: Provider) -> None:
        payer = await impatient.payer("100")
        await provider.will("hang", seconds=5)

        with pytest.raises(UpstreamTimeout):
            await impatient.ask(payer, chat())

        after = await impatient.accounts(payer)
        assert (after.balance.available, after.balance.held) == (rub("100"), rub("0"))
        assert (after.events, after.charges) == ((), [])
        assert len(await provider.calls()) == 1

    async def test_a_timeout_gives_the_free_quota_back(self, impatient: Gate, provider: Provider) -> None:
        await impatient.set_terms(free_terms())
        payer = await impatient.payer()
        await provider.will("hang", seconds=5)

        with pytest.raises(UpstreamTimeout):
            await impatient.ask(payer, chat(model=DEMO_FREE))

        after = await impatient.accounts(payer)
        assert [metric.left for metric in after.free.metrics] == [10_000, 10_000]

    async def test_nobody_listening_gives_the_credit_back(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        async with open_gate(
            begin=gate.begin, wallets=gate.wallets, town=gate.town, routes=routes_to("http://127.0.0.1:9")
        ) as lonely:
            with pytest.raises(UpstreamUnreachable):
                await lonely.ask(payer, chat())

        assert (await gate.accounts(payer)).balance.available == rub("100")


class TestWhileTheCallIsUnderWay:
    async def test_a_new_price_does_not_touch_it(self, gate: Gate, clock: StoppedClock) -> None:
        clock.move(timedelta(days=1))  # the new price stays in this worker's database, out of other tests' sight
        payer = await gate.payer("100")
        before = await gate.ask(payer, chat(model="demo-large"))
        dearer = NewRate("demo-large", Unit.OUTPUT, rub("9999"), clock.now(), provider="demo")

        async def the_price_rises() -> None:
            async with gate.begin() as uow:
                await gate.pricing.publish(uow, [dearer])

        during = await gate.while_waiting(the_price_rises).ask(payer, chat(model="demo-large"))

        after = await gate.ask(payer, chat(model="demo-large"))
        assert before.charged == during.charged < after.charged

    async def test_a_hold_that_expires_is_charged_late_and_once(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")

        async def the_hold_expires() -> None:
            clock.move(HOLDS)
            await gate.wallets.service.sweep()

        answer = await gate.while_waiting(the_hold_expires).ask(payer, chat())

        after = await gate.accounts(payer)
        assert answer.status == 200
        assert after.charges == [event.charged for event in after.events] == [answer.charged]
        assert after.balance.available == rub("100") - answer.charged
        assert ("late_charge", "paid") in after.entries
        assert after.drifts == ()

    async def test_a_free_reservation_that_expires_is_counted_late(self, gate: Gate, clock: StoppedClock) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()

        async def the_reservation_expires() -> None:
            clock.move(HOLDS)
            assert await gate.quotas.sweep() >= 1

        answer = await gate.while_waiting(the_reservation_expires).ask(payer, chat(model=DEMO_FREE))

        after = await gate.accounts(payer)
        assert after.free.metrics[0].used == body_of(answer)["usage"]["prompt_tokens"]
        assert [metric.reserved for metric in after.free.metrics] == [0, 0]
        assert after.drifts == ()

    async def test_a_caller_who_is_cancelled_gets_the_credit_back(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        is_waiting = asyncio.Event()

        async def wait_for_ever() -> None:
            is_waiting.set()
            await asyncio.Event().wait()

        call = asyncio.create_task(gate.while_waiting(wait_for_ever).ask(payer, chat()))
        await is_waiting.wait()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

        assert call.cancelled()
        assert (await gate.accounts(payer)).balance.available == rub("100")

    async def test_no_transaction_is_open_while_we_wait(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        seen: list[str] = []

        async def another_call_of_the_same_wallet() -> None:
            if not seen:
                seen.append("called")
                await gate.ask(payer, chat())

        await gate.while_waiting(another_call_of_the_same_wallet).ask(payer, chat())

        assert len((await gate.accounts(payer)).charges) == 2


class TestTheBooksCannotBeReached:
    async def test_nothing_is_called(self, gate: Gate, provider: Provider, database_url: URL) -> None:
        payer = await gate.payer("100")
        engine = application_engine(database_url.set(database="no_such_database"))
        blind = build_gate(
            begin=units_of_work(engine),
            wallets=gate.wallets,
            town=gate.town,
            routes=gate.routes,
            upstream=gate.upstream,
        )

        with pytest.raises(BillingUnavailable):
            await blind.ask(payer, chat())

        await engine.dispose()
        assert await provider.calls() == []

    async def test_a_quota_store_that_fails_never_charges_the_wallet(
        self, gate: Gate, provider: Provider, forbidding: Forbidding
    ) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer("100")

        async with forbidding("SELECT, INSERT, UPDATE ON free_quota_cycles"):
            with pytest.raises(BillingUnavailable):
                await gate.ask(payer, chat(model=DEMO_FREE))

        after = await gate.accounts(payer)
        assert (after.balance.available, after.balance.held) == (rub("100"), rub("0"))
        assert await provider.calls() == []

    @pytest.mark.parametrize("unwritable", ["usage_events", "ledger_transfers"])
    async def test_what_cannot_be_booked_is_not_delivered_and_not_charged(
        self, unwritable: str, gate: Gate, forbidding: Forbidding, clock: StoppedClock
    ) -> None:
        payer = await gate.payer("100")
        store_breaks = forbidding(f"INSERT ON {unwritable}")

        async def the_store_breaks() -> None:
            await store_breaks.__aenter__()

        try:
            with pytest.raises(BillingUnavailable):
                await gate.while_waiting(the_store_breaks).ask(payer, chat())
        finally:
            await store_breaks.__aexit__(None, None, None)

        after = await gate.accounts(payer)
        assert (after.events, after.charges) == ((), [])
        assert after.balance.held > rub("0")
        clock.move(HOLDS)
        await gate.wallets.service.sweep()
        assert (await gate.accounts(payer)).balance.available == rub("100")

    @pytest.mark.parametrize("model", ["demo-small", DEMO_FREE])
    async def test_a_connection_that_breaks_after_the_commit_books_once(self, model: str, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer("100")
        breaks_next: list[str] = []

        @asynccontextmanager
        async def begin() -> AsyncIterator[UnitOfWork]:
            async with gate.begin() as uow:
                yield uow
            if breaks_next:
                raise OperationalError(breaks_next.pop(), {}, ConnectionError())

        async def it_will_break() -> None:
            breaks_next.append("COMMIT")

        fragile = build_gate(
            begin=begin, wallets=gate.wallets, town=gate.town, routes=gate.routes, upstream=gate.upstream
        )
        answer = await fragile.while_waiting(it_will_break).ask(payer, chat(model=model))

        after = await gate.accounts(payer)
        (event,) = after.events
        assert breaks_next == []
        assert (answer.status, answer.charged) == (200, event.charged)
        assert sum((charge.micros for charge in after.charges), 0) == event.charged.micros
        assert answer.balance == after.balance.available
        assert after.drifts == ()

    @pytest.mark.parametrize("lost_later", [1, 2])
    async def test_a_charge_whose_commit_was_never_answered_is_delivered_once_it_is_seen(
        self, lost_later: int, gate: Gate
    ) -> None:
        payer = await gate.payer("100")
        breaks_next: list[str] = []

        @asynccontextmanager
        async def begin() -> AsyncIterator[UnitOfWork]:
            if breaks_next and breaks_next[-1] == "BEGIN":
                raise OperationalError(breaks_next.pop(), {}, ConnectionError())
            async with gate.begin() as uow:
                yield uow
            if breaks_next and breaks_next[-1] == "COMMIT":
                raise OperationalError(breaks_next.pop(), {}, ConnectionError())

        async def it_will_break() -> None:
            breaks_next.extend(["BEGIN"] * lost_later)
            breaks_next.append("COMMIT")

        fragile = build_gate(
            begin=begin, wallets=gate.wallets, town=gate.town, routes=gate.routes, upstream=gate.upstream
        )
        answer = await fragile.while_waiting(it_will_break).ask(payer, chat())

        after = await gate.accounts(payer)
        assert breaks_next == []
        assert answer.status == 200
        assert after.charges == [event.charged for event in after.events] == [answer.charged]
        assert answer.balance == after.balance.available

    async def test_a_charge_that_was_not_booked_is_not_delivered(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        breaks_next: list[str] = []

        @asynccontextmanager
        async def begin() -> AsyncIterator[UnitOfWork]:
            if breaks_next:
                raise OperationalError(breaks_next.pop(), {}, ConnectionError())
            async with gate.begin() as uow:
                yield uow

        async def it_will_break() -> None:
            breaks_next.extend(["BEGIN"] * 2)

        fragile = build_gate(
            begin=begin, wallets=gate.wallets, town=gate.town, routes=gate.routes, upstream=gate.upstream
        )
        with pytest.raises(BillingUnavailable):
            await fragile.while_waiting(it_will_break).ask(payer, chat())

        assert (await gate.accounts(payer)).events == ()
        clock.move(HOLDS)
        await gate.wallets.service.sweep()
        assert (await gate.accounts(payer)).balance.available == rub("100")

    async def test_free_use_that_cannot_be_recorded_is_not_delivered(
        self, gate: Gate, forbidding: Forbidding, clock: StoppedClock
    ) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()
        store_breaks = forbidding("INSERT ON usage_events")

        async def the_store_breaks() -> None:
            await store_breaks.__aenter__()

        try:
            with pytest.raises(BillingUnavailable):
                await gate.while_waiting(the_store_breaks).ask(payer, chat(model=DEMO_FREE))
        finally:
            await store_breaks.__aexit__(None, None, None)

        after = await gate.accounts(payer)
        assert [metric.used for metric in after.free.metrics] == [0, 0]
        assert after.drifts == ()
        clock.move(HOLDS)
        await gate.quotas.sweep()
        assert [metric.left for metric in (await gate.accounts(payer)).free.metrics] == [10_000, 10_000]


class TestManyCallsAtOnce:
    async def test_never_hold_more_than_the_credit(self, gate: Gate) -> None:
        payer = await gate.payer("0.1")

        outcomes = await asyncio.gather(*(gate.ask(payer, chat()) for _ in range(8)), return_exceptions=True)

        after = await gate.accounts(payer)
        answered = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert all(isinstance(outcome, InsufficientFunds) for outcome in outcomes if isinstance(outcome, Exception))
        assert sorted(after.charges, key=str) == sorted((answer.charged for answer in answered), key=str)
        assert after.balance.debt == rub("0")
        assert after.drifts == ()

    async def test_of_one_account_keep_no_connection_from_others(self, gate: Gate) -> None:
        busy, other = await gate.payer("100"), await gate.payer("100")
        is_locked = asyncio.Event()

        async def call(payer: Payer) -> Answer | StreamedAnswer:
            await is_locked.wait()
            return await gate.service.serve(payer.principal, Door.CHAT, incoming(chat()))

        calls = [asyncio.create_task(call(busy)) for _ in range(30)]  # three for each connection that there is
        passing = asyncio.create_task(call(other))
        async with gate.begin() as uow:
            await uow.connection.execute(_LOCK, {"wallet": busy.wallet_id})
            is_locked.set()
            answer = await asyncio.wait_for(passing, timeout=15)
        await asyncio.gather(*calls)

        assert isinstance(answer, Answer)
        assert len((await gate.accounts(busy)).charges) == len(calls)

    async def test_never_use_more_than_is_free(self, gate: Gate) -> None:
        await gate.set_terms(free_terms(output_tokens=350))
        payer = await gate.payer("100")
        let_in = asyncio.Event()
        waiting: list[None] = []

        async def until_all_are_let_in() -> None:
            waiting.append(None)
            if len(waiting) == 8:
                let_in.set()
            await let_in.wait()

        answers = await asyncio.gather(
            *(gate.while_waiting(until_all_are_let_in).ask(payer, chat(model=DEMO_FREE)) for _ in range(8))
        )

        sources = [answer.billing_source for answer in answers]
        assert sources.count(BillingSource.LEAD_MAGNET) == 3
        assert sources.count(BillingSource.PAYG) == 5
        assert (await gate.accounts(payer)).drifts == ()


class TestWhoMayCall:
    async def test_a_key_for_other_models_may_not(self, gate: Gate, provider: Provider) -> None:
        payer = await gate.payer("100", models=frozenset({"demo-large"}))

        with pytest.raises(ModelNotAllowed):
            await gate.ask(payer, chat())

        assert await provider.calls() == []
        assert (await gate.ask(payer, chat(model="demo-large"))).status == 200

    async def test_a_key_for_a_model_may_call_it_by_any_of_its_names(self, gate: Gate) -> None:
        payer = await gate.payer("100", models=frozenset({"demo-small"}))

        assert (await gate.ask(payer, chat(model=ALIAS))).status == 200

    async def test_an_auditor_may_not(self, gate: Gate, provider: Provider) -> None:
        auditor = await gate.payer("100", role=Role.AUDITOR)

        with pytest.raises(Forbidden):
            await gate.ask(auditor, chat())

        assert await provider.calls() == []

    async def test_a_signed_in_person_may_like_a_key(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        answer = await gate.service.serve(payer.customer.principal, Door.CHAT, incoming(chat()))

        (event,) = (await gate.accounts(payer)).events
        assert isinstance(answer, Answer)
        assert (answer.status, event.api_key_id) == (200, None)


Forbidding = Callable[[str], "_Forbidden"]


class _Forbidden:
    """For a while, the application's role may not do this to a table."""

    def __init__(self, begin_as_owner: Begin, privileges: str) -> None:
        self._begin = begin_as_owner
        self._privileges = privileges

    async def __aenter__(self) -> None:
        await self._say(f"REVOKE {self._privileges} FROM billing_app")

    async def __aexit__(self, *_: object) -> None:
        await self._say(f"GRANT {self._privileges} TO billing_app")

    async def _say(self, statement: str) -> None:
        async with self._begin() as uow:
            await uow.connection.execute(text(statement))


@pytest.fixture
def forbidding(begin_as_owner: Begin) -> Forbidding:
    """Takes privileges away from the application for the length of a block."""
    return lambda privileges: _Forbidden(begin_as_owner, privileges)
