"""What its owner agrees to, how an automatic top-up goes back, and when it leaves off by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from backend.tests.builders.auto_topups import Garage
from backend.tests.builders.payments import OFFER
from backend.tests.builders.wallets import rub
from billing.customers.errors import Forbidden
from billing.customers.rules import AccountId, Role, Scope
from billing.kit.errors import InvalidInput
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.auto_topups_rules import AutoTopupTerms
from billing.payments.errors import (
    AutoTopupNotFound,
    BillingContactRequired,
    PaymentMethodNotFound,
    PaymentsNotConfigured,
    RefundExceedsUnspent,
    TopupAmountNotOffered,
)
from billing.payments.ports import ReceiptOrder
from billing.payments.records import Contact, Wish
from billing.payments.rules import RefundStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]


class NeedsContact:
    """Receipts are due, and nobody is known."""

    async def order_for(
        self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, contact: Contact
    ) -> ReceiptOrder | None:
        """Refuses."""
        del uow, account_id, purpose, contact
        raise BillingContactRequired


class TestGivingBack:
    async def test_a_refund_takes_the_credit_that_it_gave_and_a_failed_one_gives_it_back(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.tick(customer)
        (charge,) = await garage.charges(customer)
        assert garage.provider is not None

        refund = await garage.refunded(charge["id"], "200")
        after = await garage.available(customer)
        assert refund.provider_refund_id is not None
        seen = await garage.provider.get_refund(refund.provider_refund_id)
        async with garage.begin() as uow:
            await garage.states.apply_refund(uow, charge["id"], replace(seen, status=RefundStatus.FAILED))

        assert after == rub("350")
        assert await garage.available(customer) == rub("550")

    async def test_more_than_is_unspent_of_it_is_refused(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.tick(customer)
        (charge,) = await garage.charges(customer)
        await garage.spend(customer, "300")

        with pytest.raises(RefundExceedsUnspent):
            await garage.refunded(charge["id"], "400")

    async def test_a_payment_whose_agreement_is_lost_is_credited_all_the_same(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        wish = Wish(customer.account.id, "auto_topup", rub("500"), return_page="/{payment_id}")

        async def nothing_else(*_: object) -> None:
            """Nobody is audited here."""

        payment = await garage.checkout.begin(wish, key=None, when_new=nothing_else)
        await garage.yookassa.pay(await garage.yookassa.only_payment_id())
        await garage.checkout.finish(payment)

        assert await garage.available(customer) == rub("500")


class TestLeavingOff:
    async def test_when_its_amount_is_on_offer_no_more(self, garage: Garage) -> None:
        customer = await garage.low()
        offer = replace(OFFER, presets=(rub("1000"),))

        await garage.but(provider=garage.provider, offer=offer).tick(customer)

        assert (await garage.standing(customer)).auto_topup.off_reason == "not_offered"
        assert [event["payload"]["reason"] for event in await garage.told(customer)] == ["not_offered"]

    async def test_when_a_receipt_is_due_and_nobody_can_be_reached(self, garage: Garage) -> None:
        customer = await garage.low()

        await garage.but(provider=garage.provider, receipts=NeedsContact()).tick(customer)

        assert (await garage.standing(customer)).auto_topup.off_reason == "contact_missing"
        assert await garage.charges(customer) == []

    async def test_when_the_account_is_closed(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.customers.close_account(customer.principal, reason="leaves", request_id="req_1")

        await garage.tick(customer)

        assert (await garage.standing(customer)).auto_topup.off_reason == "account_closed"
        assert await garage.charges(customer) == []

    async def test_but_nobody_is_told_of_a_decline_that_comes_after_its_owner_turned_it_off(
        self, garage: Garage
    ) -> None:
        customer = await garage.low()
        (method,) = await garage.methods.methods_of(customer.principal)
        await garage.yookassa.refuse_method(method.ref.id)
        for wait in (timedelta(), timedelta(hours=1)):
            garage.clock.move(wait)
            await garage.tick(customer)
        garage.clock.move(timedelta(hours=6))
        await garage.yookassa.plan("reset", "create_payment", effect="done", times=3)
        await garage.tick(customer)

        await garage.auto_topups.turn_off(customer.principal, request_id="req_1")
        await garage.heard(customer)

        agreed = (await garage.standing(customer)).auto_topup
        assert (agreed.off_reason, agreed.pace.declines) == ("turned_off", 3)
        assert await garage.told(customer) == []

    async def test_when_its_method_was_removed_after_the_job_was_given_out(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.runs.enqueue_due()
        (leased_until,) = await garage.jobs_of(customer.account.id)
        (method,) = await garage.methods.methods_of(customer.principal)
        await garage.methods.remove(customer.principal, method.id, request_id="req_1")

        await garage.runs.run(customer.account.id, leased_until)

        assert await garage.charges(customer) == []


class TestAgreeing:
    async def test_leaves_one_audit_entry_and_the_same_again_none(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()

        first = await garage.agreed(customer, method_id)
        again = await garage.agreed(customer, method_id)

        assert again == first
        assert await garage.audited(customer) == ["auto_topup.set"]

    async def test_without_consent_nothing_is_set(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        terms = AutoTopupTerms(rub("100"), rub("500"), rub("500"))

        with pytest.raises(InvalidInput) as refused:
            await garage.auto_topups.set(
                customer.principal, terms, method_id=method_id, has_consented=False, request_id="req_1"
            )

        assert refused.value.field == "consent"
        with pytest.raises(AutoTopupNotFound):
            await garage.standing(customer)

    async def test_an_amount_that_is_no_preset_is_refused(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()

        with pytest.raises(InvalidInput):
            await garage.agreed(customer, method_id, amount="700")
        with pytest.raises(TopupAmountNotOffered):
            await garage.agreed(customer, method_id, amount="50")

    async def test_somebody_else_s_method_is_refused(self, garage: Garage) -> None:
        _, method_id = await garage.driver()
        stranger, _ = await garage.driver()

        with pytest.raises(PaymentMethodNotFound):
            await garage.agreed(stranger, method_id)

    async def test_a_removed_method_is_refused(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        await garage.methods.remove(customer.principal, method_id, request_id="req_1")

        with pytest.raises(PaymentMethodNotFound):
            await garage.agreed(customer, method_id)

    async def test_where_nobody_collects_it_is_refused(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()

        with pytest.raises(PaymentsNotConfigured):
            await garage.but(provider=None).agreed(customer, method_id)

    async def test_keys_and_members_decide_nothing(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        key = replace(customer.principal, api_key_id="key_1", scopes=frozenset(Scope))
        member = await garage.town.colleague(customer.account, Role.MEMBER)
        terms = AutoTopupTerms(rub("100"), rub("500"), rub("500"))

        for principal in (key, member.principal):
            with pytest.raises(Forbidden):
                await garage.auto_topups.set(
                    principal, terms, method_id=method_id, has_consented=True, request_id="req_1"
                )
            with pytest.raises(Forbidden):
                await garage.auto_topups.turn_off(principal, request_id="req_1")

    async def test_turned_off_it_charges_nothing_and_leaves_one_audit_entry(self, garage: Garage) -> None:
        customer = await garage.low()
        garage.clock.move(timedelta(seconds=1))

        for _ in range(2):
            await garage.auto_topups.turn_off(customer.principal, request_id="req_1")

        assert await garage.tick(customer) == 0
        assert await garage.audited(customer) == ["auto_topup.set", "auto_topup.turned_off"]

    async def test_turning_off_what_was_never_on_changes_nothing(self, garage: Garage) -> None:
        customer = await garage.town.customer()

        await garage.auto_topups.turn_off(customer.principal, request_id="req_1")

        assert await garage.audited(customer) == []

    async def test_one_that_is_under_way_is_shown(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.yookassa.plan("reset", "create_payment", effect="none", times=3)

        await garage.tick(customer)

        (charge,) = await garage.charges(customer)
        standing = await garage.standing(customer)
        assert (standing.in_flight, standing.charged) == (charge["id"], rub("500"))
