"""Streams as tests ask for them, and what is asked about them afterwards."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from sqlalchemy import text

from backend.tests.builders.gateway import Accounts, Gate, Payer, chat
from backend.tests.builders.wallets import rub
from billing.gateway.abandoned import AbandonedStreams
from billing.gateway.booking import Booker
from billing.gateway.rules.sse import SseParser
from billing.usage.rules import EstimateReason

# Micros for one token of `demo-small`.
INPUT, OUTPUT = 60, 240
WORDS = "word" * 20
"""Twenty tokens by our own count."""
LEASE = timedelta(seconds=30)
WITH_USAGE = {"stream_options": {"include_usage": True}}


def asked(**more: Any) -> dict[str, Any]:
    """A request for a stream."""
    return chat(stream=True, **more)


def read(content: bytes) -> list[Any]:
    """Events as a client reads them."""
    return [found.data if found.data == "[DONE]" else json.loads(found.data) for found in SseParser().feed(content)]


async def checkpoints(gate: Gate, payer: Payer) -> int:
    """How many of the payer's streams have not ended."""
    query = text("SELECT count(*) FROM gateway_checkpoints WHERE wallet_id = :wallet_id")
    async with gate.begin() as uow:
        return int(await uow.connection.scalar(query, {"wallet_id": payer.wallet_id}) or 0)


def janitor(gate: Gate) -> AbandonedStreams:
    """What the job runs."""
    booker = Booker(clock=gate.wallets.clock, quotas=gate.quotas, wallets=gate.wallets.service, usage=gate.usage)
    return AbandonedStreams(begin=gate.begin, clock=gate.wallets.clock, booker=booker)


def is_booked_once(after: Accounts, charged: int, reason: EstimateReason | None) -> bool:
    """One charge and one event of this amount, nothing held, nothing adrift."""
    (found,) = after.events
    assert [charge.micros for charge in after.charges] == [charged]
    assert (found.charged.micros, found.estimate_reason) == (charged, reason)
    assert (after.balance.held.micros, after.balance.debt.micros, after.drifts) == (0, 0, ())
    return True


def is_given_back(after: Accounts) -> bool:
    """No charge, no event, nothing held."""
    assert (after.charges, after.events, after.drifts) == ([], (), ())
    assert (after.balance.available, after.balance.held.micros) == (rub("100"), 0)
    return True
