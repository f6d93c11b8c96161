"""Reads the append-only event files of a run, line by line, and refuses those that belong to another run."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from confidence.model.events import Event, SessionStarted, TestStarted, event_from_line
from confidence.model.evidence import EvidenceProblem, Flaw
from confidence.model.shapes import MalformedRecordError

FILE_BYTES_MAX = 2 * 1024**3
_STARTED = b'"test_started"'


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose events are believed: of these runs, under this plan."""

    run_ids: frozenset[str]
    plan_digest: str


@dataclass(frozen=True, slots=True)
class Journal:
    """The believed events of one process, and what was wrong with its file."""

    suite: str
    path: str
    events: tuple[Event, ...]
    problems: tuple[EvidenceProblem, ...]
    is_cut_off: bool = False
    """The last line was not finished: its process was killed while writing, or the file was shortened."""


def suites_with_events(run_dir: Path) -> tuple[str, ...]:
    """The names of all folders under ``events/``, planned or not."""
    return tuple(sorted(path.name for path in (run_dir / "events").glob("*") if path.is_dir()))


def read_journals(run_dir: Path, suite: str, identity: Identity) -> Iterator[Journal]:
    """Every ``events/<suite>/<process>.jsonl`` of one suite in the order of names."""
    for path in sorted((run_dir / "events" / suite).glob("*.jsonl")):
        yield read_journal(path, path.relative_to(run_dir).as_posix(), identity)


def started_ids(run_dir: Path, suite: str) -> Iterator[str]:
    """The ids of all tests that the suite's processes say they started; only those lines are looked at."""
    for path in sorted((run_dir / "events" / suite).glob("*.jsonl")):
        with path.open("rb") as lines:
            for line in lines:
                if _STARTED in line and line.endswith(b"\n"):
                    yield from _id_of(line)


def _id_of(line: bytes) -> Iterator[str]:
    """The id of a started test; a line that cannot be read is named when the events are folded."""
    with contextlib.suppress(MalformedRecordError, UnicodeDecodeError):
        event = event_from_line(line.decode("utf-8"))
        if isinstance(event, TestStarted):
            yield event.id


def read_journal(path: Path, source: str, identity: Identity) -> Journal:
    """Read one file. Events of a file that does not open with this run's session are not believed at all."""
    suite = path.parent.name
    if path.is_symlink() or path.stat().st_size > FILE_BYTES_MAX:
        return _refused(suite, source, Flaw.CORRUPT, "is a link or larger than any event log of a run")
    raw = path.read_bytes()
    if not raw:
        return _refused(suite, source, Flaw.EMPTY, "is empty: its process said nothing")
    is_cut_off = not raw.endswith(b"\n")
    lines = raw.splitlines()
    if is_cut_off:
        lines.pop()
    events, problem = _parse(lines, source)
    stranger = _stranger(events, suite, source, identity)
    if stranger is not None:
        return Journal(suite, source, (), (problem if problem and not events else stranger,), is_cut_off)
    problems = tuple(found for found in (problem, _gap(events, source)) if found)
    return Journal(suite, source, events, problems, is_cut_off)


def _parse(lines: list[bytes], source: str) -> tuple[tuple[Event, ...], EvidenceProblem | None]:
    """All lines up to the first that cannot be read: what follows a broken line is not believed either."""
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(event_from_line(line.decode("utf-8")))
        except (MalformedRecordError, UnicodeDecodeError) as unreadable:
            sentence = f"line {number} of {source} cannot be read: {unreadable}"
            return tuple(events), EvidenceProblem(Flaw.CORRUPT, source, sentence)
    return tuple(events), None


def _stranger(events: tuple[Event, ...], suite: str, source: str, identity: Identity) -> EvidenceProblem | None:
    """Why these events are not of this run, if they are not."""
    if not events:
        return EvidenceProblem(Flaw.TRUNCATED, source, f"{source} holds no whole line")
    opening = events[0]
    if not isinstance(opening, SessionStarted):
        return EvidenceProblem(Flaw.FOREIGN, source, f"{source} does not say whose events it holds")
    if opening.run_id not in identity.run_ids:
        sentence = f"{source} belongs to run {opening.run_id}, not to this one"
        return EvidenceProblem(Flaw.STALE, source, sentence)
    if opening.plan_digest != identity.plan_digest:
        sentence = f"{source} was written under another plan ({opening.plan_digest[:12]}…)"
        return EvidenceProblem(Flaw.FOREIGN, source, sentence)
    if any(event.suite != suite for event in events):
        return EvidenceProblem(Flaw.FOREIGN, source, f"{source} holds events of another suite than {suite}")
    return None


def _gap(events: tuple[Event, ...], source: str) -> EvidenceProblem | None:
    """Lines are numbered within a file, so a line that was taken out can be missed."""
    for expected, event in enumerate(events, start=1):
        if event.seq != expected:
            sentence = f"{source} jumps to line {event.seq} where {expected} was due: a line is missing or repeated"
            return EvidenceProblem(Flaw.CORRUPT, source, sentence)
    return None


def _refused(suite: str, source: str, flaw: Flaw, what: str) -> Journal:
    return Journal(suite, source, (), (EvidenceProblem(flaw, source, f"{source} {what}"),))
