"""Operators decide what is free, accounts what they spend first; both leave one entry in the audit trail (G14)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.customers import Customer, Town
from backend.tests.builders.quotas import FREE_MODEL, quota_service
from backend.tests.builders.wallets import Wallets
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import StoppedClock
from billing.customers.errors import Forbidden
from billing.customers.rules import AccountId, OperatorRole, Role
from billing.kit.database import application_engine
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, units_of_work
from billing.quotas.errors import FreeTermsOutdated, FreeTermsRefused
from billing.quotas.rules import Amounts, BurnOrder, FreeTerms, NotAvailable, Reserved, Unavailable
from billing.quotas.seed import seed_demo_terms
from billing.quotas.service import QuotaService


def terms(limits: Amounts = Amounts(100, 50), *, cycle_days: int = 30, is_enabled: bool = True) -> FreeTerms:  # noqa: B008 - a frozen value
    """Terms for the one model of these tests."""
    return FreeTerms(is_enabled, cycle_days, limits, frozenset({FREE_MODEL}))


@pytest.fixture
def quotas(wallets: Wallets, town: Town) -> QuotaService:
    """The service, with real people."""
    return quota_service(wallets.begin, wallets.clock, wallets.ids, people=town.service)


@pytest.fixture
async def operator(town: Town) -> Customer:
    """Somebody who may decide."""
    return await town.customer(operator_role=OperatorRole.FINANCE)


async def entries(begin: Begin, request_id: str) -> list[tuple[str, str, str]]:
    """Action, target and reason of what one request left in the audit trail."""
    async with begin() as uow:
        rows = await uow.connection.execute(
            text("SELECT action, target, reason FROM audit_entries WHERE request_id = :id"), {"id": request_id}
        )
        return [(row.action, row.target, row.reason) for row in rows]


async def in_force(quotas: QuotaService, operator: Customer) -> int:
    """The version that counts."""
    return (await quotas.terms_in_force(operator.principal))[0]


async def change(
    quotas: QuotaService, by: Customer, new: FreeTerms, *, expected: int | None = None, request_id: str = "req_terms"
) -> int:
    """The operator's decision."""
    return await quotas.change_terms(
        by.principal, new, expected_version=expected, reason="a campaign", request_id=request_id
    )


@pytest.fixture
async def untouched(own_database: URL, clock: StoppedClock, ids: Ids) -> AsyncIterator[Wallets]:
    """Wallets in a database in which nobody has ever said what is free."""
    engine = application_engine(own_database, connections_max=2)
    yield build_wallets(units_of_work(engine), clock, ids)
    await engine.dispose()


async def begun(who: Customer, wallets: Wallets) -> None:
    """The account is a person's who has no cycle: each use opens one, so only an import or a repair leaves this."""
    holder_id = wallets.ids.new("fqh")
    values = {"id": holder_id, "identity": hashlib.sha256(holder_id.encode()).digest(), "account_id": who.account.id}
    async with wallets.begin() as uow:
        await uow.connection.execute(
            text(
                "INSERT INTO free_quota_holders (id, identity, first_account_id, started_at)"
                " VALUES (:id, :identity, :account_id, :at)"
            ),
            {**values, "at": wallets.clock.now()},
        )
        await uow.connection.execute(
            text("INSERT INTO free_quota_accounts (account_id, holder_id) VALUES (:account_id, :id)"), values
        )


class TestBeforeAnybodyHasSaidWhatIsFree:
    async def test_no_call_is_free(self, untouched: Wallets) -> None:
        quotas = quota_service(untouched.begin, untouched.clock, untouched.ids)
        account_id = AccountId(await untouched.account())

        async with untouched.begin() as uow:
            outcome = await quotas.reserve(
                uow, account_id, untouched.operation(), Amounts(1, 1), model=FREE_MODEL, is_wallet_empty=True
            )
            standing = await quotas.standing(uow, account_id)

        assert outcome == NotAvailable(Unavailable.DISABLED)
        assert not standing.is_enabled

    async def test_a_demonstration_begins_with_its_own_terms_and_keeps_an_operators(self, untouched: Wallets) -> None:
        quotas = quota_service(untouched.begin, untouched.clock, untouched.ids)

        async with untouched.begin() as uow:
            await seed_demo_terms(uow, quotas, (FREE_MODEL,))
            seeded = await quotas.terms(uow)
            await quotas.set_terms(uow, terms(Amounts(1, 2)))
            await seed_demo_terms(uow, quotas, (FREE_MODEL,))
            kept = await quotas.terms(uow)

        assert seeded == terms(Amounts(20_000, 20_000))
        assert kept == terms(Amounts(1, 2))


class TestSomebodyWhoHasBegunAndHasNoCycle:
    async def test_has_everything_left(self, quotas: QuotaService, operator: Customer, wallets: Wallets) -> None:
        await change(quotas, operator, terms(Amounts(10, 20)))
        await begun(operator, wallets)

        async with wallets.begin() as uow:
            standing = await quotas.standing(uow, operator.account.id)
        reserved = await use(quotas, wallets, operator, Amounts(10, 20))

        assert [metric.left for metric in standing.metrics] == [10, 20]
        assert standing.resets_at is None
        assert isinstance(reserved, Reserved)
        assert reserved.cycle_number == 1


class TestChangingTheTerms:
    async def test_is_written_down_once_with_its_reason(
        self, quotas: QuotaService, operator: Customer, begin: Begin, wallets: Wallets
    ) -> None:
        request_id = wallets.ids.new("req")

        version = await change(quotas, operator, terms(Amounts(7, 8, 9, 10, 11)), request_id=request_id)
        await change(quotas, operator, terms(Amounts(7, 8, 9, 10, 11)), request_id=request_id)

        found = await quotas.terms_in_force(operator.principal)
        assert found == (version, terms(Amounts(7, 8, 9, 10, 11)))
        assert await entries(begin, request_id) == [
            ("free_quota.terms_changed", f"free_quota_terms/{version}", "a campaign")
        ]

    async def test_of_a_version_that_is_no_longer_in_force_is_refused_and_changes_nothing(
        self, quotas: QuotaService, operator: Customer, begin: Begin, wallets: Wallets
    ) -> None:
        seen = await change(quotas, operator, terms(Amounts(1, 1)))
        meanwhile = await change(quotas, operator, terms(Amounts(2, 2)), expected=seen)
        request_id = wallets.ids.new("req")

        with pytest.raises(FreeTermsOutdated) as refused:
            await change(quotas, operator, terms(Amounts(3, 3)), expected=seen, request_id=request_id)

        assert refused.value.version == meanwhile
        assert await in_force(quotas, operator) == meanwhile
        assert await entries(begin, request_id) == []

    async def test_by_two_who_have_seen_the_same_succeeds_for_one(
        self, quotas: QuotaService, operator: Customer
    ) -> None:
        seen = await in_force(quotas, operator)

        outcomes = await asyncio.gather(
            *(change(quotas, operator, terms(Amounts(20 + n, 1)), expected=seen) for n in range(4)),
            return_exceptions=True,
        )

        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["FreeTermsOutdated"] * 3 + ["int"]

    @pytest.mark.parametrize("role", [None, OperatorRole.SUPPORT, OperatorRole.AUDITOR])
    async def test_is_for_operators_who_may_write(
        self, role: OperatorRole | None, quotas: QuotaService, town: Town
    ) -> None:
        somebody = await town.customer(operator_role=role)

        with pytest.raises(Forbidden):
            await change(quotas, somebody, terms())

    async def test_without_a_reason_is_refused(self, quotas: QuotaService, operator: Customer) -> None:
        before = await in_force(quotas, operator)

        with pytest.raises(InvalidInput):
            await quotas.change_terms(
                operator.principal, terms(Amounts(5, 5)), expected_version=None, reason=" ", request_id="req_terms"
            )

        assert await in_force(quotas, operator) == before

    async def test_to_what_nobody_can_mean_is_refused(self, quotas: QuotaService, operator: Customer) -> None:
        before = await in_force(quotas, operator)

        with pytest.raises(FreeTermsRefused):
            await change(quotas, operator, terms(Amounts(images=-1)))

        assert await in_force(quotas, operator) == before


class TestTermsThatChangeWithinACycle:
    async def test_raise_what_is_left_at_once(self, quotas: QuotaService, operator: Customer, wallets: Wallets) -> None:
        await change(quotas, operator, terms(Amounts(10, 10)))
        await use(quotas, wallets, operator, Amounts(10, 10))
        await change(quotas, operator, terms(Amounts(15, 15)))

        assert isinstance(await use(quotas, wallets, operator, Amounts(6, 1)), NotAvailable)
        assert isinstance(await use(quotas, wallets, operator, Amounts(5, 5)), Reserved)

    async def test_lower_what_is_left_at_once_and_take_nothing_back(
        self, quotas: QuotaService, operator: Customer, wallets: Wallets
    ) -> None:
        await change(quotas, operator, terms(Amounts(10, 10)))
        operation = wallets.operation()
        async with wallets.begin() as uow:
            account_id = operator.account.id
            await quotas.reserve(uow, account_id, operation, Amounts(8, 8), model=FREE_MODEL)
        await change(quotas, operator, terms(Amounts(5, 5)))

        refused = await use(quotas, wallets, operator, Amounts(1, 1))
        async with wallets.begin() as uow:
            await quotas.finalise(uow, operation, Amounts(8, 8))
            standing = await quotas.standing(uow, operator.account.id)

        assert isinstance(refused, NotAvailable)
        assert (refused.limit, refused.used, refused.required) == (5, 8, 1)
        assert [(metric.used, metric.left) for metric in standing.metrics] == [(8, 0), (8, 0)]

    async def test_end_the_running_cycle_when_the_new_length_says_so(
        self, quotas: QuotaService, operator: Customer, wallets: Wallets, clock: StoppedClock
    ) -> None:
        await change(quotas, operator, terms(Amounts(10, 10), cycle_days=30))
        await use(quotas, wallets, operator, Amounts(10, 10))
        clock.move(timedelta(days=7))

        before = await use(quotas, wallets, operator, Amounts(1, 1))
        await change(quotas, operator, terms(Amounts(10, 10), cycle_days=7))
        after = await use(quotas, wallets, operator, Amounts(1, 1))

        assert isinstance(before, NotAvailable)
        assert isinstance(after, Reserved)
        assert after.cycle_number == 2

    async def test_prolong_a_cycle_that_no_other_has_followed_yet(
        self, quotas: QuotaService, operator: Customer, wallets: Wallets, clock: StoppedClock
    ) -> None:
        await change(quotas, operator, terms(Amounts(10, 10), cycle_days=7))
        await use(quotas, wallets, operator, Amounts(10, 10))
        clock.move(timedelta(days=8))

        await change(quotas, operator, terms(Amounts(10, 10), cycle_days=30))

        assert isinstance(await use(quotas, wallets, operator, Amounts(1, 1)), NotAvailable)


class TestTheBurnOrder:
    async def test_is_the_free_quota_first_until_the_account_says_otherwise(
        self, quotas: QuotaService, town: Town, begin: Begin
    ) -> None:
        ada = await town.customer()

        async with begin() as uow:
            assert await quotas.burn_order(uow, ada.account.id) is BurnOrder.FREE_FIRST

    async def test_is_the_accounts_own_and_written_down_once(
        self, quotas: QuotaService, town: Town, begin: Begin, wallets: Wallets
    ) -> None:
        ada, bob = await town.customer(), await town.customer()
        request_id = wallets.ids.new("req")

        await quotas.set_burn_order(ada.principal, BurnOrder.WALLET_FIRST, request_id=request_id)
        await quotas.set_burn_order(ada.principal, BurnOrder.WALLET_FIRST, request_id=request_id)

        assert await quotas.burn_order_of(ada.principal) is BurnOrder.WALLET_FIRST
        assert await quotas.burn_order_of(bob.principal) is BurnOrder.FREE_FIRST
        assert await entries(begin, request_id) == [("free_quota.burn_order_changed", ada.account.id, "")]
        async with begin() as uow:
            assert (await quotas.standing(uow, ada.account.id)).burn_order is BurnOrder.WALLET_FIRST

    async def test_survives_the_first_use_and_the_first_use_survives_it(
        self, quotas: QuotaService, operator: Customer, wallets: Wallets
    ) -> None:
        await change(quotas, operator, terms(Amounts(10, 10)))
        await quotas.set_burn_order(operator.principal, BurnOrder.FREE_ONLY, request_id="req_1")
        await use(quotas, wallets, operator, Amounts(10, 10))
        await quotas.set_burn_order(operator.principal, BurnOrder.WALLET_FIRST, request_id="req_2")

        unasked = await use(quotas, wallets, operator, Amounts(1, 1))
        async with wallets.begin() as uow:
            standing = await quotas.standing(uow, operator.account.id)

        assert isinstance(unasked, NotAvailable)
        assert unasked.reason is Unavailable.WALLET_FIRST
        assert [metric.reserved for metric in standing.metrics] == [10, 10]

    async def test_is_decided_by_whoever_manages_the_accounts_billing(self, quotas: QuotaService, town: Town) -> None:
        ada = await town.customer()
        member = await town.colleague(ada.account, Role.MEMBER)

        with pytest.raises(Forbidden):
            await quotas.set_burn_order(member.principal, BurnOrder.FREE_ONLY, request_id="req_member")

        assert await quotas.burn_order_of(member.principal) is BurnOrder.FREE_FIRST


async def use(quotas: QuotaService, wallets: Wallets, who: Customer, estimate: Amounts) -> Reserved | NotAvailable:
    """One call that sets this much aside."""
    async with wallets.begin() as uow:
        return await quotas.reserve(uow, who.account.id, wallets.operation(), estimate, model=FREE_MODEL)
