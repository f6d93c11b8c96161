"""What the killed processes do: the real services, up to the point at which they say so and stand still."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from billing import migrations
from billing.kit.database import parse_database_url
from billing.kit.jobs import JobQueue, Queue
from billing.kit.logs import configure_logs

_EVERY_SECOND = "* * * * * *"


async def stand_still(word: str) -> NoReturn:
    """Says where we are, and waits to be killed."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()
    raise AssertionError


async def in_the_middle() -> None:
    """The middle of a job."""
    await stand_still("in the middle")


async def worker(part: str, database_url: str) -> None:
    """A worker that stops in the middle of a job, of a tick, or of the tick that rescues others."""
    queue = JobQueue(parse_database_url(database_url))
    if part == "job":
        queue.register("tests.work", Queue.PAYMENT_SYNC, in_the_middle)
        await queue.run_workers((Queue.PAYMENT_SYNC,))
    else:
        queue.register_tick("tests.tick", _EVERY_SECOND, in_the_middle, may_overlap=part == "rescuing-tick")
        await queue.run_workers((Queue.SCHEDULER,))


async def migrator(database_url: str) -> None:
    """A server that brings the schema up to date when it starts."""
    migrations.upgrade(parse_database_url(database_url))
    sys.stdout.write(f"{migrations.newest_revision()}\n")


ROLES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {"migrator": migrator, "worker": worker}

if __name__ == "__main__":
    configure_logs("ERROR")
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
