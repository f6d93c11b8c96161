"""The provider's idempotence: one key, one effect, for 24 hours."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from testkit.simulators.clock import MovableClock
from testkit.simulators.yookassa.refusals import InvalidRequest

HEADER = "Idempotence-Key"
_KEY_MAX = 64
_REMEMBERED_FOR = timedelta(hours=24)

Answer = Callable[[], dict[str, Any]]
"""Writes the object that a request made or changed, in its current status."""


@dataclass(frozen=True, slots=True)
class _Remembered:
    fingerprint: str
    first_at: datetime
    answer: Answer


class IdempotenceKeys:
    """What was done under which key.

    A refused request is not remembered: it had no effect, and the documentation says to use a new key for new data.
    """

    def __init__(self, clock: MovableClock) -> None:
        self._clock = clock
        self._remembered: dict[str, _Remembered] = {}

    def once(self, key: str | None, fingerprint: str, act: Callable[[], Answer]) -> dict[str, Any]:
        """Acts on the first request of a key; a repetition gets the same object in its current status.

        Raises:
            InvalidRequest: There is no key, it is too long, or it was used within 24 hours with other data.
        """
        if not key or len(key) > _KEY_MAX:
            raise InvalidRequest(f"Must have 1 to {_KEY_MAX} characters", parameter=HEADER)
        now = self._clock.now()
        earlier = self._remembered.get(key)
        if earlier is not None and now - earlier.first_at < _REMEMBERED_FOR:
            if earlier.fingerprint != fingerprint:
                raise InvalidRequest("Idempotence key duplicated", parameter=HEADER)
            return earlier.answer()
        answer = act()
        self._remembered[key] = _Remembered(fingerprint, now, answer)
        return answer()

    def clear(self) -> None:
        """Forgets every key."""
        self._remembered.clear()
