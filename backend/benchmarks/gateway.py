"""Paid chat calls through `billing serve`, against LiteLLM's proxy before the same fake upstream in the same run."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import psutil
import psycopg

from backend.benchmarks import http_load
from backend.benchmarks.gateway_contenders import (
    QUICK_MODEL,
    SLOW_MODEL,
    Books,
    Served,
    books,
    drifts,
    fake_upstream,
    gateway,
    litellm_proxy,
)
from backend.benchmarks.http_load import Answer, Load, percentile
from backend.benchmarks.judgement import Check, Judgement

_CUSTOMERS = 32
_CLIENTS = 16
_ROUNDS = 3
_ROUND_SECONDS = 4.0
_WARM_UP_CALLS = 64
_SINGLE_CALLS = 200
_SINGLE_STREAMS = 80
_STREAMS = 300
# A quick stream is over at once; the slow ones all overlap, for ten seconds.
_QUICK = (3, 2.0)
_SLOW = (40, 250.0)
# We may add five milliseconds where LiteLLM adds 8.6. Milliseconds are the machine's, their share is ours.
_ADDED_SHARE_MAX = 5 / 8.6
_MILLISECONDS = 1000.0
_KIB = 1024.0
_SAMPLE_SECONDS = 0.1
_DONE = b"[DONE]"


@dataclass(slots=True)
class _Ground:
    """Everybody who runs, and how many calls the gateway answered so far."""

    quick: Served
    slow: Served
    ours: Served
    theirs: Served
    ledger: Books
    answered: int = 0
    figures: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def contenders(self) -> tuple[Served, Served]:
        """Both gateways, theirs first."""
        return self.theirs, self.ours

    def note(self, who: Served, what: str, figure: float) -> float:
        """Keeps a figure for the table and answers it."""
        self.figures.setdefault(who.name, {})[what] = figure
        return figure


def gateway_calls() -> Judgement:
    """Chat calls per second with durable hold and settlement, and what one call takes longer than without us."""
    with _ground() as ground:
        _warm_up(ground)
        added_p50, added_by_theirs, added_p99 = _added_by_one_call(ground)
        ours, theirs, alone = _rates(ground)
        checks = (
            Check("calls/s by LiteLLM's", ours / theirs, "times", floor=3.0),
            Check("added p50 by LiteLLM's, one client", added_p50 / added_by_theirs, "times", ceiling=_ADDED_SHARE_MAX),
            Check("added p50, one client", added_p50, "ms"),
            Check("added p99, one client", added_p99, "ms", ceiling=40.0),
            Check("the load generator's own calls/s by ours", alone / ours, "times", floor=5.0),
            *_books_agree(ground),
        )
        return _shown(Judgement("gateway", checks, ground.figures))


def gateway_streams() -> Judgement:
    """Time to the first byte of a stream, and three hundred streams at once in one process."""
    with _ground() as ground:
        _warm_up(ground)
        added_p50, added_by_theirs = _added_to_first_bytes(ground)
        whole, kib = _many_streams(ground)
        checks = (
            Check(
                "added to first byte p50 by LiteLLM's", added_p50 / added_by_theirs, "times", ceiling=_ADDED_SHARE_MAX
            ),
            Check("added to first byte, p50", added_p50, "ms"),
            Check("streams at once that came whole", whole, "streams", floor=float(_STREAMS)),
            Check("memory per stream", kib, "KiB", ceiling=100.0),
            *_books_agree(ground),
        )
        return _shown(Judgement("gateway-streams", checks, ground.figures))


def _shown(judgement: Judgement) -> Judgement:
    judgement.show()
    return judgement


@contextlib.contextmanager
def _ground() -> Iterator[_Ground]:
    with (
        fake_upstream(events=_QUICK[0], interval_ms=_QUICK[1]) as quick,
        fake_upstream(events=_SLOW[0], interval_ms=_SLOW[1]) as slow,
        litellm_proxy(quick, slow) as theirs,
        books(_CUSTOMERS) as ledger,
        gateway(ledger, quick, slow) as ours,
    ):
        yield _Ground(quick, slow, ours, theirs, ledger)


def _requests(
    served: Served, *, count: int | None = None, model: str = QUICK_MODEL, stream: bool = False
) -> list[bytes]:
    """One request for each key, or so many with the keys in turn."""
    body: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": "What is double entry bookkeeping?"}],
        "max_tokens": 200,
    }
    if stream:
        body["stream"] = True
    content = json.dumps(body).encode()
    keys = served.keys
    return [
        http_load.post(served.url, content, key=keys[number % len(keys)])
        for number in range(len(keys) if count is None else count)
    ]


def _one_by_one(ground: _Ground, served: Served, requests: Sequence[bytes]) -> tuple[Answer, ...]:
    answers = http_load.run(lambda: http_load.one_by_one(served.url, requests))
    ground.answered += len(answers) if served is ground.ours else 0
    return answers


def _load(ground: _Ground, served: Served) -> Load:
    requests = _requests(served)
    load = http_load.run(
        lambda: http_load.load(served.url, requests, clients=_CLIENTS, seconds=_ROUND_SECONDS),
    )
    ground.answered += len(load.seconds) if served is ground.ours else 0
    return load


def _warm_up(ground: _Ground) -> None:
    """Every connection of the pools is open and every statement prepared before anything is measured."""
    for served in (ground.quick, *ground.contenders):
        _one_by_one(ground, served, _requests(served, count=_WARM_UP_CALLS))
        _load(ground, served)


def _in_turns(ground: _Ground, count: int, of: Callable[[Answer], float], *, stream: bool) -> dict[str, list[float]]:
    """Sorted milliseconds of so many answers a round, one client alone; in turns, for the machine's moods."""
    taken: dict[str, list[float]] = {}
    for _ in range(_ROUNDS):
        for served in (ground.quick, *ground.contenders):
            answers = _one_by_one(ground, served, _requests(served, count=count, stream=stream))
            taken.setdefault(served.name, []).extend(of(answer) * _MILLISECONDS for answer in answers)
    return {name: sorted(milliseconds) for name, milliseconds in taken.items()}


def _added_by_one_call(ground: _Ground) -> tuple[float, float, float]:
    """The median milliseconds that our gateway and LiteLLM add where nobody else is there, and our 99th percentile."""
    taken = _in_turns(ground, _SINGLE_CALLS, lambda answer: answer.whole_seconds, stream=False)
    alone, theirs, ours = (
        ground.note(served, "p50 ms", percentile(taken[served.name], 50))
        for served in (ground.quick, *ground.contenders)
    )
    alone_p99, _, ours_p99 = (
        ground.note(served, "p99 ms", percentile(taken[served.name], 99))
        for served in (ground.quick, *ground.contenders)
    )
    return ours - alone, theirs - alone, ours_p99 - alone_p99


def _rates(ground: _Ground) -> tuple[float, float, float]:
    """The median calls per second of ours, of theirs, and of nobody in between; in turns, for the machine's moods."""
    rates: dict[str, list[float]] = {}
    for _ in range(_ROUNDS):
        for served in (ground.quick, *ground.contenders):
            rates.setdefault(served.name, []).append(_load(ground, served).rate)
    alone, theirs, ours = (
        ground.note(served, "calls/s", statistics.median(rates[served.name]))
        for served in (ground.quick, *ground.contenders)
    )
    return ours, theirs, alone


def _added_to_first_bytes(ground: _Ground) -> tuple[float, float]:
    """The same of the first byte of a stream, the medians only."""
    taken = _in_turns(ground, _SINGLE_STREAMS, lambda answer: answer.first_seconds, stream=True)
    alone, theirs, ours = (
        ground.note(served, "first byte p50 ms", percentile(taken[served.name], 50))
        for served in (ground.quick, *ground.contenders)
    )
    ground.note(ground.ours, "first byte p99 ms", percentile(taken[ground.ours.name], 99))
    return ours - alone, theirs - alone


def _many_streams(ground: _Ground) -> tuple[float, float]:
    """How many of our streams came whole, and what each of them took of our process's memory."""
    ours = ground.ours
    requests = _requests(ours, count=_STREAMS, model=SLOW_MODEL, stream=True)
    before = _rss(ours)
    answers, peak = http_load.run(lambda: _streamed(ours, requests))
    ground.answered += len(answers)
    first = sorted(answer.first_seconds * _MILLISECONDS for answer in answers)
    ground.note(ours, f"first byte p50 ms of {_STREAMS}", percentile(first, 50))
    whole = ground.note(ours, "whole streams", float(sum(_DONE in answer.body for answer in answers)))
    return whole, ground.note(ours, "KiB/stream", max(0.0, peak - before) / _KIB / _STREAMS)


async def _streamed(served: Served, requests: Sequence[bytes]) -> tuple[tuple[Answer, ...], int]:
    """The answers, and the most memory that the server's process had meanwhile, in bytes."""
    peak = _rss(served)

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, _rss(served))
            await asyncio.sleep(_SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        return await http_load.all_at_once(served.url, requests), peak
    finally:
        watching.cancel()


def _rss(served: Served) -> int:
    return int(psutil.Process(served.process).memory_info().rss)


def _books_agree(ground: _Ground) -> tuple[Check, Check]:
    """Fast and wrong would be no result: every answer was charged once, and the books say the same everywhere."""
    with psycopg.connect(ground.ledger.address) as connection:
        found = connection.execute("SELECT count(*) FROM usage_events WHERE charged_micros > 0").fetchone()
    assert found is not None, "a count is always there"
    return (
        Check("charges by answers", found[0] / ground.answered, "times", floor=1.0, ceiling=1.0),
        Check("drifts in the books", float(len(drifts(ground.ledger))), "drifts", ceiling=0.0),
    )
