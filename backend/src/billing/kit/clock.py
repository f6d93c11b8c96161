"""Time comes in through a port, so that tests and rehearsals can move it in every process at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Tells what time it is, in UTC, never earlier than it told before in this process (G19)."""

    def now(self) -> datetime:
        """The present moment, timezone-aware, UTC."""
        ...


class SystemClock:
    """The machine's clock; a step backwards (NTP, a moved virtual machine) is held at the last moment told."""

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The present moment, never before an earlier answer."""
        self._last = max(self._last, datetime.now(UTC))
        return self._last


class MovableClock:
    """The machine's clock plus an offset of seconds read from a file that all processes of a stack share.

    Whoever writes another number into the file moves the time of every process at their next look. Refused in
    production by the wiring.
    """

    def __init__(self, offset_file: Path) -> None:
        self._offset_file = offset_file
        self._last = datetime.min.replace(tzinfo=UTC)

    def now(self) -> datetime:
        """The moved present, never before an earlier answer."""
        self._last = max(self._last, datetime.now(UTC) + self._offset())
        return self._last

    def _offset(self) -> timedelta:
        try:
            text = self._offset_file.read_text(encoding="ascii").strip()
        except FileNotFoundError:
            text = ""
        return timedelta(seconds=float(text or "0"))
