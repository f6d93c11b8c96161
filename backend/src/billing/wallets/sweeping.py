"""Works through what is due: in bounded rounds, several at once, and nothing that fails keeps anything else waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

ROUND_MAX = 200
_ROUNDS_MAX = 100
_AT_ONCE = 4  # each takes one connection of the worker's pool


async def work_through(
    due_after: Callable[[T | None], Awaitable[Sequence[T]]], work: Callable[[T], Awaitable[None]]
) -> int:
    """Works on all that is due, 20 000 at the most, and says how many were done.

    `due_after` answers up to 200 things in a fixed order, those behind the given one (None: the first ones), so that
    what failed is passed over and comes again at the next call.

    Raises:
        ExceptionGroup: some failed; everything else was done before.
    """
    worked, failures = 0, []
    last: T | None = None
    for _ in range(_ROUNDS_MAX):
        due = await due_after(last)
        failures += await _several_at_once(due, work)
        worked += len(due)
        if len(due) < ROUND_MAX:
            break
        last = due[-1]
    if failures:
        message = f"{len(failures)} of {worked} failed"
        raise ExceptionGroup(message, failures)
    return worked


async def _several_at_once(things: Sequence[T], work: Callable[[T], Awaitable[None]]) -> list[Exception]:
    waiting = iter(things)
    failures: list[Exception] = []

    async def worker() -> None:
        for thing in waiting:
            try:
                await work(thing)
            except Exception as failure:  # noqa: BLE001 - raised again by the caller, after the others had their turn
                failures.append(failure)

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))
    return failures
