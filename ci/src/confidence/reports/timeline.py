"""The timeline of a run: a lane for each process, cut into slots, so that 100 000 tests cost as much as 100 to draw."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from confidence.model.evidence import Evidence, SuiteEvidence
from confidence.model.records import RED_OUTCOMES, Attempt
from confidence.reports.wording import duration

SLOTS = 500
_RANK = {"idle": 0, "green": 1, "red": 2}


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of one colour, in percent of the run."""

    kind: str
    left: float
    width: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One process of one suite: when it lived, and when its tests ran."""

    suite: str
    process: str
    left: float
    width: float
    spans: tuple[Span, ...]
    tests: int
    told: str


@dataclass(frozen=True, slots=True)
class _Scale:
    """Turns moments into percent of the run's time."""

    start: float
    seconds: float

    def percent(self, at: float) -> float:
        return round(min(max((at - self.start) / self.seconds, 0.0), 1.0) * 100, 2)


def lanes(evidence: Evidence) -> tuple[Lane, ...]:
    """All lanes in the order of suites and processes; nothing where no suite ever started."""
    moments = [
        moment(text)
        for suite in evidence.suites
        for ending in suite.endings
        for text in (ending.started_at, ending.finished_at)
        if text
    ]
    if not moments:
        return ()
    scale = _Scale(min(moments), max(max(moments) - min(moments), 0.001))
    return tuple(lane for suite in evidence.suites for lane in _suite_lanes(suite, scale))


def _suite_lanes(suite: SuiteEvidence, scale: _Scale) -> Iterator[Lane]:
    by_process: dict[str, list[Attempt]] = {}
    for case in suite.cases:
        for attempt in case.attempts:
            if attempt.started_at:
                by_process.setdefault(attempt.process, []).append(attempt)
    started = [moment(ending.started_at) for ending in suite.endings if ending.started_at]
    finished = [moment(ending.finished_at) for ending in suite.endings if ending.finished_at]
    if not started or not finished:
        return
    left, right = scale.percent(min(started)), scale.percent(max(finished))
    for process, attempts in sorted(by_process.items()) or [("", [])]:
        busy = sum(attempt.seconds for attempt in attempts)
        yield Lane(
            suite=suite.name,
            process=process,
            left=left,
            width=max(round(right - left, 2), 0.3),
            spans=_spans(attempts, scale),
            tests=len(attempts),
            told=f"{len(attempts)} tests, {duration(busy)} at work" if attempts else "no test by test record",
        )


def _spans(attempts: Sequence[Attempt], scale: _Scale) -> tuple[Span, ...]:
    """Red wins over green within a slot; neighbours of one colour become one span."""
    slots = ["idle"] * SLOTS
    for attempt in attempts:
        start = moment(attempt.started_at)
        first = min(int(scale.percent(start) * SLOTS / 100), SLOTS - 1)
        last = min(int(scale.percent(start + attempt.seconds) * SLOTS / 100), SLOTS - 1)
        kind = "red" if attempt.outcome in RED_OUTCOMES else "green"
        for slot in range(first, last + 1):
            if _RANK[kind] > _RANK[slots[slot]]:
                slots[slot] = kind
    return tuple(_runs(slots))


def _runs(slots: Sequence[str]) -> Iterator[Span]:
    start = 0
    for slot in range(1, SLOTS + 1):
        if slot == SLOTS or slots[slot] != slots[start]:
            if slots[start] != "idle":
                yield Span(slots[start], start * 100 / SLOTS, (slot - start) * 100 / SLOTS)
            start = slot


def moment(text: str) -> float:
    """Seconds since the epoch of an ISO moment; the beginning of time when it cannot be read."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
