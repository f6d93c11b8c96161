"""Two processes hear of the same payment, its refunds and their end at the same moment; it is as if one had."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.wallets import rub

pytestmark = [pytest.mark.slow, pytest.mark.money, pytest.mark.timeout(180)]

_ROOT = Path(__file__).parents[3]
_WAIT_SECONDS_MAX = 60.0


@pytest.fixture
async def customer(till: Till) -> Customer:
    """Somebody who pays."""
    return await till.town.customer()


async def heard_by_two(database_url: URL, till: Till, provider_id: str) -> Counter[str]:
    """Two processes hear of this payment in every way at once; what each of these ways led to."""
    items = (await till.yookassa.control.get("notifications")).json()["items"]
    bodies = [json.dumps(one["body"]) for one in items if provider_id in json.dumps(one["body"])]
    words = (database_url.render_as_string(hide_password=False), till.yookassa.api_url, provider_id, json.dumps(bodies))
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "backend.tests.builders.payment_process",
            *words,
            cwd=_ROOT,
            stdin=PIPE,
            stdout=PIPE,
        )
        for _ in range(2)
    ]
    outcomes: Counter[str] = Counter()
    try:
        async with asyncio.timeout(_WAIT_SECONDS_MAX):
            for child in children:
                assert child.stdout is not None
                assert await child.stdout.readline() == b"ready\n"
            for said, _ in await asyncio.gather(*(child.communicate(b"go\n") for child in children)):
                outcomes.update(json.loads(said))
    finally:
        for child in children:
            if child.returncode is None:
                child.kill()
            await child.wait()
    return outcomes


class TestTwoProcesses:
    async def test_credit_a_payment_once_and_book_its_refunds_once(
        self, till: Till, customer: Customer, database_url: URL
    ) -> None:
        topup = await till.started(customer, "1000")
        provider_id = await till.yookassa.only_payment_id()
        await till.yookassa.pay(provider_id)
        await till.yookassa.refund_in_cabinet(provider_id, rub("100"))
        await till.yookassa.refund_in_cabinet(provider_id, rub("150"))

        outcomes = await heard_by_two(database_url, till, provider_id)

        refunds = (await till.refunds.file(topup.payment_id)).refunds
        told = Counter(await till.told(customer))
        assert set(outcomes) <= {"credited", "moved", "unchanged"}
        assert outcomes["credited"] <= 1
        assert sorted(refund.amount for refund in refunds) == [rub("100"), rub("150")]
        assert await till.available(customer) == rub("750")
        assert (told["topup.credited"], told["refund.succeeded"]) == (1, 2)

    async def test_end_a_refund_that_an_operator_began_once(
        self, till: Till, customer: Customer, database_url: URL
    ) -> None:
        topup = await till.paid(customer, "1000")
        provider_id = await till.yookassa.only_payment_id()
        await till.yookassa.hold_refunds()
        refund = await till.refunded(topup.payment_id, "400")
        assert refund.provider_refund_id is not None
        await till.yookassa.end_refund(refund.provider_refund_id, is_good=True)

        await heard_by_two(database_url, till, provider_id)

        assert await till.available(customer) == rub("600")
        assert await till.stands_on("provider:yookassa", topup.payment_id) == rub("-600")
