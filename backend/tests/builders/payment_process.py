"""A process of its own that hears of one payment in every way there is, as often as it can, as soon as it is told to.

It says "ready", waits for a line, and says afterwards how often it was answered what, as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter

from backend.tests.builders.providers import QUICK
from backend.tests.builders.yookassa import SECRET_KEY, SHOP_ID
from backend.tests.fakes.clock import StoppedClock
from billing.kit.database import application_engine, parse_database_url
from billing.kit.ids import Ids
from billing.kit.logs import configure_logs
from billing.kit.unit_of_work import units_of_work
from billing.ledger.service import LedgerService
from billing.payments.adapters.yookassa import YookassaProvider
from billing.payments.notifications import PaymentNotifications
from billing.payments.read_back import ReadBack
from billing.payments.rules import ProviderPaymentId
from billing.wallets.service import WalletService
from billing.wallets.settings import WalletSettings
from billing.wiring.payments import payment_parts

_TIMES = 5


async def hear(database_url: str, api_url: str, payment_id: str, bodies: list[str]) -> None:
    """Asks the provider, and takes its notifications, all at once."""
    engine = application_engine(parse_database_url(database_url), connections_max=_TIMES)
    begin, clock = units_of_work(engine), StoppedClock()
    ids = Ids(clock)
    wallets = WalletService(begin=begin, clock=clock, ids=ids, ledger=LedgerService(), settings=WalletSettings())
    states = payment_parts(clock=clock, ids=ids, wallets=wallets, topup_ttl_days=365).states
    provider = YookassaProvider(
        shop_id=SHOP_ID, secret_key=SECRET_KEY, api_url=api_url, is_test=True, budget=QUICK, chance=lambda: 0.5
    )
    read_back = ReadBack(begin=begin, provider=provider, states=states)
    notifications = PaymentNotifications(begin=begin, provider=provider, states=states)
    async with begin():  # a connection is there before it begins
        pass
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)

    async def asked(*, with_all: bool) -> str:
        applied = await read_back.named(ProviderPaymentId(payment_id), with_all=with_all)
        return "unknown" if applied is None else applied.outcome.value

    async def notified(body: str) -> str:
        return (await notifications.handle(body)).reason or "no reason"

    ways = [asked(with_all=False), asked(with_all=True), *(notified(body) for body in bodies)]
    ways += [asked(with_all=number % 2 == 0) for number in range(_TIMES)]
    outcomes = Counter(await asyncio.gather(*ways))
    await provider.aclose()
    await engine.dispose()
    sys.stdout.write(json.dumps(outcomes) + "\n")


if __name__ == "__main__":
    configure_logs("ERROR")
    asyncio.run(hear(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])))
