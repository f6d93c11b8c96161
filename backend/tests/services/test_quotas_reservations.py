"""The free quota is set aside before a call, counted after it, and never exceeded by calls that come together (G9)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar, cast

import pytest
from psycopg.abc import PQGen
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.tests.builders.quotas import FREE_MODEL as MODEL
from backend.tests.builders.quotas import TTL, quota_service
from backend.tests.builders.wallets import Wallets
from backend.tests.fakes.clock import StoppedClock
from billing.customers.rules import AccountId
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.quotas.errors import ReservationEnded
from billing.quotas.rules import Amounts, FreeTerms, Metric, NotAvailable, Reserved, Unavailable
from billing.quotas.service import QuotaService

pytestmark = pytest.mark.money

CYCLE = timedelta(days=30)
T = TypeVar("T")


@dataclass(frozen=True)
class Newcomer:
    """An account that uses the free quota, call by call."""

    service: QuotaService
    wallets: Wallets
    account_id: AccountId

    async def reserve(self, estimate: Amounts, *, model: str = MODEL) -> tuple[str, Reserved | NotAvailable]:
        operation_id = self.wallets.operation()
        async with self.wallets.begin() as uow:
            return operation_id, await self.service.reserve(uow, self.account_id, operation_id, estimate, model=model)

    async def reserved(self, estimate: Amounts) -> str:
        operation_id, outcome = await self.reserve(estimate)
        assert isinstance(outcome, Reserved)
        return operation_id

    async def finalise(self, operation_id: str, actual: Amounts) -> None:
        async with self.wallets.begin() as uow:
            await self.service.finalise(uow, operation_id, actual)

    async def release(self, operation_id: str) -> None:
        async with self.wallets.begin() as uow:
            await self.service.release(uow, operation_id)

    async def extend(self, operation_id: str, to: Amounts) -> Reserved | NotAvailable:
        async with self.wallets.begin() as uow:
            return await self.service.extend(uow, operation_id, to)

    async def renew(self, operation_id: str) -> None:
        async with self.wallets.begin() as uow:
            await self.service.renew(uow, operation_id)

    async def counters(self) -> list[tuple[int, int]]:
        """Used and reserved, of input and of output."""
        async with self.wallets.begin() as uow:
            standing = await self.service.standing(uow, self.account_id)
        return [(metric.used, metric.reserved) for metric in standing.metrics]


@pytest.fixture
async def newcomer(wallets: Wallets) -> Newcomer:
    """Somebody to whom 100 tokens in and 50 out are free."""
    service = quota_service(wallets.begin, wallets.clock, wallets.ids)
    someone = Newcomer(service, wallets, AccountId(await wallets.account()))
    await put_in_force(someone, Amounts(100, 50))
    return someone


async def fresh(wallets: Wallets) -> AccountId:
    """An account that has used nothing."""
    return AccountId(await wallets.account())


class Listening:
    """A transaction's connection that counts how often somebody waits for the database."""

    def __init__(self, uow: UnitOfWork) -> None:
        self.driver = uow.driver
        self.sync_connection = self.connection = self.driver_connection = self
        self.count = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.driver, name)

    async def wait(self, exchange: PQGen[T]) -> T:
        self.count += 1
        return await self.driver.wait(exchange)

    def as_uow(self) -> UnitOfWork:
        return UnitOfWork(cast("AsyncConnection", self))


async def put_in_force(newcomer: Newcomer, limits: Amounts, *, is_enabled: bool = True) -> int:
    """Terms with these limits."""
    terms = FreeTerms(is_enabled, CYCLE.days, limits, frozenset({MODEL}))
    async with newcomer.wallets.begin() as uow:
        return await newcomer.service.set_terms(uow, terms)


class TestReserving:
    async def test_sets_the_estimate_aside(self, newcomer: Newcomer) -> None:
        await newcomer.reserved(Amounts(30, 20))

        assert await newcomer.counters() == [(0, 30), (0, 20)]

    async def test_what_does_not_fit_sets_nothing_aside(self, newcomer: Newcomer) -> None:
        await newcomer.reserved(Amounts(30, 40))

        _, outcome = await newcomer.reserve(Amounts(10, 20))

        assert outcome == NotAvailable(Unavailable.EXHAUSTED, Metric.OUTPUT_TOKENS, limit=50, used=40, required=20)
        assert await newcomer.counters() == [(0, 30), (0, 40)]

    async def test_exactly_what_is_left_fits(self, newcomer: Newcomer) -> None:
        await newcomer.reserved(Amounts(99, 49))

        await newcomer.reserved(Amounts(1, 1))

        assert await newcomer.counters() == [(0, 100), (0, 50)]

    async def test_in_parallel_never_exceeds_the_limit(self, newcomer: Newcomer) -> None:
        outcomes = await asyncio.gather(*(newcomer.reserve(Amounts(30, 1)) for _ in range(20)))

        assert sum(isinstance(outcome, Reserved) for _, outcome in outcomes) == 3
        assert await newcomer.counters() == [(0, 90), (0, 3)]

    async def test_in_parallel_after_a_cycle_ended_opens_one_cycle(
        self, newcomer: Newcomer, clock: StoppedClock
    ) -> None:
        await newcomer.reserved(Amounts(100, 50))
        clock.move(CYCLE)

        outcomes = await asyncio.gather(*(newcomer.reserve(Amounts(50, 1)) for _ in range(10)))

        reserved = [outcome for _, outcome in outcomes if isinstance(outcome, Reserved)]
        assert [outcome.cycle_number for outcome in reserved] == [2, 2]

    @pytest.mark.parametrize("limits", [Amounts(0, 50), Amounts(100, 0)])
    async def test_under_a_limit_of_zero_is_never_possible(self, limits: Amounts, newcomer: Newcomer) -> None:
        await put_in_force(newcomer, limits)

        _, outcome = await newcomer.reserve(Amounts(1, 1))

        assert isinstance(outcome, NotAvailable)
        assert outcome.reason is Unavailable.EXHAUSTED

    async def test_obeys_new_terms_at_once(self, newcomer: Newcomer) -> None:
        await newcomer.reserved(Amounts(30, 20))
        await put_in_force(newcomer, Amounts(30, 20))

        _, outcome = await newcomer.reserve(Amounts(1, 1))
        await put_in_force(newcomer, Amounts(30, 20), is_enabled=False)
        _, switched_off = await newcomer.reserve(Amounts(1, 1))

        assert outcome == NotAvailable(Unavailable.EXHAUSTED, Metric.INPUT_TOKENS, limit=30, used=30, required=1)
        assert switched_off == NotAvailable(Unavailable.DISABLED)

    async def test_for_a_model_that_is_not_free_is_not_possible(self, newcomer: Newcomer) -> None:
        _, outcome = await newcomer.reserve(Amounts(1, 1), model="dear-model")

        assert outcome == NotAvailable(Unavailable.MODEL_NOT_ELIGIBLE)


class TestFinalising:
    async def test_counts_what_was_used_and_gives_the_rest_back(self, newcomer: Newcomer) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))

        await newcomer.finalise(operation, Amounts(10, 5))

        assert await newcomer.counters() == [(10, 0), (5, 0)]

    async def test_counts_more_than_was_set_aside_as_well(self, newcomer: Newcomer) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))

        await newcomer.finalise(operation, Amounts(200, 90))

        assert await newcomer.counters() == [(200, 0), (90, 0)]

    async def test_twice_counts_once(self, newcomer: Newcomer) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))

        await newcomer.finalise(operation, Amounts(10, 5))
        await newcomer.finalise(operation, Amounts(10, 5))

        assert await newcomer.counters() == [(10, 0), (5, 0)]

    async def test_with_another_use_is_refused(self, newcomer: Newcomer) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))
        await newcomer.finalise(operation, Amounts(10, 5))

        with pytest.raises(ReservationEnded):
            await newcomer.finalise(operation, Amounts(11, 5))

    async def test_after_a_release_is_refused(self, newcomer: Newcomer) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))
        await newcomer.release(operation)

        with pytest.raises(ReservationEnded):
            await newcomer.finalise(operation, Amounts(10, 5))

    async def test_of_an_unknown_operation_is_refused(self, newcomer: Newcomer) -> None:
        with pytest.raises(ReservationEnded):
            await newcomer.finalise("opr_unknown", Amounts(10, 5))


class TestReleasing:
    async def test_gives_everything_back_once(self, newcomer: Newcomer) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))

        await newcomer.release(operation)
        await newcomer.release(operation)

        assert await newcomer.counters() == [(0, 0), (0, 0)]

    async def test_after_the_use_was_counted_is_refused(self, newcomer: Newcomer) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))
        await newcomer.finalise(operation, Amounts(10, 5))

        with pytest.raises(ReservationEnded):
            await newcomer.release(operation)

    async def test_in_a_later_cycle_changes_nothing_there(self, newcomer: Newcomer, clock: StoppedClock) -> None:
        old = await newcomer.reserved(Amounts(30, 20))
        clock.move(CYCLE)
        await newcomer.reserved(Amounts(5, 5))

        await newcomer.release(old)

        assert await newcomer.counters() == [(0, 5), (0, 5)]

    async def test_and_use_counted_in_a_later_cycle_stays_with_its_own(
        self, newcomer: Newcomer, clock: StoppedClock
    ) -> None:
        old = await newcomer.reserved(Amounts(30, 20))
        clock.move(CYCLE)
        await newcomer.reserved(Amounts(5, 5))

        await newcomer.finalise(old, Amounts(30, 20))

        assert await newcomer.counters() == [(0, 5), (0, 5)]


class TestEveryMetric:
    @pytest.mark.parametrize("metric", list(Metric))
    async def test_is_limited_and_counted_by_itself(self, metric: Metric, newcomer: Newcomer) -> None:
        one, two, three = (Amounts(**{metric.value: count}) for count in (1, 2, 3))
        await put_in_force(newcomer, three)
        operation = await newcomer.reserved(two)

        _, too_much = await newcomer.reserve(two)
        await newcomer.finalise(operation, one)
        await newcomer.reserved(two)

        assert too_much == NotAvailable(Unavailable.EXHAUSTED, metric, limit=3, used=2, required=2)
        async with newcomer.wallets.begin() as uow:
            (standing,) = (await newcomer.service.standing(uow, newcomer.account_id)).metrics
        assert (standing.metric, standing.used, standing.reserved, standing.left) == (metric, 1, 2, 0)

    async def test_that_a_call_does_not_use_never_blocks_it(self, newcomer: Newcomer) -> None:
        await put_in_force(newcomer, Amounts(images=2))

        _, drawn = await newcomer.reserve(Amounts(images=2))
        _, written = await newcomer.reserve(Amounts(input_tokens=1, images=0))

        assert isinstance(drawn, Reserved)
        assert written == NotAvailable(Unavailable.EXHAUSTED, Metric.INPUT_TOKENS, limit=0, used=0, required=1)


class TestExtending:
    async def test_sets_the_growth_aside_once(self, newcomer: Newcomer) -> None:
        operation_id = await newcomer.reserved(Amounts(30, 20))

        for _ in range(2):
            assert await newcomer.extend(operation_id, Amounts(10, 35)) == Reserved(operation_id, 1, Amounts(30, 35))

        assert await newcomer.counters() == [(0, 30), (0, 35)]

    async def test_beyond_what_is_left_changes_nothing(self, newcomer: Newcomer) -> None:
        operation_id = await newcomer.reserved(Amounts(30, 20))

        refused = await newcomer.extend(operation_id, Amounts(30, 51))

        assert refused == NotAvailable(Unavailable.EXHAUSTED, Metric.OUTPUT_TOKENS, limit=50, used=20, required=31)
        assert await newcomer.counters() == [(0, 30), (0, 20)]

    async def test_in_parallel_never_exceeds_the_limit(self, newcomer: Newcomer) -> None:
        operations = [await newcomer.reserved(Amounts(1, 5)) for _ in range(5)]

        grown = await asyncio.gather(*(newcomer.extend(operation_id, Amounts(1, 15)) for operation_id in operations))

        assert sum(isinstance(outcome, Reserved) for outcome in grown) == 2
        assert await newcomer.counters() == [(0, 5), (0, 45)]

    async def test_ends_with_the_free_offer(self, newcomer: Newcomer) -> None:
        operation_id = await newcomer.reserved(Amounts(1, 5))
        await put_in_force(newcomer, Amounts(100, 50), is_enabled=False)

        assert await newcomer.extend(operation_id, Amounts(1, 6)) == NotAvailable(Unavailable.DISABLED)

    async def test_of_what_has_ended_is_refused(self, newcomer: Newcomer) -> None:
        operation_id = await newcomer.reserved(Amounts(1, 5))
        await newcomer.release(operation_id)

        for ended in (operation_id, "opr_unknown"):
            with pytest.raises(ReservationEnded):
                await newcomer.extend(ended, Amounts(1, 6))


class TestRenewing:
    async def test_keeps_a_call_that_still_runs(self, newcomer: Newcomer, clock: StoppedClock) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))
        clock.move(TTL - timedelta(seconds=1))

        await newcomer.renew(operation)
        clock.move(timedelta(seconds=2))
        await newcomer.service.sweep()

        assert await newcomer.counters() == [(0, 30), (0, 20)]

    async def test_revives_nothing_that_has_ended(self, newcomer: Newcomer, clock: StoppedClock) -> None:
        released, expired = await newcomer.reserved(Amounts(1, 1)), await newcomer.reserved(Amounts(2, 2))
        await newcomer.release(released)
        clock.move(TTL)
        await newcomer.service.sweep()

        for operation in (released, expired, "opr_unknown"):
            await newcomer.renew(operation)

        assert await newcomer.counters() == [(0, 0), (0, 0)]


class TestRoundTrips:
    async def test_are_two_for_each_step_of_a_call(self, newcomer: Newcomer) -> None:
        await newcomer.reserved(Amounts(1, 1))
        operation = newcomer.wallets.operation()

        async with newcomer.wallets.begin() as uow:
            reserving, finalising = Listening(uow), Listening(uow)
            await newcomer.service.reserve(
                reserving.as_uow(), newcomer.account_id, operation, Amounts(1, 1), model=MODEL
            )
            await newcomer.service.finalise(finalising.as_uow(), operation, Amounts(1, 1))

        assert (reserving.count, finalising.count) == (2, 2)


class TestSweeping:
    async def test_ends_every_due_reservation_however_many_there_are(
        self, newcomer: Newcomer, clock: StoppedClock
    ) -> None:
        await put_in_force(newcomer, Amounts(10_000, 10_000))
        async with newcomer.wallets.begin() as uow:
            for _ in range(510):
                await newcomer.service.reserve(
                    uow, newcomer.account_id, newcomer.wallets.operation(), Amounts(1, 1), model=MODEL
                )
        clock.move(TTL)

        swept = await newcomer.service.sweep()

        assert swept >= 510
        assert await newcomer.counters() == [(0, 0), (0, 0)]

    async def test_by_two_workers_at_once_ends_each_reservation_once(
        self, newcomer: Newcomer, wallets: Wallets, clock: StoppedClock
    ) -> None:
        people = [newcomer, *[Newcomer(newcomer.service, wallets, await fresh(wallets)) for _ in range(5)]]
        for person in people * 3:
            await person.reserved(Amounts(5, 5))
        clock.move(TTL)

        swept = await asyncio.gather(*(newcomer.service.sweep() for _ in range(4)))

        assert sum(swept) >= 18
        assert [await person.counters() for person in people] == [[(0, 0), (0, 0)]] * 6

    async def test_gives_back_what_nobody_came_back_for(self, newcomer: Newcomer, clock: StoppedClock) -> None:
        await newcomer.reserved(Amounts(30, 20))
        clock.move(TTL)
        still_open = await newcomer.reserved(Amounts(7, 7))

        await newcomer.service.sweep()

        assert await newcomer.counters() == [(0, 7), (0, 7)]
        await newcomer.release(still_open)

    async def test_leaves_finished_reservations_alone(self, newcomer: Newcomer, clock: StoppedClock) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))
        await newcomer.finalise(operation, Amounts(10, 5))
        clock.move(TTL)

        await newcomer.service.sweep()

        assert await newcomer.counters() == [(10, 0), (5, 0)]

    async def test_does_not_lose_a_result_that_comes_late(self, newcomer: Newcomer, clock: StoppedClock) -> None:
        operation = await newcomer.reserved(Amounts(30, 20))
        clock.move(TTL)
        await newcomer.service.sweep()

        await newcomer.finalise(operation, Amounts(10, 5))

        assert await newcomer.counters() == [(10, 0), (5, 0)]


class TestTerms:
    async def test_that_say_the_same_make_no_new_version(self, newcomer: Newcomer) -> None:
        first = await put_in_force(newcomer, Amounts(123, 45))

        again = await put_in_force(newcomer, Amounts(123, 45))
        changed = await put_in_force(newcomer, Amounts(123, 46))

        assert (again, changed) == (first, first + 1)

    async def test_set_at_the_same_time_are_two_versions(self, newcomer: Newcomer) -> None:
        versions = await asyncio.gather(*(put_in_force(newcomer, Amounts(1000 + n, 1)) for n in range(5)))

        assert len(set(versions)) == 5

    async def test_once_in_force_cannot_be_rewritten_by_the_application(self, begin: Begin) -> None:
        with pytest.raises(ProgrammingError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(text("UPDATE free_quota_terms SET input_tokens_limit = 9"))
