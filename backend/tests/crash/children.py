"""What the killed processes do: the real services, up to the point at which they say so and stand still."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import httpx

from backend.tests.builders.outbound import KEYS, LOOPBACK_ALLOWED
from backend.tests.builders.payments import Till, open_till
from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import SimulatedYookassa
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.payment_provider import EndingProvider
from billing import migrations
from billing.customers.rules import AccountId, PersonId, Principal, Role
from billing.kit.clock import MovableClock
from billing.kit.database import application_engine, parse_database_url
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue, Queue
from billing.kit.logs import configure_logs
from billing.kit.unit_of_work import units_of_work
from billing.ledger.service import LedgerService
from billing.payments.ports import PaymentOrder, PaymentProvider
from billing.payments.rules import ProviderPaymentId
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import WalletService
from billing.wallets.settings import WalletSettings
from billing.webhooks.outbound.adapters.http_carrier import HttpCarrier
from billing.webhooks.outbound.delivering import Dispatcher
from billing.webhooks.outbound.ports import Carrier
from billing.webhooks.service import HAND_OVER_JOB

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


async def holder(point: str, database_url: str, offset_file: str, wallet_id: str, operation_id: str) -> None:
    """A gateway that dies after it set credit aside, or in the middle of charging."""
    clock = MovableClock(Path(offset_file))
    begin = units_of_work(application_engine(parse_database_url(database_url)))
    service = WalletService(begin=begin, clock=clock, ids=Ids(clock), ledger=LedgerService(), settings=WalletSettings())
    operation = OperationId(operation_id)
    async with begin() as uow:
        await service.hold(uow, WalletId(wallet_id), rub("30"), operation)
    if point == "after the hold":
        await stand_still(point)
    async with begin() as uow:
        await service.settle(uow, WalletId(wallet_id), operation, rub("12"))
        await stand_still(point)


class StandingStillProvider(EndingProvider):
    """A provider whose calls never come back: we stand still before the call left us, or after it took effect."""

    def __init__(self, behind: PaymentProvider, *, takes_effect: bool) -> None:
        super().__init__(behind, AssertionError("nobody comes back from here"))
        self._behind_us = behind
        self._does_take_effect = takes_effect

    async def create_payment(self, order: PaymentOrder) -> NoReturn:
        """Stands still."""
        if self._does_take_effect:
            await self._behind_us.create_payment(order)
        await stand_still("at the provider")

    async def get_payment(self, payment_id: ProviderPaymentId) -> NoReturn:
        """Stands still."""
        if self._does_take_effect:
            await self._behind_us.get_payment(payment_id)
        await stand_still("at the provider")


async def buyer(point: str, database_url: str, simulator_url: str, account_id: str, person_id: str) -> None:
    """A server that dies in the middle of beginning a top-up."""
    principal = Principal(
        account_id=AccountId(account_id),
        person_id=PersonId(person_id),
        role=Role.OWNER,
        api_key_id=None,
        scopes=frozenset(),
        operator_role=None,
        time_zone="UTC",
    )
    async with _till(database_url, simulator_url) as till:
        provider = StandingStillProvider(till.provider, takes_effect=point == "after the call")
        await till.with_provider(provider).topups.start(principal, amount=rub("500"), idempotency_key="click")


async def postman(database_url: str, simulator_url: str) -> None:
    """A worker that dies while it hands a notification over."""
    async with _till(database_url, simulator_url) as till:
        inbox = till.with_notifications_of(StandingStillProvider(till.provider, takes_effect=True)).inbox
        till.job_queue.register(HAND_OVER_JOB, Queue.PAYMENT_SYNC, inbox.hand_over)
        await till.job_queue.run_workers((Queue.PAYMENT_SYNC,))


@asynccontextmanager
async def _till(database_url: str, simulator_url: str) -> AsyncIterator[Till]:
    """The parent's simulator and database, behind services of our own."""
    url = parse_database_url(database_url)
    clock = StoppedClock()
    async with httpx.AsyncClient(base_url=f"{simulator_url}/control/", trust_env=False) as control:
        simulator = SimulatedYookassa(simulator_url, control)
        begin = units_of_work(application_engine(url))
        async with open_till(simulator, begin, clock, Ids(clock), JobQueue(url)) as till:
            yield till


class StandingStillCarrier:
    """Carries messages, and stands still before one has left us or after it has arrived."""

    def __init__(self, behind: Carrier, *, takes_effect: bool) -> None:
        self._behind_us = behind
        self._does_take_effect = takes_effect

    async def carry(self, url: str, *, headers: Mapping[str, str], body: bytes) -> NoReturn:
        """Stands still."""
        if self._does_take_effect:
            await self._behind_us.carry(url, headers=headers, body=body)
        await stand_still("on the way")


async def sender(point: str, database_url: str, endpoint_id: str) -> None:
    """A worker that dies while it sends a message to a customer."""
    url, clock = parse_database_url(database_url), StoppedClock()
    carrier = StandingStillCarrier(HttpCarrier(LOOPBACK_ALLOWED), takes_effect=point == "after it arrived")
    dispatcher = Dispatcher(
        begin=units_of_work(application_engine(url)),
        clock=clock,
        ids=Ids(clock),
        job_queue=JobQueue(url),
        carrier=carrier,
        keys=KEYS,
    )
    await dispatcher.deliver(endpoint_id)


async def migrator(database_url: str) -> None:
    """A server that brings the schema up to date when it starts."""
    migrations.upgrade(parse_database_url(database_url))
    sys.stdout.write(f"{migrations.newest_revision()}\n")


ROLES: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "buyer": buyer,
    "holder": holder,
    "migrator": migrator,
    "postman": postman,
    "sender": sender,
    "worker": worker,
}

if __name__ == "__main__":
    configure_logs("ERROR")
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
