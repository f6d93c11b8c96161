"""Operators put plans on offer and take them off; what the checker finds; with what nobody can be charged."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.tests.builders.customers import Customer
from backend.tests.builders.subscriptions import PlanShop, terms
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.customers.errors import Forbidden
from billing.customers.rules import OperatorRole
from billing.kit.errors import InvalidInput
from billing.kit.unit_of_work import Begin
from billing.payments.chargeable import ChargeableMethods
from billing.subscriptions.errors import PlanExists, PlanNotFound, PlanRefused

pytestmark = [pytest.mark.money, pytest.mark.slow]


@pytest.fixture
def shop(plan_shop: PlanShop) -> PlanShop:
    """Where plans are sold."""
    return plan_shop


@pytest.fixture
async def operator(shop: PlanShop) -> Customer:
    """Who decides what is sold."""
    return await shop.town.customer(operator_role=OperatorRole.FINANCE)


class TestPlansOnOffer:
    async def test_one_audit_entry_says_what_was_put_on_offer(self, shop: PlanShop, operator: Customer) -> None:
        wanted = terms(discount_percent=5)

        plan = await shop.desk.create(operator.principal, wanted, reason="spring", request_id="req_1")

        (entry,) = await shop.rows("SELECT * FROM audit_entries WHERE actor_account_id = :id", operator)
        assert (entry["action"], entry["target"], entry["reason"]) == ("plan.created", plan.id, "spring")
        assert entry["after"] == wanted.to_json()

    async def test_one_audit_entry_says_what_was_taken_off(self, shop: PlanShop, operator: Customer) -> None:
        plan = await shop.on_offer()

        await shop.desk.retire(operator.principal, plan.terms.code, reason="autumn", request_id="req_1")

        (entry,) = await shop.rows("SELECT * FROM audit_entries WHERE actor_account_id = :id", operator)
        assert (entry["action"], entry["target"]) == ("plan.retired", plan.id)
        assert plan.id in {one.id for one in await shop.desk.plans(operator.principal)}
        assert plan.id not in {one.id for one in await shop.subscriptions.offer()}

    async def test_two_of_one_code_are_not_on_offer_together(self, shop: PlanShop, operator: Customer) -> None:
        plan = await shop.on_offer()

        with pytest.raises(PlanExists):
            await shop.desk.create(operator.principal, plan.terms, reason="again", request_id="req_1")

        assert await shop.rows("SELECT * FROM audit_entries WHERE actor_account_id = :id", operator) == []

    async def test_one_that_cannot_be_meant_is_refused(self, shop: PlanShop, operator: Customer) -> None:
        with pytest.raises(PlanRefused):
            await shop.desk.create(operator.principal, terms(price=rub("0")), reason="free", request_id="req_1")

    async def test_what_is_not_on_offer_cannot_be_retired(self, shop: PlanShop, operator: Customer) -> None:
        with pytest.raises(PlanNotFound):
            await shop.desk.retire(operator.principal, "none", reason="autumn", request_id="req_1")

    async def test_a_reason_is_needed(self, shop: PlanShop, operator: Customer) -> None:
        with pytest.raises(InvalidInput):
            await shop.desk.create(operator.principal, terms(), reason=" ", request_id="req_1")

    @pytest.mark.parametrize("role", [None, OperatorRole.SUPPORT, OperatorRole.AUDITOR])
    async def test_whoever_may_not_write_changes_nothing(self, shop: PlanShop, role: OperatorRole | None) -> None:
        plan = await shop.on_offer()
        caller = await shop.town.customer(operator_role=role)

        with pytest.raises(Forbidden):
            await shop.desk.create(caller.principal, terms(), reason="mine", request_id="req_1")
        with pytest.raises(Forbidden):
            await shop.desk.retire(caller.principal, plan.terms.code, reason="mine", request_id="req_1")

    async def test_a_customer_does_not_see_retired_plans(self, shop: PlanShop) -> None:
        with pytest.raises(Forbidden):
            await shop.desk.plans((await shop.town.customer()).principal)


class TestWhatTheDatabaseRefuses:
    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE plans SET price_micros = 1 WHERE id = :plan",
            "DELETE FROM plans WHERE id = :plan",
            "UPDATE plan_grants SET ends_at = ends_at + interval '1 day' WHERE plan_id = :plan",
            "DELETE FROM plan_grants WHERE plan_id = :plan",
        ],
    )
    async def test_terms_and_paid_time_are_nobodys_to_change(self, shop: PlanShop, change: str) -> None:
        plan = await shop.on_offer()
        await shop.bought(await shop.town.customer(), plan)

        with pytest.raises(DBAPIError, match="permission denied"):
            async with shop.begin() as uow:
                await uow.connection.execute(text(change), {"plan": plan.id})


class TestTheChecker:
    @pytest.mark.parametrize(
        ("spoil", "mend", "sentence"),
        [
            (
                "UPDATE plan_grants SET ends_at = ends_at + interval '40 days' WHERE payment_id = :first",
                "UPDATE plan_grants SET ends_at = ends_at - interval '40 days' WHERE payment_id = :first",
                "overlaps",
            ),
            (
                "UPDATE plan_grants SET months = 12 WHERE payment_id = :first",
                "UPDATE plan_grants SET months = 1 WHERE payment_id = :first",
                "than it paid for",
            ),
            (
                "UPDATE payments SET purpose = 'topup' WHERE id = :first",
                "UPDATE payments SET purpose = 'subscription' WHERE id = :first",
                "nobody paid for it",
            ),
            (
                "UPDATE payments SET refunded_micros = 1 WHERE id = :first",
                "UPDATE payments SET refunded_micros = 0 WHERE id = :first",
                "the books sold",
            ),
            (
                "UPDATE plans SET included_credit_micros = 1 WHERE id = :plan",
                "UPDATE plans SET included_credit_micros = 100000000 WHERE id = :plan",
                "of credit",
            ),
            (
                "UPDATE plans SET price_micros = 1 WHERE id = :plan",
                "UPDATE plans SET price_micros = 300000000 WHERE id = :plan",
                "for a plan of",
            ),
        ],
    )
    async def test_sees_what_was_spoilt(
        self, shop: PlanShop, begin_as_owner: Begin, spoil: str, mend: str, sentence: str
    ) -> None:
        customer, plan = await shop.town.customer(), await shop.on_offer()
        first = await shop.bought(customer, plan)
        await shop.renewed_early(customer)
        values = {"first": first.payment_id, "plan": plan.id}

        for change, expected in ((spoil, True), (mend, False)):
            async with begin_as_owner() as uow:
                given = {name: value for name, value in values.items() if f":{name}" in change}
                await uow.connection.execute(text(change), given)
            found = await shop.drifts()
            assert any(sentence in drift for drift in found) == expected
            assert bool(found) == expected


class TestChargeableMethods:
    async def test_only_whoever_keeps_a_method_can_charge_it(self, shop: PlanShop) -> None:
        customer = await shop.renewing(await shop.on_offer())
        (method,) = await shop.methods.methods_of(customer.principal)
        provider = shop.till.provider
        other_shop = EndingProvider(provider, ProcessDiedError())
        other_shop.shop_id = "another"

        async with shop.begin() as uow:
            usable = [
                await ChargeableMethods(charging, shop.till.customers).usable(uow, customer.account.id, method.id)
                for charging in (provider, other_shop, None)
            ]

        assert [found is not None for found in usable] == [True, False, False]
