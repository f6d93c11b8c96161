"""A process of its own that makes free calls: `python -m backend.tests.builders.quota_process URL ACCOUNT CALLS`.

It reserves, and finalises every second reservation, as fast as it can; then it prints how many it was given.
"""

from __future__ import annotations

import asyncio
import sys

from backend.tests.builders.quotas import FREE_MODEL, quota_service
from backend.tests.fakes.clock import StoppedClock
from billing.customers.rules import AccountId
from billing.kit.database import application_engine, parse_database_url
from billing.kit.ids import Ids
from billing.kit.unit_of_work import units_of_work
from billing.quotas.rules import Amounts, Reserved

PER_CALL = Amounts(input_tokens=10, output_tokens=7, images=1)
USED = Amounts(input_tokens=4, output_tokens=7, images=1)


async def main(url: str, account: str, calls: int) -> int:
    """Makes so many calls, four at a time; says how many of them were free."""
    engine = application_engine(parse_database_url(url), connections_max=4)
    begin, clock = units_of_work(engine), StoppedClock()
    ids = Ids(clock)
    service = quota_service(begin, clock, ids)

    async def call(number: int) -> bool:
        operation = ids.new("opr")
        async with begin() as uow:
            outcome = await service.reserve(uow, AccountId(account), operation, PER_CALL, model=FREE_MODEL)
        if isinstance(outcome, Reserved) and number % 2:
            async with begin() as uow:
                await service.finalise(uow, operation, USED)
        return isinstance(outcome, Reserved)

    given = 0
    for start in range(0, calls, 4):
        given += sum(await asyncio.gather(*(call(number) for number in range(start, min(start + 4, calls)))))
    await engine.dispose()
    return given


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))}\n")
