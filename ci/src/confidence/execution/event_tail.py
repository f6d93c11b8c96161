"""Follows the event logs of a suite while they grow: what runs now, how much is done, and when the last word came."""

import json
from collections import Counter
from pathlib import Path

_TEST_LINES = ('{"event":"test_started"', '{"event":"test_finished"')


class EventTail:
    """Reads what was appended since the last look; a half-written last line waits for its other half."""

    def __init__(self, folder: Path, pattern: str = "*.jsonl") -> None:
        self._folder = folder
        self._pattern = pattern
        self._read: dict[Path, int] = {}
        self._running: dict[tuple[str, str], None] = {}
        self.outcomes: Counter[str] = Counter()

    def look(self) -> bool:
        """Take in what is new.

        Returns:
            Whether anything was.
        """
        before = sum(self._read.values())
        for path in sorted(self._folder.glob(self._pattern)):
            self._follow(path)
        return sum(self._read.values()) > before

    @property
    def finished(self) -> int:
        """How many tests are over."""
        return self.outcomes.total()

    @property
    def ids_running(self) -> list[str]:
        """The tests that were started and not finished, oldest first."""
        return [test for _, test in self._running]

    def _follow(self, path: Path) -> None:
        offset = self._read.get(path, 0)
        if path.stat().st_size <= offset:
            return
        with path.open("rb") as log:
            log.seek(offset)
            fresh = log.read()
        whole = fresh.rfind(b"\n") + 1
        self._read[path] = offset + whole
        for line in fresh[:whole].decode("utf-8", errors="replace").splitlines():
            if line.startswith(_TEST_LINES):
                self._take(path.stem, line)

    def _take(self, process: str, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:  # the judge of evidence will name it; here it only is no progress
            return
        test = (process, str(event.get("id")))
        if event.get("event") == "test_started":
            self._running[test] = None
        else:
            self._running.pop(test, None)
            self.outcomes[str(event.get("outcome"))] += 1
