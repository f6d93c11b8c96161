"""The gateway over the real database and a simulated model provider, and what tests ask about a call afterwards."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
from pydantic import SecretStr
from sqlalchemy import text

from backend.tests.builders.customers import Customer, Town
from backend.tests.builders.wallets import RUB, Wallets, rub
from billing.customers.audit import AuditTrail
from billing.customers.rules import Principal, Role, Scope
from billing.gateway.adapters.http_upstream import HttpUpstream
from billing.gateway.calls import Answer, StreamedAnswer
from billing.gateway.catalog import ModelCatalog
from billing.gateway.ports import ModelUpstream, UpstreamExchange
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming, Outgoing
from billing.gateway.rules.routes import ModelRoute, RouteTable, UpstreamTarget
from billing.gateway.rules.stream_terms import StreamTerms
from billing.gateway.service import GatewayService
from billing.gateway.settings import GatewaySettings
from billing.kit.money import Money
from billing.kit.turns import Turns
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.ledger.invariants import Drift, Extent
from billing.pricing.seed import (
    DEMO_EMBEDDING,
    DEMO_FREE,
    DEMO_IMAGE,
    DEMO_LARGE,
    DEMO_SMALL,
    DEMO_SPEECH,
    DEMO_TRANSCRIPTION,
    seed_demo_rates,
)
from billing.pricing.service import PricingService
from billing.quotas.invariants import FreeUsageVerifier, QuotaVerifier
from billing.quotas.rules import NOTHING, Amounts, FreeStanding, FreeTerms
from billing.quotas.service import QuotaService
from billing.quotas.settings import QuotaSettings
from billing.subscriptions.entitlements import Entitlements
from billing.usage.invariants import UsageVerifier
from billing.usage.rules import UsageEvent
from billing.usage.service import UsageService
from billing.wallets.rules import WalletId
from billing.wallets.service import Balance

UPSTREAM_KEY = "sk-simulated-upstream"
UNPRICED = "served-but-unpriced"
GIFT = "free-on-purpose"
ALIAS = "demo-small-latest"
SETTINGS = GatewaySettings()
ON_OFFER = (DEMO_EMBEDDING, DEMO_FREE, DEMO_IMAGE, DEMO_LARGE, DEMO_SMALL, DEMO_SPEECH, DEMO_TRANSCRIPTION)
"""What is both served and priced here, by name."""
NOT_FREE = FreeTerms(is_enabled=False, cycle_days=30, limits=NOTHING, eligible_models=frozenset())


def chat(question: str = "What is double entry?", *, model: str = DEMO_SMALL, **more: Any) -> dict[str, Any]:
    """A chat request as clients send it, with a limit so that its quote is a small number."""
    return {"model": model, "messages": [{"role": "user", "content": question}], "max_tokens": 100, **more}


def incoming(body: Mapping[str, Any]) -> Incoming:
    """The request as it comes in."""
    return Incoming(json.dumps(body).encode())


def body_of(answer: Answer) -> Mapping[str, Any]:
    """The answer as an object."""
    assert answer.body is not None, "it is JSON"
    return answer.body


def free_terms(*, input_tokens: int = 10_000, output_tokens: int = 10_000, model: str = DEMO_FREE) -> FreeTerms:
    """So much of one model is free for thirty days."""
    return FreeTerms(True, 30, Amounts(input_tokens, output_tokens), frozenset({model}))


def routes_to(base_url: str, *, key: str = UPSTREAM_KEY) -> RouteTable:
    """The demonstration's models, served by one upstream, with an alias and a model that nobody has priced."""
    upstream_models = {
        DEMO_SMALL: "gpt-4o-mini",
        ALIAS: "gpt-4o-mini",
        DEMO_LARGE: "gpt-4o",
        DEMO_FREE: "free-chat",
        UNPRICED: "gpt-4o",
        GIFT: "free-chat",
        DEMO_EMBEDDING: "text-embedding-3-small",
        DEMO_IMAGE: "gpt-image-1",
        DEMO_SPEECH: "tts-1",
        DEMO_TRANSCRIPTION: "whisper-1",
    }
    return RouteTable(
        {
            name: route(DEMO_SMALL if name == ALIAS else name, f"{base_url}/v1", upstream_model, key=key)
            for name, upstream_model in upstream_models.items()
        },
    )


def route(model: str, base_url: str, upstream_model: str, *, key: str = UPSTREAM_KEY) -> ModelRoute:
    """A model that one upstream serves, at its own price."""
    target = UpstreamTarget(
        name="simulated",
        base_url=base_url,
        api_key=SecretStr(key),
        upstream_model=upstream_model,
        priced_as=model,
    )
    return ModelRoute(model, (target,))


@dataclass(slots=True)
class Provider:
    """The simulated model provider, seen through its control API."""

    url: str
    client: httpx.AsyncClient

    async def will(self, kind: str, **more: Any) -> None:
        """Plans a fault for the next chat call."""
        fault = {"kind": kind, "operation": "create_chat_completion", **more}
        (await self.client.post("/control/faults", json=fault)).raise_for_status()

    async def calls(self) -> list[dict[str, Any]]:
        """The chat calls that reached it."""
        answer = await self.client.get("/control/calls", params={"operation": "create_chat_completion"})
        return list(answer.raise_for_status().json()["items"])

    async def count(self) -> int:
        """How many calls of any kind reached it."""
        return int((await self.client.get("/control/calls")).raise_for_status().json()["count"])

    async def start_over(self) -> None:
        """Forgets calls and faults."""
        (await self.client.post("/control/reset")).raise_for_status()


@dataclass(frozen=True, slots=True)
class Payer:
    """A customer with a wallet and a key, who calls models."""

    customer: Customer
    wallet_id: WalletId
    key: str
    principal: Principal


@dataclass(frozen=True, slots=True)
class Accounts:
    """What one payer's wallet and record of usage say.

    `entries` sums the wallet's entries, in micros, by kind of transfer and account; a sum of nothing is left out.
    `charges` are newest first.
    """

    balance: Balance
    entries: Mapping[tuple[str, str], int]
    charges: list[Money]
    events: tuple[UsageEvent, ...]
    free: FreeStanding
    drifts: tuple[Drift, ...]


@dataclass(frozen=True, slots=True)
class _Meanwhile:
    """Lets something happen before it forwards."""

    inner: ModelUpstream
    happens: Callable[[], Awaitable[None]]

    @asynccontextmanager
    async def open(self, target: UpstreamTarget, door: Door, outgoing: Outgoing) -> AsyncIterator[UpstreamExchange]:
        await self.happens()
        async with self.inner.open(target, door, outgoing) as exchange:
            yield exchange


@dataclass(frozen=True, slots=True)
class Gate:
    """The gateway's service with everything around it."""

    begin: Begin
    wallets: Wallets
    town: Town
    pricing: PricingService
    quotas: QuotaService
    usage: UsageService
    catalog: ModelCatalog
    service: GatewayService
    routes: RouteTable
    upstream: ModelUpstream

    def while_waiting(self, happens: Callable[[], Awaitable[None]]) -> Gate:
        """The same gateway, in whose calls something happens after they are paid for and before they are forwarded."""
        return build_gate(
            begin=self.begin,
            wallets=self.wallets,
            town=self.town,
            routes=self.routes,
            upstream=_Meanwhile(self.upstream, happens),
        )

    def behind(self, upstream: ModelUpstream, *, begin: Begin | None = None, **terms: Any) -> Gate:
        """The same gateway in front of another provider, with other bounds for its streams."""
        return build_gate(
            begin=begin or self.begin,
            wallets=self.wallets,
            town=self.town,
            routes=self.routes,
            upstream=upstream,
            terms=replace(SETTINGS.stream_terms, **terms),
        )

    async def payer(
        self, paid: str | None = None, *, role: Role = Role.OWNER, models: frozenset[str] | None = None
    ) -> Payer:
        """Somebody new, with this much paid credit."""
        customer = await self.town.customer()
        async with self.begin() as uow:
            wallet_id = await self.wallets.service.of_account(uow, customer.account.id, RUB)
        if paid is not None:
            await self.wallets.pay_in(wallet_id, paid)
        if role is not Role.OWNER:
            customer = await self.town.colleague(customer.account, role)
            return Payer(customer, wallet_id, "", customer.principal)
        new = await self.town.service.create_api_key(
            customer.principal, "tests", scopes=frozenset(Scope), models=models, request_id="req_tests"
        )
        principal = await self.town.service.principal_of_api_key(new.secret)
        return Payer(customer, wallet_id, new.secret, principal)

    async def set_terms(self, terms: FreeTerms) -> None:
        """Puts these free terms in force."""
        async with self.begin() as uow:
            await self.quotas.set_terms(uow, terms)

    async def ask(self, payer: Payer, body: Mapping[str, Any], *, max_reply_cost: str | None = None) -> Answer:
        """One call of the payer's key."""
        limit = None if max_reply_cost is None else rub(max_reply_cost)
        answer = await self.service.serve(payer.principal, Door.CHAT, incoming(body), max_reply_cost=limit)
        assert isinstance(answer, Answer), "whoever does not ask for a stream gets a whole answer"
        return answer

    async def stream(self, payer: Payer, body: Mapping[str, Any], **more: Any) -> StreamedAnswer:
        """One streamed call of the payer's key, whose first bytes are there."""
        answer = await self.service.serve(payer.principal, Door.CHAT, incoming(body), **more)
        assert isinstance(answer, StreamedAnswer), "the provider did not refuse"
        return answer

    async def streamed(self, payer: Payer, body: Mapping[str, Any], **more: Any) -> bytes:
        """Everything that a streamed call brings, once it is booked."""
        answer = await self.stream(payer, body, **more)
        content = b"".join([piece async for piece in answer.reading])
        await self.service.close()
        return content

    async def accounts(self, payer: Payer) -> Accounts:
        """What is booked and recorded for the payer now, with what the checkers find wrong in it."""
        async with self.begin() as uow:
            lines = await self.wallets.service.statement(uow, payer.wallet_id, limit=50)
            return Accounts(
                balance=await self.wallets.service.balance(uow, payer.wallet_id),
                entries=await _entries(uow, payer.wallet_id),
                charges=[-line.amount for line in lines if line.kind in {"charge", "late_charge"}],
                events=await self.usage.recent(uow, payer.customer.account.id, 50),
                free=await self.quotas.standing(uow, payer.customer.account.id),
                drifts=(
                    *await UsageVerifier().drifts(uow, Extent(payer.wallet_id)),
                    *await QuotaVerifier().drifts(uow),
                    *await FreeUsageVerifier().drifts(uow, Extent(payer.wallet_id)),
                ),
            )


async def _entries(uow: UnitOfWork, wallet_id: WalletId) -> dict[tuple[str, str], int]:
    rows = await uow.connection.execute(
        text(
            "SELECT transfer.kind, entry.account, entry.amount_micros FROM ledger_entries AS entry"
            " JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id"
            " WHERE entry.wallet_id = :wallet_id",
        ),
        {"wallet_id": wallet_id},
    )
    sums: Counter[tuple[str, str]] = Counter()
    for row in rows:
        sums[row.kind, row.account.removeprefix("wallet.")] += row.amount_micros
    return {key: micros for key, micros in sums.items() if micros != 0}


def build_gate(
    *,
    begin: Begin,
    wallets: Wallets,
    town: Town,
    routes: RouteTable,
    upstream: ModelUpstream,
    terms: StreamTerms = SETTINGS.stream_terms,
    starts_per_network: int = 1_000_000,
) -> Gate:
    """The real services over the real database."""
    clock, ids = wallets.clock, wallets.ids
    pricing = PricingService(ids)
    catalog = ModelCatalog(pricing, clock, routes, RUB)
    entitlements = Entitlements(RUB)
    quotas = QuotaService(
        begin=begin,
        clock=clock,
        ids=ids,
        audit=AuditTrail(clock, ids),
        models=catalog,
        people=town.service,
        settings=QuotaSettings(BILLING_FREE_STARTS_PER_NETWORK=starts_per_network),
        plans=entitlements,
    )
    usage = UsageService(begin)
    service = GatewayService(
        begin=begin,
        turns=Turns(patience_seconds=20),  # so long that whoever counts on a lost turn is seen to hang
        clock=clock,
        ids=ids,
        pricing=pricing,
        quotas=quotas,
        wallets=wallets.service,
        usage=usage,
        entitlements=entitlements,
        catalog=catalog,
        routes=routes,
        upstream=upstream,
        bounds=SETTINGS.bounds,
        currency=RUB,
        stream_terms=terms,
    )
    return Gate(begin, wallets, town, pricing, quotas, usage, catalog, service, routes, upstream)


@asynccontextmanager
async def open_gate(
    *, begin: Begin, wallets: Wallets, town: Town, routes: RouteTable, settings: GatewaySettings = SETTINGS
) -> AsyncIterator[Gate]:
    """The gateway over real HTTP to the upstreams of the routes; prices are there, nothing is free yet."""
    upstream = HttpUpstream(settings)
    terms = settings.stream_terms
    gate = build_gate(begin=begin, wallets=wallets, town=town, routes=routes, upstream=upstream, terms=terms)
    async with begin() as uow:
        await seed_demo_rates(uow, gate.pricing, wallets.clock.now())
    await gate.set_terms(NOT_FREE)
    try:
        yield gate
    finally:
        await gate.service.close()
        await upstream.close()
