"""Two workers find the same low wallet, and its owner's card is charged once."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.auto_topups import Garage, open_garage
from backend.tests.builders.wallets import Wallets, rub
from backend.tests.builders.yookassa import simulated_yookassa
from billing.kit.jobs import JobQueue

pytestmark = [pytest.mark.slow, pytest.mark.money]

_ROOT = Path(__file__).parents[3]
_WAIT_SECONDS_MAX = 60.0


@pytest.fixture
async def garage(wallets: Wallets, job_queue: JobQueue) -> AsyncIterator[Garage]:
    """Where wallets top themselves up."""
    async with simulated_yookassa() as simulator, open_garage(simulator, wallets, job_queue) as garage:
        yield garage


async def worker(url: URL, garage: Garage, account_id: str) -> Process:
    """A worker that waits for its start."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backend.tests.builders.auto_topup_process",
        url.render_as_string(hide_password=False),
        garage.yookassa.url,
        account_id,
        cwd=_ROOT,
        stdin=PIPE,
        stdout=PIPE,
    )
    assert child.stdout is not None
    assert await asyncio.wait_for(child.stdout.readline(), _WAIT_SECONDS_MAX) == b"ready\n"
    return child


async def said(child: Process) -> int:
    """How many jobs it worked on, once it was let go."""
    answer, _ = await asyncio.wait_for(child.communicate(b"go\n"), _WAIT_SECONDS_MAX)
    assert child.returncode == 0
    return int(answer)


class TestTwoWorkers:
    async def test_charge_once(self, garage: Garage, database_url: URL) -> None:
        customer = await garage.low()
        workers = [await worker(database_url, garage, customer.account.id) for _ in range(2)]

        worked = await asyncio.gather(*(said(child) for child in workers))

        (charge,) = await garage.charges(customer)
        assert charge["state"] == "succeeded"
        assert len(await garage.charged_at_provider(customer)) == 1
        assert await garage.available(customer) == rub("550")
        assert sum(worked) >= 1
