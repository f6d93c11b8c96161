"""A provider that does not answer is left alone for a while, and then asked by one call at a time."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from billing.payments.adapters.breaker import CircuitBreaker, CircuitState, Patience
from billing.payments.adapters.calls import Budget, ProviderCalls, retry_after_seconds
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRateLimited,
    ProviderRefusedUs,
    ProviderRejected,
    ProviderUnavailable,
)

OUTAGES = (ProviderAmbiguous, ProviderMalformed, ProviderUnavailable)
ANSWERS = (ProviderRejected, ProviderRateLimited, ProviderRefusedUs, ProviderObjectUnknown)
ONCE = Budget(retries_max=0)


class Stopwatch:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def stopwatch() -> Stopwatch:
    """The breaker's time."""
    return Stopwatch()


@pytest.fixture
def breaker(stopwatch: Stopwatch) -> CircuitBreaker:
    """The breaker as it runs in production."""
    return CircuitBreaker("yookassa", now=stopwatch)


class Provider:
    """A provider whose calls end as the test says, with how many reached it."""

    def __init__(self, breaker: CircuitBreaker, budget: Budget = ONCE) -> None:
        self.attempts = 0
        self._calls = ProviderCalls(budget, breaker, chance=lambda: 0.0)

    async def call(self, failure: type[ProviderFailure] | None = None) -> str:
        """One whole call, with its repetitions."""

        async def attempt(_: float) -> str:
            self.attempts += 1
            if failure is not None:
                raise failure("It went wrong.")
            return "answer"

        return await self._calls.change(attempt)

    async def fail(self, times: int, failure: type[ProviderFailure] = ProviderUnavailable) -> None:
        """So many whole calls that end in this way."""
        for _ in range(times):
            with pytest.raises(failure):
                await self.call(failure)


@pytest.fixture
def provider(breaker: CircuitBreaker) -> Provider:
    """The provider behind the breaker."""
    return Provider(breaker)


class TestOpening:
    @pytest.mark.parametrize("failure", OUTAGES)
    async def test_after_five_outages_in_a_row_nothing_is_sent(
        self, breaker: CircuitBreaker, provider: Provider, failure: type[ProviderFailure]
    ) -> None:
        await provider.fail(5, failure)

        with pytest.raises(ProviderUnavailable) as refused:
            await provider.call()

        assert (breaker.state, provider.attempts) == (CircuitState.OPEN, 5)
        assert refused.value.retry_after_seconds == 20

    async def test_four_are_not_enough(self, breaker: CircuitBreaker, provider: Provider) -> None:
        await provider.fail(4)

        assert breaker.state is CircuitState.CLOSED

    async def test_they_must_follow_each_other(self, breaker: CircuitBreaker, provider: Provider) -> None:
        await provider.fail(4)
        await provider.call()
        await provider.fail(4)

        assert breaker.state is CircuitState.CLOSED

    @pytest.mark.parametrize("answer", ANSWERS)
    async def test_a_provider_that_says_no_is_there(
        self, breaker: CircuitBreaker, provider: Provider, answer: type[ProviderFailure]
    ) -> None:
        await provider.fail(4)
        await provider.fail(1, answer)
        await provider.fail(4)
        await provider.fail(9, answer)

        assert breaker.state is CircuitState.CLOSED

    async def test_the_repetitions_of_one_call_count_once(self, breaker: CircuitBreaker) -> None:
        patient = Provider(breaker, Budget(retries_max=2, first_wait_seconds=0))

        await patient.fail(4)

        assert (breaker.state, patient.attempts) == (CircuitState.CLOSED, 12)

    async def test_how_long_to_wait_shrinks_with_the_rest(self, provider: Provider, stopwatch: Stopwatch) -> None:
        await provider.fail(5)
        stopwatch.seconds += 12.4

        with pytest.raises(ProviderUnavailable) as refused:
            await provider.call()

        assert refused.value.retry_after_seconds == 8

    async def test_operators_read_of_it(self, provider: Provider) -> None:
        with capture_logs() as logs:
            await provider.fail(5)

        assert [(line["event"], line["provider"]) for line in logs] == [("provider_left_alone", "yookassa")]


class TestTheProbe:
    @pytest.fixture
    async def rested(self, provider: Provider, stopwatch: Stopwatch) -> Provider:
        """A provider that was left alone for twenty seconds."""
        await provider.fail(5)
        stopwatch.seconds += 20
        return provider

    async def test_one_good_call_opens_the_way_for_all(self, breaker: CircuitBreaker, rested: Provider) -> None:
        with capture_logs() as logs:
            assert await rested.call() == "answer"

        assert breaker.state is CircuitState.CLOSED
        assert [line["event"] for line in logs] == ["provider_answers_again"]
        await rested.fail(4)
        assert breaker.state is CircuitState.CLOSED

    async def test_a_rejection_is_an_answer_too(self, breaker: CircuitBreaker, rested: Provider) -> None:
        await rested.fail(1, ProviderRejected)

        assert breaker.state is CircuitState.CLOSED

    @pytest.mark.parametrize("failure", OUTAGES)
    async def test_a_bad_one_begins_the_rest_anew(
        self, breaker: CircuitBreaker, rested: Provider, stopwatch: Stopwatch, failure: type[ProviderFailure]
    ) -> None:
        await rested.fail(1, failure)
        stopwatch.seconds += 19

        with pytest.raises(ProviderUnavailable) as refused:
            await rested.call()

        assert (breaker.state, rested.attempts) == (CircuitState.OPEN, 6)
        assert refused.value.retry_after_seconds == 1

    async def test_meanwhile_nobody_else_gets_through(self, breaker: CircuitBreaker, rested: Provider) -> None:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: float) -> str:
            arrived.set()
            await go_on.wait()
            return "answer"

        probe = asyncio.create_task(ProviderCalls(ONCE, breaker).ask(slow))
        await arrived.wait()
        with pytest.raises(ProviderUnavailable) as refused:
            await rested.call()
        go_on.set()

        assert await probe == "answer"
        assert refused.value.retry_after_seconds == 1
        assert rested.attempts == 5
        assert await rested.call() == "answer"

    async def test_one_that_is_called_off_leaves_its_place_to_the_next(
        self, breaker: CircuitBreaker, rested: Provider
    ) -> None:
        arrived = asyncio.Event()

        async def for_ever(_: float) -> str:
            arrived.set()
            await asyncio.Event().wait()
            return "answer"

        probe = asyncio.create_task(ProviderCalls(ONCE, breaker).ask(for_ever))
        await arrived.wait()
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe

        assert await rested.call() == "answer"
        assert breaker.state is CircuitState.CLOSED


class TestNewsThatComesLate:
    @pytest.mark.parametrize("is_good", [True, False])
    async def test_what_began_before_the_rest_does_not_end_it_or_draw_it_out(
        self, breaker: CircuitBreaker, provider: Provider, stopwatch: Stopwatch, *, is_good: bool
    ) -> None:
        arrived, go_on = asyncio.Event(), asyncio.Event()

        async def slow(_: float) -> str:
            arrived.set()
            await go_on.wait()
            if is_good:
                return "answer"
            raise ProviderUnavailable("It went wrong.")

        early = asyncio.create_task(ProviderCalls(ONCE, breaker).ask(slow))
        await arrived.wait()
        await provider.fail(5)
        stopwatch.seconds += 10
        go_on.set()
        await asyncio.wait([early])

        assert (early.exception() is None) is is_good
        assert breaker.state is CircuitState.OPEN
        stopwatch.seconds += 10
        assert await provider.call() == "answer"

    async def test_a_bug_of_ours_says_nothing_about_the_provider(self, breaker: CircuitBreaker) -> None:
        async def bug(_: float) -> str:
            raise ZeroDivisionError

        calls = ProviderCalls(ONCE, breaker)
        for _ in range(9):
            with pytest.raises(ZeroDivisionError):
                await calls.ask(bug)

        assert breaker.state is CircuitState.CLOSED


class TestTheBudget:
    def test_it_is_three_seconds_to_connect_fifteen_in_all_and_two_repetitions(self) -> None:
        assert Budget() == Budget(connect_seconds=3.0, total_seconds=15.0, retries_max=2)

    @pytest.mark.parametrize(
        ("header", "seconds"),
        [("0", 0), ("7", 7), ("7200", 3600), ("", None), ("-1", None), ("1.5", None), ("²", None), ("soon", None)],
    )
    def test_only_whole_seconds_say_how_long_to_wait_and_an_hour_at_the_most(
        self, header: str, seconds: int | None
    ) -> None:
        assert retry_after_seconds(header) == seconds

    async def test_a_wait_that_would_not_leave_time_for_an_answer_is_not_begun(self, breaker: CircuitBreaker) -> None:
        provider = Provider(breaker, Budget(total_seconds=1.0, retries_max=2, first_wait_seconds=10.0))
        loop = asyncio.get_running_loop()
        asked_at = loop.time()

        await provider.fail(1)

        assert provider.attempts == 1
        assert loop.time() - asked_at < 1


class TestPatience:
    async def test_it_can_be_chosen(self, stopwatch: Stopwatch) -> None:
        breaker = CircuitBreaker("stripe", patience=Patience(failures_max=1, rest_seconds=3), now=stopwatch)
        provider = Provider(breaker)

        await provider.fail(1)

        with pytest.raises(ProviderUnavailable) as refused:
            await provider.call()
        assert refused.value.retry_after_seconds == 3

    async def test_a_failure_keeps_what_caused_it(self, breaker: CircuitBreaker) -> None:
        broken_wire = OSError("broken wire")

        async def attempt(_: float) -> str:
            message = "Nobody answers."
            raise ProviderAmbiguous(message) from broken_wire

        with pytest.raises(ProviderAmbiguous) as failed:
            await ProviderCalls(ONCE, breaker).change(attempt)

        assert failed.value.__cause__ is broken_wire
