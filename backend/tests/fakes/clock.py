"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class StoppedClock:
    """Tells the same moment until it is moved; it moves only forward, as real ones do."""

    def __init__(self, start: datetime = NOON) -> None:
        self._now = start

    def now(self) -> datetime:
        """The moment at which the clock stands."""
        return self._now

    def move(self, by: timedelta) -> None:
        """Lets this much time pass."""
        assert by >= timedelta(0), "the clock moves only forward"
        self._now += by
