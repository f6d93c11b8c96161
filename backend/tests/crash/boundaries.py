"""A process that forks one child per order, which does a script and is killed at one step: before it, or after it.

Orders come as lines of JSON on standard input, answers go out as lines of JSON: how many steps there were and whether
the child was killed. Forking spares each death the start of an interpreter.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from backend.tests.crash.scripts import SCRIPTS, Names, bank
from billing.kit.database import application_engine, parse_database_url
from billing.kit.logs import configure_logs
from billing.kit.unit_of_work import Begin, UnitOfWork, units_of_work

Live = Callable[[dict[str, Any]], Coroutine[Any, Any, int]]
"""Does what an order says and answers how many steps that took, if it lives to say so."""

_WORKED, _BROKE = 0, 3


def dying(begin: Begin, *, at: int, is_after: bool, commits: itertools.count[int]) -> Begin:
    """Kills the process at the commit of this number: just before it is asked for, or as soon as it is done."""

    @asynccontextmanager
    async def begin_until_death() -> AsyncIterator[UnitOfWork]:
        async with begin() as uow:
            yield uow
            number = next(commits)
            if number == at and not is_after:
                os.kill(os.getpid(), signal.SIGKILL)
        if number == at and is_after:
            os.kill(os.getpid(), signal.SIGKILL)

    return begin_until_death


async def live(database_url: str, order: dict[str, Any]) -> int:
    """Does the script and says how many commits it took."""
    engine = application_engine(parse_database_url(database_url), connections_max=6)
    commits: itertools.count[int] = itertools.count()
    begin = dying(units_of_work(engine), at=order["at"], is_after=order["is_after"], commits=commits)
    await SCRIPTS[order["script"]](bank(begin), Names(**order["names"]))
    await engine.dispose()
    return next(commits)


def carry_out(live: Live, order: dict[str, Any]) -> dict[str, object]:
    """Forks the child and waits for its end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        ending = _BROKE
        try:
            os.write(writing, str(asyncio.run(live(order))).encode())
            ending = _WORKED
        finally:
            os._exit(ending)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    is_killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    return {"steps": int(said or 0), "is_killed": is_killed, "is_well": status == 0}


def obey(live: Live) -> None:
    """Carries out orders until there are no more."""
    configure_logs("ERROR")
    for line in sys.stdin:
        sys.stdout.write(json.dumps(carry_out(live, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    obey(partial(live, sys.argv[1]))
