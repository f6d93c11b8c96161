"""Five hundred signed notifications, each twice and in any order, at a real door with a real worker behind it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.payments import Till, open_till
from backend.tests.builders.wallets import RUB, rub
from backend.tests.builders.yookassa import SECRET_KEY, SHOP_ID, SimulatedYookassa, simulated_yookassa
from backend.tests.fakes.clock import StoppedClock
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.money import Money
from billing.kit.unit_of_work import units_of_work
from billing.payments.ports import MethodRef, PaymentOrder
from billing.payments.rules import ProviderPaymentId
from billing.webhooks.signatures import sign
from testkit.loopback import NO_TLS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.money,
    pytest.mark.trust,
    pytest.mark.timeout(180),  # two programs start, and a thousand notifications pass through them
]

_EVENTS = 500
_CUSTOMERS = 5
_AT_ONCE = 16
_WAIT_SECONDS_MAX = 90.0
_LOOK_SECONDS = 0.1
_STOP_SECONDS_MAX = 15.0
_SECRET = "whsec_0123456789"


@pytest.fixture
async def simulator() -> AsyncIterator[SimulatedYookassa]:
    """The provider."""
    async with simulated_yookassa() as simulator:
        yield simulator


@pytest.fixture
async def till(own_database: URL, simulator: SimulatedYookassa) -> AsyncIterator[Till]:
    """Where payments are begun; today, so that no check of them falls due before their notifications come."""
    engine, clock = application_engine(own_database), StoppedClock(datetime.now(UTC))
    async with open_till(simulator, units_of_work(engine), clock, Ids(clock), JobQueue(own_database)) as till:
        yield till
    await engine.dispose()


@contextmanager
def product(database_url: URL, simulator: SimulatedYookassa, folder: Path) -> Iterator[str]:
    """The served door and a worker; where the door is."""
    environment = {
        **os.environ,
        "DATABASE_URL": database_url.render_as_string(hide_password=False),
        "BILLING_LOG_LEVEL": "WARNING",
        "IDENTITY_PAYMENT_PROVIDER": "simulator",
        "YOOKASSA_SHOP_ID": SHOP_ID,
        "YOOKASSA_SECRET_KEY": SECRET_KEY,
        "YOOKASSA_API_URL": simulator.api_url,
        "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK": "false",
        "BILLING_WEBHOOK_YOOKASSA_SIGNATURE_CHECK": "true",
        "BILLING_WEBHOOK_YOOKASSA_SIGNING_SECRETS": _SECRET,
        "WORKER_BILLING_ENABLED": "true",
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    words = ("serve", "--port", str(port))
    with program(words, environment, folder), program(("worker",), environment, folder):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def program(words: Sequence[str], environment: Mapping[str, str], folder: Path) -> Iterator[None]:
    """One of the product's programs, until this is left."""
    command = [str(Path(sys.executable).with_name("billing")), *words]
    log = folder / f"{words[0]}.log"
    with log.open("wb") as lines, subprocess.Popen(command, env=environment, stdout=lines, stderr=lines) as process:
        try:
            yield
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS_MAX)
            process.kill()


async def until(is_reached: Callable[[], Awaitable[bool]]) -> None:
    """Looks until it is so, for a minute and a half at the most."""
    async with asyncio.timeout(_WAIT_SECONDS_MAX):
        while not await is_reached():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(_LOOK_SECONDS)  # bounded by the timeout above


@dataclass(frozen=True)
class Begun:
    """A top-up of which we know only that it was begun."""

    payment_id: str
    account_id: str
    amount: Money
    provider_payment_id: ProviderPaymentId

    def row(self) -> dict[str, object]:
        """What is written of it."""
        return {
            "id": self.payment_id,
            "account": self.account_id,
            "micros": self.amount.micros,
            "theirs": self.provider_payment_id,
        }


_INSERT = text(
    "INSERT INTO payments (id, account_id, purpose, amount_micros, currency, provider, shop_id, is_test, return_url,"
    " is_own_return, saves_method, state, provider_payment_id, created_at, updated_at)"
    " VALUES (:id, :account, 'topup', :micros, 'RUB', 'yookassa', :shop, true, 'https://shop.example/back',"
    " false, false, 'pending', :theirs, :now, :now)"
)


async def paid(till: Till) -> list[Begun]:
    """Payments that were begun here and paid there, and that we have not heard of since."""
    customers = [await till.town.customer() for _ in range(_CUSTOMERS)]

    async def begun(number: int, method: MethodRef | None = None) -> Begun:
        payment_id = till.ids.new("pay")
        account_id, amount = customers[number % _CUSTOMERS].account.id, rub(str(100 + number))
        order = PaymentOrder(
            key=payment_id,
            amount=amount,
            description="Top-up",
            return_url="https://shop.example/back",
            payment_id=payment_id,
            account_id=account_id,
            purpose="topup",
            method=method,
            saves_method=method is None,
        )
        return Begun(payment_id, account_id, amount, (await till.provider.create_payment(order)).id)

    first = await begun(0)
    await till.yookassa.pay(first.provider_payment_id)
    kept = (await till.provider.get_payment(first.provider_payment_id)).method
    assert kept is not None
    # What is charged to a saved method is paid at once, so that each costs one call.
    payments = [first, *[await begun(number, MethodRef(kept.id, kept.customer)) for number in range(1, _EVENTS)]]
    rows = [{**payment.row(), "shop": SHOP_ID, "now": till.clock.now()} for payment in payments]
    async with till.begin() as uow:
        await uow.connection.execute(_INSERT, rows)
    return payments


async def sent(client: httpx.AsyncClient, payments: Sequence[Begun]) -> list[int]:
    """Notifies of each of these payments, several at once; with what status each notification was answered."""
    places = asyncio.Semaphore(_AT_ONCE)

    async def notify(payment: Begun) -> int:
        about = {"id": payment.provider_payment_id, "status": "succeeded", "paid": True}
        body = json.dumps({"type": "notification", "event": "payment.succeeded", "object": about}).encode()
        signature = sign(body, _SECRET.encode(), at=datetime.now(UTC)).decode()
        headers = {"Content-Type": "application/json", "X-Webhook-Signature": signature}
        async with places:
            return (await client.post("/webhooks/yookassa", content=body, headers=headers)).status_code

    return await asyncio.gather(*(notify(payment) for payment in payments))


async def standing(till: Till) -> tuple[int, int, int, Money]:
    """How many messages are stored, how many of them are done, how many credits there are, and of how much."""
    async with till.begin() as uow:
        found = await uow.connection.execute(
            text(
                "SELECT (SELECT count(*) FROM inbox_messages),"
                " (SELECT count(*) FROM inbox_messages WHERE status = 'done'),"
                " count(*), coalesce(sum(amount_micros), 0)::bigint"
                " FROM credit_lots WHERE source = 'topup'"
            )
        )
        stored, done, credits_count, micros = found.one()
    return stored, done, credits_count, Money(micros, RUB)


class TestABurst:
    async def test_of_five_hundred_events_each_sent_twice_in_any_order_credits_each_payment_once(
        self, own_database: URL, till: Till, tmp_path: Path
    ) -> None:
        payments = await paid(till)
        twice = [*payments, *payments]
        random.Random(500).shuffle(twice)  # noqa: S311 - chance that a test can repeat, not a secret

        with product(own_database, till.yookassa, tmp_path) as url:
            async with httpx.AsyncClient(base_url=url, verify=NO_TLS, trust_env=False, timeout=60.0) as client:

                async def is_ready() -> bool:
                    with suppress(httpx.TransportError):
                        return (await client.get("/readyz")).is_success
                    return False

                async def all_are_done() -> bool:
                    return (await standing(till))[1] == _EVENTS

                await until(is_ready)
                statuses = await sent(client, twice)
                await until(all_are_done)

        total = sum((payment.amount for payment in payments), rub("0"))
        assert set(statuses) == {200}
        assert await standing(till) == (_EVENTS, _EVENTS, _EVENTS, total)
