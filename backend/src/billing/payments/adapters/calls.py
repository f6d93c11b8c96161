"""How every adapter calls its provider: within a budget of time, repeated only where that is safe, and not for ever."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from billing.kit.unit_of_work import refuse_open_transaction
from billing.payments.adapters.breaker import CircuitBreaker
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderMalformed,
    ProviderRateLimited,
    ProviderUnavailable,
)

T = TypeVar("T")

RETRY_AFTER_SECONDS_MAX = 3600

_RETRIED = (ProviderAmbiguous, ProviderMalformed, ProviderRateLimited, ProviderUnavailable)
_UNCERTAIN = (ProviderAmbiguous, ProviderMalformed)


@dataclass(frozen=True, slots=True)
class Budget:
    """How long one use of the provider may take, with all its repetitions."""

    connect_seconds: float = 3.0
    total_seconds: float = 15.0
    retries_max: int = 2
    first_wait_seconds: float = 0.2


class ProviderCalls:
    """Carries out calls to one provider.

    `attempt` gets the moment of the event loop's clock by which it must have ended. It must be a question, or a change
    that is keyed, so that the provider carries it out once however often it comes; it is repeated only after failures
    that may pass. If any repetition of a change ended uncertainly, the whole call did, whatever a later one said.
    The breaker, of which each provider has one, counts whole calls.
    """

    def __init__(self, budget: Budget, breaker: CircuitBreaker, chance: Callable[[], float] = random.random) -> None:
        self._budget = budget
        self._breaker = breaker
        self._chance = chance

    async def ask(self, attempt: Callable[[float], Awaitable[T]]) -> T:
        """A question, which changes nothing there.

        Raises:
            ProviderFailure: none of the attempts got an answer, or the provider is left alone.
        """
        refuse_open_transaction()
        with self._breaker.passage():
            return await self._call(attempt, is_change=False)

    async def change(self, attempt: Callable[[float], Awaitable[T]]) -> T:
        """A keyed change.

        Raises:
            ProviderFailure: as the attempts say; `ProviderAmbiguous` or `ProviderMalformed` where it may have happened.
        """
        refuse_open_transaction()
        with self._breaker.passage():
            return await self._call(attempt, is_change=True)

    async def _call(self, attempt: Callable[[float], Awaitable[T]], *, is_change: bool) -> T:
        deadline = asyncio.get_running_loop().time() + self._budget.total_seconds
        uncertainty: ProviderFailure | None = None
        retries = 0
        while True:
            try:
                return await attempt(deadline)
            except ProviderFailure as failure:
                if is_change and isinstance(failure, _UNCERTAIN):
                    uncertainty = failure
                wait_seconds = self._wait_seconds(failure, retries)
                if retries == self._budget.retries_max or not _is_worth_a_retry(failure, wait_seconds, deadline):
                    if uncertainty is None or uncertainty is failure:
                        raise
                    raise uncertainty from failure
            retries += 1
            await asyncio.sleep(wait_seconds)

    def _wait_seconds(self, failure: ProviderFailure, retries: int) -> float:
        """What the provider asks for, else twice as long each time, jittered so that callers do not march in step."""
        backoff: float = self._budget.first_wait_seconds * 2**retries * (0.5 + self._chance())
        return max(backoff, float(failure.retry_after_seconds or 0))


def no_answer(*, is_change: bool) -> ProviderFailure:
    """What it means that a request was sent and no usable answer came."""
    if is_change:
        return ProviderAmbiguous("The payment provider did not answer; whether it acted is not known yet.")
    return ProviderUnavailable("The payment provider did not answer.")


def retry_after_seconds(text: str) -> int | None:
    """The header's whole seconds, an hour at the most; a date or anything else says nothing."""
    return min(int(text), RETRY_AFTER_SECONDS_MAX) if text.isascii() and text.isdigit() else None


def _is_worth_a_retry(failure: ProviderFailure, wait_seconds: float, deadline: float) -> bool:
    return isinstance(failure, _RETRIED) and asyncio.get_running_loop().time() + wait_seconds < deadline
