"""A free quota as a strict aunt would keep it: a note per call, and nothing but counting the notes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

Counts = Mapping[str, int]


class State(StrEnum):
    """How a note stands."""

    OPEN = "open"
    COUNTED = "counted"
    RELEASED = "released"
    EXPIRED = "expired"


@dataclass
class Note:
    """One call of one person, in the cycle in which it began."""

    person: str
    cycle: int
    wanted: Counts
    expires_at: datetime
    state: State = State.OPEN
    used: Counts | None = None


class RefusedError(Exception):
    """That call has ended in another way."""


@dataclass
class Aunt:
    """What is free for everybody, and every call that was ever noted."""

    ttl: timedelta
    is_enabled: bool = False
    cycle: timedelta = timedelta(days=1)
    limits: Counts = field(default_factory=dict)
    notes: dict[str, Note] = field(default_factory=dict)
    cycles: dict[str, list[datetime]] = field(default_factory=dict)

    def reserve(self, person: str, call: str, wanted: Counts, now: datetime) -> bool:
        """Whether the call is free; it is noted then."""
        if not self.is_enabled or self._is_too_much(wanted, {}):
            return False
        begun = self.cycles.setdefault(person, [])
        if not begun or now >= begun[-1] + self.cycle:
            begun.append(now)
        if self._is_too_much(wanted, self._sum(person, len(begun))):
            return False
        self.notes[call] = Note(person, len(begun), wanted, now + self.ttl)
        return True

    def count(self, call: str, used: Counts) -> None:
        """The call came to this, even if it was given up before."""
        note = self.notes[call]
        if note.used == used:
            return
        if note.state not in {State.OPEN, State.EXPIRED}:
            raise RefusedError
        note.state, note.used = State.COUNTED, used

    def release(self, call: str) -> None:
        """The call came to nothing."""
        note = self.notes[call]
        if note.state is State.COUNTED:
            raise RefusedError
        if note.state is State.OPEN:
            note.state = State.RELEASED

    def renew(self, call: str, now: datetime) -> None:
        """The call still runs."""
        note = self.notes[call]
        if note.state is State.OPEN:
            note.expires_at = now + self.ttl

    def sweep(self, now: datetime) -> None:
        """Gives up the calls that nobody ended."""
        for note in self.notes.values():
            if note.state is State.OPEN and note.expires_at <= now:
                note.state = State.EXPIRED

    def has_overdue(self, now: datetime) -> bool:
        """There are such calls."""
        return any(note.state is State.OPEN and note.expires_at <= now for note in self.notes.values())

    def standing(self, person: str, now: datetime) -> tuple[dict[str, tuple[int, int, int]], datetime | None]:
        """Limit, used and reserved of each metric that counts, and when the running cycle ends."""
        begun = self.cycles.get(person, [])
        is_running = bool(begun) and now < begun[-1] + self.cycle
        used = self._used(person, len(begun)) if is_running else {}
        reserved = self._reserved(person, len(begun)) if is_running else {}
        counted = {
            metric: (self.limits.get(metric, 0), used.get(metric, 0), reserved.get(metric, 0))
            for metric in {*self.limits, *used, *reserved}
        }
        return {metric: numbers for metric, numbers in counted.items() if any(numbers)}, (
            begun[-1] + self.cycle if is_running else None
        )

    def _is_too_much(self, wanted: Counts, taken: Counts) -> bool:
        return any(
            count > 0 and taken.get(metric, 0) + count > self.limits.get(metric, 0) for metric, count in wanted.items()
        )

    def _sum(self, person: str, cycle: int) -> dict[str, int]:
        return _added(self._used(person, cycle), self._reserved(person, cycle))

    def _used(self, person: str, cycle: int) -> dict[str, int]:
        return _added(*(note.used for note in self._of(person, cycle) if note.used is not None))

    def _reserved(self, person: str, cycle: int) -> dict[str, int]:
        return _added(*(note.wanted for note in self._of(person, cycle) if note.state is State.OPEN))

    def _of(self, person: str, cycle: int) -> list[Note]:
        return [note for note in self.notes.values() if (note.person, note.cycle) == (person, cycle)]


def _added(*all_counts: Counts) -> dict[str, int]:
    added: dict[str, int] = {}
    for counts in all_counts:
        for metric, count in counts.items():
            added[metric] = added.get(metric, 0) + count
    return added
