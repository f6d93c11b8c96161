"""A worker of its own that tops wallets up: `python -m backend.tests.builders.auto_topup_process URL PROVIDER ACCOUNT`.

It says "ready", waits for a line, then ticks and works on every job of the account, also on those that another worker
has taken, as often as it can; then it prints how many jobs it worked on.
"""

from __future__ import annotations

import asyncio
import sys

import httpx

from backend.tests.builders.auto_topups import Garage
from backend.tests.builders.wallets import wallets
from backend.tests.builders.yookassa import SimulatedYookassa
from backend.tests.fakes.clock import StoppedClock
from billing.customers.rules import AccountId
from billing.kit.database import application_engine, parse_database_url
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.logs import configure_logs
from billing.kit.unit_of_work import units_of_work
from testkit.loopback import NO_TLS

ROUNDS = 5


async def main(url: str, provider_url: str, account_id: str) -> int:
    """Tops up; says how many jobs were worked on."""
    configure_logs("CRITICAL")
    database = parse_database_url(url)
    engine = application_engine(database, connections_max=4)
    clock = StoppedClock()
    async with httpx.AsyncClient(verify=NO_TLS, base_url=f"{provider_url}/control/", trust_env=False) as control:
        yookassa = SimulatedYookassa(provider_url, control)
        provider = yookassa.provider()
        books = wallets(units_of_work(engine), clock, Ids(clock))
        garage = Garage(yookassa, books, JobQueue(database), provider=provider)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        worked = 0
        for _ in range(ROUNDS):
            await garage.runs.enqueue_due()
            leases = await garage.jobs_of(account_id)
            await asyncio.gather(*(garage.runs.run(AccountId(account_id), lease) for lease in leases * 2))
            worked += len(leases)
        await provider.aclose()
    await engine.dispose()
    return worked


if __name__ == "__main__":
    sys.stdout.write(f"{asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3]))}\n")
