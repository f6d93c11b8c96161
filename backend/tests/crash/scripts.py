"""What is done to a wallet up to each commit at which a process is killed, and again after its restart."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

from psycopg.errors import UniqueViolation

from backend.tests.builders.customers import Town, customers_service
from backend.tests.builders.gateway import SETTINGS, Gate, build_gate, chat, incoming, routes_to
from backend.tests.builders.usage import usage_event
from backend.tests.builders.wallets import RUB, Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import StoppedClock
from billing.admin.hold_desk import HoldDesk
from billing.customers.audit import AuditTrail
from billing.customers.rules import AccountId, OperatorRole, PersonId, Principal, Role, Scope
from billing.gateway.abandoned import AbandonedStreams
from billing.gateway.booking import Booker
from billing.gateway.calls import StreamedAnswer
from billing.gateway.ports import UpstreamExchange
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Outgoing
from billing.gateway.rules.routes import UpstreamTarget
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin
from billing.ledger.chart_of_accounts import provider_account
from billing.usage.service import UsageService
from billing.wallets.errors import OperationEnded
from billing.wallets.models import LotSource
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.settings import WalletSettings

TTL = timedelta(seconds=WalletSettings().hold_ttl_seconds)
NOWHERE = "http://127.0.0.1:9"  # the upstream of these tests is in the process itself


@dataclass(frozen=True, slots=True)
class Names:
    """Under which names everything is done, before the death and after it."""

    account_id: str
    person_id: str
    wallet_id: str
    operation_id: str
    credit_id: str

    @property
    def operation(self) -> OperationId:
        """The operation's id."""
        return OperationId(self.operation_id)

    @property
    def wallet(self) -> WalletId:
        """The wallet's id."""
        return WalletId(self.wallet_id)

    def principal(self, role: OperatorRole | None = None) -> Principal:
        """The account's owner; with a role, one who is an operator too."""
        return Principal(
            account_id=AccountId(self.account_id),
            person_id=PersonId(self.person_id),
            role=Role.OWNER,
            api_key_id=None,
            scopes=frozenset(Scope),
            operator_role=role,
            time_zone="UTC",
        )


@dataclass(frozen=True, slots=True)
class Bank:
    """The services of one process."""

    begin: Begin
    clock: StoppedClock
    wallets: Wallets
    gate: Gate
    streams: AbandonedStreams
    desk: HoldDesk
    usage: UsageService

    async def restart(self) -> None:
        """What every installation does by itself: leases and holds run out, jobs come by, twice."""
        for _ in range(2):
            self.clock.move(TTL)
            await self.streams.settle()
            await self.wallets.service.sweep()
            await self.wallets.service.expire_credit()


@dataclass(frozen=True, slots=True)
class _Steady:
    """A provider in the process itself, whose answer always comes in the same chunks."""

    @asynccontextmanager
    async def open(self, target: UpstreamTarget, door: Door, outgoing: Outgoing) -> AsyncIterator[UpstreamExchange]:
        """Answers whatever is asked."""
        assert target.base_url.startswith(NOWHERE)
        assert door is Door.CHAT
        assert outgoing.content
        yield _Answer()


class _Answer:
    """Four words, one chunk each, then the use of it."""

    status = 200
    content_type = "text/event-stream"
    retry_after_seconds = None

    async def read(self) -> bytes:
        """The whole answer."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer as it comes."""
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini"}
        for word in ("one ", "two ", "three ", "four "):
            yield _event({**head, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]})
        yield _event({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        usage = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
        yield _event({**head, "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"


def _event(body: dict[str, object]) -> bytes:
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def bank(begin: Begin) -> Bank:
    """The real services over the real database; each stream writes a checkpoint after every chunk."""
    clock = StoppedClock()
    ids = Ids(clock)
    wallets = build_wallets(begin, clock, ids)
    gate = build_gate(
        begin=begin,
        wallets=wallets,
        town=Town(customers_service(begin, clock, ids), begin),
        routes=routes_to(NOWHERE),
        upstream=_Steady(),
        terms=replace(SETTINGS.stream_terms, checkpoint_every=timedelta(0)),
    )
    booker = Booker(clock=clock, quotas=gate.quotas, wallets=wallets.service, usage=gate.usage)
    streams = AbandonedStreams(begin=begin, clock=clock, booker=booker)
    desk = HoldDesk(
        begin=begin,
        clock=clock,
        wallets=wallets.service,
        usage=gate.usage,
        streams=streams,
        audit=AuditTrail(clock, ids),
    )
    return Bank(begin, clock, wallets, gate, streams, desk, gate.usage)


async def credit(bank: Bank, names: Names, *, life: timedelta | None = None) -> None:
    """A hundred roubles come in."""
    async with bank.begin() as uow:
        await bank.wallets.service.credit(
            uow,
            names.wallet,
            rub("100"),
            source=LotSource.TOPUP,
            transfer_id=names.credit_id,
            counter_account=provider_account("yookassa"),
            origin="pay_1",
            expires_at=None if life is None else bank.clock.now() + life,
        )


async def hold(bank: Bank, names: Names) -> None:
    """Thirty are set aside."""
    await credit(bank, names)
    async with bank.begin() as uow:
        uow.writes_may_wait = True  # as in the gateway, so that they go out with the commit
        await bank.wallets.service.hold(uow, names.wallet, rub("30"), names.operation)


async def settle(bank: Bank, names: Names) -> None:
    """Twelve of them are charged, with the usage event in the same transaction."""
    await hold(bank, names)
    await _charge(bank, names)


async def release(bank: Bank, names: Names) -> None:
    """All of them are given back."""
    await hold(bank, names)
    async with bank.begin() as uow:
        await bank.wallets.service.release(uow, names.wallet, names.operation, reason="provider_error")


async def extend(bank: Bank, names: Names) -> None:
    """The hold grows to fifty, and twelve are charged."""
    await hold(bank, names)
    with contextlib.suppress(OperationEnded):  # whoever asks again after the end needs no more
        async with bank.begin() as uow:
            await bank.wallets.service.extend(uow, names.wallet, names.operation, rub("50"))
    await _charge(bank, names)


async def late(bank: Bank, names: Names) -> None:
    """The hold expires, the sweeper ends it, and twelve are charged late."""
    await hold(bank, names)
    bank.clock.move(TTL)
    await bank.wallets.service.sweep()
    await _charge(bank, names)


async def breakage(bank: Bank, names: Names) -> None:
    """The credit expires unused."""
    await credit(bank, names, life=TTL)
    bank.clock.move(TTL)
    await bank.wallets.service.expire_credit()


async def by_operator(bank: Bank, names: Names) -> None:
    """An operator charges twelve."""
    await hold(bank, names)
    async with bank.begin() as uow:
        held = await bank.wallets.service.hold(uow, names.wallet, rub("30"), names.operation)
    await bank.desk.settle(
        names.principal(OperatorRole.FINANCE), held.hold_id, rub("12"), reason="seen", request_id="req_1"
    )


async def stream(bank: Bank, names: Names) -> None:
    """A streamed call from the first byte to the last; what comes out of it is written where it can be counted."""
    await credit(bank, names)
    answer = await bank.gate.service.serve(names.principal(), Door.CHAT, incoming(chat(stream=True)))
    assert isinstance(answer, StreamedAnswer), "this provider never refuses"
    async for _ in answer.reading:
        pass
    await bank.gate.service.close()


async def _charge(bank: Bank, names: Names) -> None:
    charged = rub("12")
    event = usage_event(names.operation, AccountId(names.account_id), names.wallet, charged)
    for may_wait in (True, False):  # as in the gateway, which hears at its second attempt what is there already
        with contextlib.suppress(UniqueViolation):
            async with bank.begin() as uow:
                uow.writes_may_wait = may_wait
                await bank.wallets.service.settle(uow, names.wallet, names.operation, charged)
                await bank.usage.record(uow, event)
            return


Script = Callable[[Bank, Names], Awaitable[None]]
SCRIPTS: dict[str, Script] = {
    script.__name__: script for script in (credit, hold, settle, release, extend, late, breakage, by_operator, stream)
}
CURRENCY = RUB
