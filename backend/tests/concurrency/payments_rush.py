"""A process that forks a child for each order, which does several things about one payment at once, each three times.

The child works on the queue meanwhile. It begins when the parent lets go of a lock, so that two such processes begin at
the same moment.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

from sqlalchemy import text

from backend.tests.builders.jobs import JobDesk, none_left, working
from backend.tests.crash.boundaries import obey
from backend.tests.crash.payments_house import connected, house_over
from backend.tests.crash.payments_scripts import SCRIPTS, Names
from backend.tests.fakes.clock import StoppedClock
from billing.kit.database import application_engine, parse_database_url
from billing.kit.jobs import Queue
from billing.kit.unit_of_work import units_of_work

STARTING_GUN = 1961
"""The number of the lock that everybody waits for."""

_TIMES = 3


async def live(order: dict[str, Any]) -> int:
    """Does it all and says how much that was."""
    url = parse_database_url(order["database_url"])
    engine = application_engine(url, connections_max=8)
    begin = units_of_work(engine)
    async with connected(order["kind"], order["simulator_url"]) as provider:
        house = house_over(engine, begin, url, StoppedClock(datetime.fromisoformat(order["now"])), provider)
        names = Names(**order["names"])
        async with begin() as uow:
            await uow.connection.execute(text("SELECT pg_advisory_xact_lock_shared(:gun)"), {"gun": STARTING_GUN})
        together = [SCRIPTS[script](house, names) for script in order["script"].split() for _ in range(_TIMES)]
        async with working(house.jobs, Queue.PAYMENT_SYNC):
            await asyncio.gather(*together)
            await JobDesk(house.jobs, begin, url).until(none_left)
    await engine.dispose()
    return len(together)


if __name__ == "__main__":
    obey(live)
