"""Several processes share one free quota, and together they never give out more than there is (G9)."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.quota_process import PER_CALL, USED
from backend.tests.builders.quotas import FREE_MODEL, quota_service
from backend.tests.builders.wallets import Wallets
from billing.customers.rules import AccountId
from billing.quotas.rules import Amounts, FreeTerms, Metric

pytestmark = pytest.mark.money

_ROOT = Path(__file__).parents[3]
_WAIT_SECONDS_MAX = 60.0
_PROCESSES = 3
_CALLS = 40


async def free_calls(url: URL, account_id: str) -> int:
    """How many calls of one process were free."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "backend.tests.builders.quota_process",
        url.render_as_string(hide_password=False),
        account_id,
        str(_CALLS),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await asyncio.wait_for(child.communicate(), _WAIT_SECONDS_MAX)
    assert child.returncode == 0
    return int(answer)


class TestSeveralProcesses:
    @pytest.mark.slow
    async def test_give_out_exactly_what_there_is(self, wallets: Wallets, database_url: URL) -> None:
        service = quota_service(wallets.begin, wallets.clock, wallets.ids)
        account_id = AccountId(await wallets.account())
        limits = Amounts(input_tokens=10_000, output_tokens=10_000, images=50)
        async with wallets.begin() as uow:
            await service.set_terms(uow, FreeTerms(True, 30, limits, frozenset({FREE_MODEL})))

        given = await asyncio.gather(*(free_calls(database_url, account_id) for _ in range(_PROCESSES)))

        async with wallets.begin() as uow:
            standing = await service.standing(uow, account_id)
        images = next(metric for metric in standing.metrics if metric.metric is Metric.IMAGES)
        tokens = standing.metrics[0]
        finalised = images.used
        assert sum(given) == limits.images < _PROCESSES * _CALLS
        assert images.used + images.reserved == limits.images
        assert tokens.used == finalised * USED.input_tokens
        assert tokens.reserved == images.reserved * PER_CALL.input_tokens
