"""Leaves a provider alone that does not answer, and asks it again with one call at a time."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

import structlog

from billing.payments.errors import ProviderAmbiguous, ProviderFailure, ProviderMalformed, ProviderUnavailable

_OUTAGES = (ProviderAmbiguous, ProviderMalformed, ProviderUnavailable)

_log = structlog.get_logger(__name__)


class CircuitState(StrEnum):
    """Whether calls get through."""

    CLOSED = "closed"
    """They do."""
    OPEN = "open"
    """None does until the provider has had its rest."""
    HALF_OPEN = "half_open"
    """One is on its way to find out; the others do not wait for it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """After how many bad calls in a row a provider is left alone, and for how long."""

    failures_max: int = 5
    rest_seconds: float = 20.0


class CircuitBreaker:
    """One per provider and process. Calls that are refused here have not been sent, so that nothing happened there.

    Only outages count: a provider that rejects us, or wants fewer calls, is there. `now` tells seconds that never go
    back.
    """

    def __init__(
        self, provider: str, *, patience: Patience | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._provider = provider
        self._patience = patience or Patience()
        self._now = now
        self._state = CircuitState.CLOSED
        self._failures = 0
        self._rests_until = 0.0

    @property
    def state(self) -> CircuitState:
        """Whether calls get through; an open one whose rest is over becomes half open with the next call."""
        return self._state

    @contextmanager
    def passage(self) -> Iterator[None]:
        """Lets one whole call through, with all its repetitions, and learns from how it ends.

        Raises:
            ProviderUnavailable: the provider is left alone; nothing was sent.
        """
        is_probe = self._admit()
        try:
            yield
        except _OUTAGES:
            self._failed(is_probe=is_probe)
            raise
        except ProviderFailure:
            self._answered(is_probe=is_probe)
            raise
        except BaseException:
            self._abandoned(is_probe=is_probe)
            raise
        self._answered(is_probe=is_probe)

    def _admit(self) -> bool:
        """Whether this call is the probe."""
        if self._state is CircuitState.CLOSED:
            return False
        seconds_left = self._rests_until - self._now()
        if self._state is CircuitState.HALF_OPEN or seconds_left > 0:
            raise ProviderUnavailable(
                "The payment provider has not answered for a while and is left alone.",
                retry_after_seconds=max(1, math.ceil(seconds_left)),
            )
        self._state = CircuitState.HALF_OPEN
        return True

    def _failed(self, *, is_probe: bool) -> None:
        """What began before the circuit opened and fails after it is no news."""
        if self._state is CircuitState.CLOSED:
            self._failures += 1
        if is_probe or (self._state is CircuitState.CLOSED and self._failures >= self._patience.failures_max):
            self._open()

    def _answered(self, *, is_probe: bool) -> None:
        if is_probe:
            self._state = CircuitState.CLOSED
            _log.info("provider_answers_again", provider=self._provider)
        if self._state is CircuitState.CLOSED:
            self._failures = 0

    def _abandoned(self, *, is_probe: bool) -> None:
        """The call was called off, which says nothing about the provider; the next one is the probe instead."""
        if is_probe:
            self._state = CircuitState.OPEN

    def _open(self) -> None:
        self._state = CircuitState.OPEN
        self._rests_until = self._now() + self._patience.rest_seconds
        _log.warning("provider_left_alone", provider=self._provider, seconds=self._patience.rest_seconds)
