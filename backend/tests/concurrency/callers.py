"""One of several processes that do the same thing to the same wallet at the same moment.

It says "ready", waits for a line, does its part as often as it was told, and says what came of it as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from backend.tests.builders.quotas import FREE_MODEL, quota_service
from backend.tests.builders.wallets import RUB, Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.crash.scripts import TTL
from backend.tests.fakes.clock import StoppedClock
from billing.customers.rules import AccountId
from billing.kit.database import application_engine, parse_database_url
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.logs import configure_logs
from billing.kit.unit_of_work import Begin, units_of_work
from billing.ledger.chart_of_accounts import provider_account
from billing.quotas.rules import Amounts, Reserved
from billing.wallets.models import LotSource
from billing.wallets.rules import OperationId, WalletId

CONNECTIONS = 5


@dataclass(frozen=True, slots=True)
class Caller:
    """What one process has at hand."""

    begin: Begin
    wallets: Wallets
    account_id: AccountId
    wallet_id: WalletId
    operation_id: OperationId
    name: str

    async def touch(self, number: int) -> str:
        """The account's first call opens its wallet."""
        assert number >= 0
        async with self.begin() as uow:
            return await self.wallets.service.of_account(uow, self.account_id, RUB)

    async def credit(self, number: int) -> str:
        """The same payment is credited."""
        assert number >= 0
        async with self.begin() as uow:
            credited = await self.wallets.service.credit(
                uow,
                self.wallet_id,
                rub("50"),
                source=LotSource.TOPUP,
                transfer_id="credit:pay_1",
                counter_account=provider_account("yookassa"),
                origin="pay_1",
            )
        return "new" if credited.is_new else "known"

    async def spend(self, number: int) -> str:
        """A call of its own holds three and is charged two."""
        operation = OperationId(f"opr_{self.name}_{number}")
        async with self.begin() as uow:
            await self.wallets.service.hold(uow, self.wallet_id, rub("3"), operation)
        async with self.begin() as uow:
            await self.wallets.service.settle(uow, self.wallet_id, operation, rub("2"))
        return "spent"

    async def reserve(self, number: int) -> str:
        """A free call of its own sets three tokens aside and uses two."""
        operation = f"opr_{self.name}_{number}"
        quotas = quota_service(self.begin, self.wallets.clock, self.wallets.ids)
        async with self.begin() as uow:
            answer = await quotas.reserve(uow, self.account_id, operation, Amounts(output_tokens=3), model=FREE_MODEL)
        if not isinstance(answer, Reserved):
            return answer.reason.value
        async with self.begin() as uow:
            await quotas.finalise(uow, operation, Amounts(output_tokens=2))
        return "reserved"

    async def settle(self, number: int) -> str:
        """The one operation is charged twelve."""
        assert number >= 0
        async with self.begin() as uow:
            charge = await self.wallets.service.settle(uow, self.wallet_id, self.operation_id, rub("12"))
        return "late" if charge.is_late else "in time"

    async def release(self, number: int) -> str:
        """The one operation is given back."""
        assert number >= 0
        async with self.begin() as uow:
            await self.wallets.service.release(uow, self.wallet_id, self.operation_id, reason="provider_error")
        return "released"

    async def extend(self, number: int) -> str:
        """The one hold grows, step by step."""
        async with self.begin() as uow:
            hold = await self.wallets.service.extend(uow, self.wallet_id, self.operation_id, rub(str(30 + number)))
        return "grown" if hold.amount >= rub("30") else "shrunk"

    async def hold(self, number: int) -> str:
        """Another call holds ten."""
        async with self.begin() as uow:
            await self.wallets.service.hold(uow, self.wallet_id, rub("10"), OperationId(f"opr_{self.name}_{number}"))
        return "held"

    async def sweep(self, number: int) -> str:
        """The sweeper of a time in which every hold of the others is overdue."""
        assert number >= 0
        self.wallets.clock.move(TTL)
        return f"swept {await self.wallets.service.sweep() > 0}"

    async def expire(self, number: int) -> str:
        """The job that books expired credit, in a time in which it is expired."""
        assert number >= 0
        self.wallets.clock.move(TTL)
        await self.wallets.service.expire_credit()
        return "expired"


def _part(caller: Caller, name: str) -> Callable[[int], Awaitable[str]]:
    part: Callable[[int], Awaitable[str]] = getattr(caller, name)
    return part


async def call(part: str, times: int, database_url: str, *names: str) -> None:
    """Does the part so often, several at once, as soon as it is told to."""
    engine = application_engine(parse_database_url(database_url), connections_max=CONNECTIONS)
    begin, clock = units_of_work(engine), StoppedClock()
    account_id, wallet_id, operation_id, name = names
    caller = Caller(
        begin,
        build_wallets(begin, clock, Ids(clock)),
        AccountId(account_id),
        WalletId(wallet_id),
        OperationId(operation_id),
        name,
    )
    async with begin():  # a connection is there before it begins
        pass
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)

    async def outcome(number: int) -> str:
        try:
            return await _part(caller, part)(number)
        except BillingError as refusal:
            return refusal.code

    outcomes = Counter(await asyncio.gather(*(outcome(number) for number in range(times))))
    await engine.dispose()
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    configure_logs("ERROR")
    asyncio.run(call(sys.argv[1], int(sys.argv[2]), *sys.argv[3:]))
