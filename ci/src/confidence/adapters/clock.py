"""The machine's clock."""

import time
from datetime import UTC, datetime


class MachineClock:
    """Time as the machine tells it."""

    def now(self) -> datetime:
        """The moment, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def rest(self, seconds: float) -> None:
        """Let that much time pass."""
        time.sleep(seconds)  # the only wait of the runner: between two looks at the suites
