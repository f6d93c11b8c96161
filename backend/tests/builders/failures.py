"""The whole application at one simulated provider, for one test in which calls to that provider go wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

import httpx
from fastapi import FastAPI
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.providers import IMPATIENT, QUICK, Backstage
from backend.tests.builders.stripe import SimulatedStripe
from backend.tests.builders.wallets import RUB, rub
from backend.tests.builders.yookassa import SimulatedYookassa, YookassaBackstage
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.http_server import serving
from billing.admin.payment_desk import PaymentDesk
from billing.customers.access import CSRF_HEADER, SESSION_COOKIE
from billing.customers.audit import AuditTrail
from billing.customers.rules import OperatorRole
from billing.kit.ids import Ids
from billing.ledger.service import LedgerService
from billing.main import create_app
from billing.payments.adapters.calls import Budget
from billing.payments.janitor import Round
from billing.payments.rules import ProviderPaymentId
from billing.wallets.rules import OperationId
from billing.wallets.service import WalletService
from billing.wiring.ground import Ground
from billing.wiring.providers import ConnectedProvider
from billing.wiring.services import Services, services
from billing.wiring.settings import read_settings
from billing.wiring.takings import takings_of
from billing.wiring.terms import terms_of
from testkit.loopback import NO_TLS

SETTINGS = {"ENABLE_BILLING_SUBSCRIPTIONS": "true", "ADMIN_BILLING_ENABLED": "true"}
"""What is sold here; the provider is connected for each test anew."""

API = "/api/v1/billing"

_ALL = 100  # more calls than any flow makes

_NEXT_CHECK = """
    SELECT min(next_check_at) AS at FROM (
        SELECT next_check_at FROM payments WHERE account_id = :id
        UNION ALL
        SELECT refund.next_check_at FROM refunds AS refund
        JOIN payments AS payment ON payment.id = refund.payment_id WHERE payment.account_id = :id
    ) AS due
"""
_STANDING = """
    WITH payment AS (SELECT * FROM payments WHERE account_id = :id)
    SELECT
        ARRAY(SELECT state FROM payment ORDER BY created_at, id) AS payments,
        ARRAY(SELECT refunds.state FROM refunds JOIN payment ON payment.id = refunds.payment_id ORDER BY refunds.id)
            AS refunds,
        (SELECT count(*) FROM plan_grants WHERE account_id = :id) AS grants
"""


@dataclass(frozen=True, slots=True)
class Simulated:
    """One running simulator, and how our adapter reaches it."""

    name: str
    simulator: SimulatedYookassa | SimulatedStripe

    async def fresh(self) -> Simulated:
        """The same for the next test, without faults, calls and earlier objects."""
        return replace(self, simulator=await self.simulator.fresh())

    @property
    def backstage(self) -> Backstage:
        """What its customers, cabinet and network do."""
        return self.simulator if isinstance(self.simulator, SimulatedStripe) else YookassaBackstage(self.simulator)

    def connected(self, budget: Budget) -> ConnectedProvider:
        """Our adapter, with a circuit breaker of its own."""
        return self.simulator.provider(budget)

    async def now(self) -> datetime:
        """What time it is there."""
        return datetime.fromisoformat((await self.simulator.control.get("clock")).json()["now"])

    async def heal(self) -> None:
        """Nothing goes wrong any more."""
        (await self.simulator.control.delete("faults")).raise_for_status()


class PlannedFault(Protocol):
    """How calls go wrong, in the words of the simulators."""

    @property
    def kind(self) -> str:
        """Which of the simulators' faults it is."""
        ...

    @property
    def is_done(self) -> bool:
        """The provider carries out what it is asked for all the same."""
        ...

    @property
    def retry_after_seconds(self) -> int | None:
        """What the provider says about when to come back."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What whoever asked was told: the status and code of an HTTP answer, or how a job ended, which has no status."""

    status: int | None
    word: str


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is of one customer's payments, here and there; amounts in roubles."""

    payments: tuple[str, ...]
    """The states of our rows, the oldest first."""
    there: int
    """How many payments the provider has."""
    wallet: str
    refunds: tuple[str, ...] = ()
    refunds_there: int = 0
    grants: int = 0


@dataclass(frozen=True, slots=True)
class Premises:
    """The application behind a real server, and what all tests of a worker share of it; no provider is connected."""

    ground: Services
    app: FastAPI
    client: httpx.AsyncClient
    town: Town
    operator: Customer
    """Somebody who may decide about money."""

    async def ask(self, services: Services, method: str, path: str, **request: Any) -> httpx.Response:
        """Asks the application over HTTP while these services stand behind its doors."""
        self.app.state.services = services.by_type()
        return await self.client.request(method, path, **request)


@dataclass(slots=True)
class Scene:
    """One customer, one provider, one moment; `services` are patient with the provider, `hurried` ones are not."""

    premises: Premises
    simulated: Simulated
    services: Services
    hurried: Services
    clock: StoppedClock
    customer: Customer
    kept: dict[str, Any] = field(default_factory=dict)
    """What one step of a flow leaves for the next."""

    @property
    def backstage(self) -> Backstage:
        """What goes on behind the provider's counter."""
        return self.simulated.backstage

    async def told(
        self, services: Services, method: str, path: str, *, who: Customer | None = None, **request: Any
    ) -> tuple[Answer, Mapping[str, Any]]:
        """What the application answers over HTTP, and its body; a word is a status of ours or the code of a refusal."""
        session = (who or self.customer).session
        headers = {"Cookie": f"{SESSION_COOKIE}={session.token}", CSRF_HEADER: session.csrf_token}
        headers |= request.pop("headers", {})
        answer = await self.premises.ask(services, method, path, headers=headers, **request)
        body: dict[str, Any] = answer.json()
        refusal: dict[str, Any] | None = body.get("error")
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            assert int(answer.headers["Retry-After"]) > 0, "whoever shall come back is told when"
        word = body.get("status") or body["state"] if refusal is None else refusal["code"]
        return Answer(answer.status_code, str(word)), body

    async def go_wrong(self, fault: PlannedFault, operation: str) -> None:
        """Every call of this operation goes wrong from now on, and none of another."""
        (await self.simulated.simulator.control.delete("calls")).raise_for_status()
        effect = "done" if fault.is_done else "none"
        await self.backstage.go_wrong(
            fault.kind, operation, effect=effect, times=_ALL, seconds=2, retry_after_seconds=fault.retry_after_seconds
        )

    async def went_wrong(self, operation: str) -> bool:
        """Such a call has been made since, and has ended there too, which may be later than here."""
        asked: dict[str, str | int] = {"operation": operation, "at_least": 1, "has_ended": "true"}
        answer = await self.simulated.simulator.control.get("calls", params=asked)
        return all(call["fault"] is not None for call in answer.json()["items"]) and answer.json()["count"] > 0

    async def wait(self, seconds: int) -> None:
        """Time passes, here and there."""
        (await self.simulated.simulator.control.post("clock/advance", json={"seconds": seconds})).raise_for_status()
        self.clock.move(timedelta(seconds=seconds))

    async def pay(self, payment_id: str) -> None:
        """The customer pays this payment on the provider's page; nobody tells us."""
        await self.backstage.pay(await self.named(payment_id))

    async def named(self, payment_id: str) -> ProviderPaymentId:
        """What the provider calls a payment of ours."""
        (row,) = await self.rows("SELECT provider_payment_id FROM payments WHERE id = :id", id=payment_id)
        return ProviderPaymentId(row["provider_payment_id"])

    async def spend(self, amount: str) -> None:
        """A call of the customer that costs so much."""
        operation, wallets = OperationId(self.services.ids.new("opr")), self.services.wallets
        async with self.services.begin() as uow:
            wallet_id = await wallets.of_account(uow, self.customer.account.id, RUB)
            await wallets.hold(uow, wallet_id, rub("0"), operation)
            await wallets.settle(uow, wallet_id, operation, rub(amount))

    async def check(self, services: Services | None = None) -> Round:
        """The clock moves to what is due next, and the janitor makes a round."""
        (row,) = await self.rows(_NEXT_CHECK, id=self.customer.account.id)
        wait = max(timedelta(0), (row["at"] or self.clock.now()) - self.clock.now())
        self.clock.move(wait + timedelta(seconds=1))
        return await (services or self.services).payment_upkeep.janitor.check_due()

    async def standing(self) -> Standing:
        """What there is now."""
        async with self.services.begin() as uow:
            wallet_id = await self.services.wallets.of_account(uow, self.customer.account.id, RUB)
            available = (await self.services.wallets.balance(uow, wallet_id)).available
        (row,) = await self.rows(_STANDING, id=self.customer.account.id)
        return Standing(
            payments=tuple(row["payments"]),
            there=await self.backstage.payments_count(),
            wallet=available.to_decimal().removesuffix(".00"),
            refunds=tuple(row["refunds"]),
            refunds_there=await self.backstage.refunds_count(),
            grants=row["grants"],
        )

    async def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        """What stands in the database."""
        async with self.services.begin() as uow:
            return [dict(row) for row in (await uow.connection.execute(text(statement), values)).mappings()]


@asynccontextmanager
async def open_premises(database_url: URL) -> AsyncIterator[Premises]:
    """The application, for all tests of a worker: the doors are built once, which takes longer than a test."""
    async with services(read_settings(SETTINGS), database_url) as ground:
        app = create_app(ground)
        async with serving(app) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url, trust_env=False) as client:
            (await client.get("/healthz")).raise_for_status()
            town = Town(customers_service(ground.begin, ground.clock, ground.ids), ground.begin)
            yield Premises(ground, app, client, town, await town.customer(operator_role=OperatorRole.FINANCE))


@asynccontextmanager
async def open_scene(premises: Premises, simulated: Simulated) -> AsyncIterator[Scene]:
    """A scene for one test; what earlier tests left in this database is due no more."""
    ground, simulated = premises.ground, await simulated.fresh()
    await _park(ground)
    clock = StoppedClock(await simulated.now())
    patient, hurried = simulated.connected(QUICK), simulated.connected(IMPATIENT)
    try:
        yield Scene(
            premises=premises,
            simulated=simulated,
            services=_services_with(ground, patient, clock),
            hurried=_services_with(ground, hurried, clock),
            clock=clock,
            customer=await premises.town.customer(),
        )
    finally:
        await patient.aclose()
        await hurried.aclose()


async def _park(ground: Services) -> None:
    async with ground.begin() as uow:
        for table in ("payments", "refunds"):
            await uow.connection.execute(
                text(f"UPDATE {table} SET next_check_at = '2999-01-01' WHERE next_check_at IS NOT NULL")  # noqa: S608 - two names of our own
            )
        await uow.connection.execute(text("UPDATE auto_topups SET off_reason = 'turned_off', off_at = now()"))


def _services_with(ground: Services, provider: ConnectedProvider, clock: StoppedClock) -> Services:
    """The services as the wiring builds them, over this provider and this clock."""
    ids = Ids(clock)
    base = Ground(ground.engine, ground.begin, clock, ids, AuditTrail(clock, ids))
    wallets = WalletService(
        begin=ground.begin, clock=clock, ids=ids, ledger=LedgerService(), settings=ground.settings.wallets
    )
    takings = takings_of(
        ground.settings,
        terms_of(ground.settings),
        base,
        ground.job_queue,
        provider,
        customers=ground.customers,
        wallets=wallets,
    )
    desk = PaymentDesk(begin=ground.begin, refunds=takings.upkeep.refunds, audit=base.audit)
    return replace(
        ground,
        clock=clock,
        ids=ids,
        wallets=wallets,
        topups=takings.topups,
        subscriptions=takings.plans.subscriptions,
        plan_renewals=takings.plans.renewals,
        plan_desk=takings.plans.desk,
        payment_upkeep=takings.upkeep,
        methods=takings.methods,
        auto_topups=takings.auto_topups,
        auto_topup_runs=takings.auto_topup_runs,
        desks=replace(ground.desks, payments=desk),
    )
