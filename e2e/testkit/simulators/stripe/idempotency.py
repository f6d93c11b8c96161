"""The provider's idempotency: the answer to the first request of a key is kept, and given again, for 24 hours.

Kept as it was, unlike YooKassa's, where the object comes in its current state; and a bank's refusal is kept too.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from testkit.simulators.clock import MovableClock
from testkit.simulators.stripe.refusals import CardRefused, IdempotencyConflict, InvalidRequest

HEADER = "Idempotency-Key"
_KEY_MAX = 255
_REMEMBERED_FOR = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class _Remembered:
    fingerprint: str
    first_at: datetime
    answer: dict[str, Any] | CardRefused


class IdempotencyKeys:
    """What was answered under which key. A request that was not valid is not remembered: nothing was begun."""

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}

    def once(self, key: str | None, fingerprint: str, act: Callable[[], dict[str, Any]]) -> tuple[dict[str, Any], bool]:
        """Acts on the first request of a key; says the answer, and whether it is a repetition.

        Raises:
            IdempotencyConflict: the key was used within 24 hours with other parameters.
            InvalidRequest: the key is too long.
            CardRefused: the bank refuses, or refused the first time.
        """
        if key is None:
            return act(), False
        if not 1 <= len(key) <= _KEY_MAX:
            raise InvalidRequest(f"Must have 1 to {_KEY_MAX} characters", parameter=HEADER)
        now = self._clock.now()
        earlier = self._remembered.get(key)
        if earlier is None or now - earlier.first_at >= _REMEMBERED_FOR:
            self._remembered[key] = earlier = _Remembered(fingerprint, now, _answer_of(act))
            return _given(earlier.answer), False
        if earlier.fingerprint != fingerprint:
            raise IdempotencyConflict("Keys for idempotent requests can only be used with the same parameters.")
        return _given(earlier.answer), True

    def clear(self) -> None:
        """Forgets every key."""
        self._remembered.clear()


def _answer_of(act: Callable[[], dict[str, Any]]) -> dict[str, Any] | CardRefused:
    try:
        return act()
    except CardRefused as refusal:
        return refusal


def _given(answer: dict[str, Any] | CardRefused) -> dict[str, Any]:
    if isinstance(answer, CardRefused):
        raise answer
    return copy.deepcopy(answer)
