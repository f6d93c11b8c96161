"""The simulators' time: the machine's clock, which tests may move forward without waiting."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def machine_time() -> datetime:
    """The present moment in UTC."""
    return datetime.now(UTC)


def iso_milliseconds(moment: datetime) -> str:
    """A moment as the provider writes it, `2017-11-03T11:52:31.827Z`: so equal-length texts sort like their moments."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class MovableClock:
    """Tells a base time plus all advances so far; it never goes back."""

    def __init__(self, base: Callable[[], datetime] = machine_time) -> None:
        self._base = base
        self._advanced = timedelta()

    @property
    def advanced_seconds(self) -> float:
        """How far this clock runs ahead of its base."""
        return self._advanced.total_seconds()

    def now(self) -> datetime:
        """The simulated present moment in UTC."""
        return self._base() + self._advanced

    def advance(self, seconds: float) -> None:
        """Moves the clock forward.

        Raises:
            ValueError: The step is negative.
        """
        if seconds < 0:
            message = f"the clock only moves forward, not by {seconds} s"
            raise ValueError(message)
        self._advanced += timedelta(seconds=seconds)
