"""What is paid with is kept when its owner agreed and the provider has saved it, and forgotten when they say so."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backend.tests.builders.auto_topups import Garage
from backend.tests.builders.wallets import rub
from billing.customers.errors import Forbidden
from billing.customers.rules import Role
from billing.payments import repository
from billing.payments.errors import PaymentMethodNotFound
from billing.payments.methods import shown_title
from billing.payments.ports import ProviderMethod
from billing.payments.rules import ProviderMethodId

pytestmark = [pytest.mark.money, pytest.mark.slow]


class TestSaving:
    async def test_with_consent_the_final_payment_s_method_is_kept(self, garage: Garage) -> None:
        customer = await garage.town.customer()

        payment_id = await garage.paid_with_consent(customer)

        (method,) = await garage.methods.methods_of(customer.principal)
        (payment,) = await garage.yookassa.payments()
        assert (method.ref.id, method.title) == (payment["payment_method"]["id"], "Bank card *4444")
        assert method.consent_at == (await garage.row(payment_id))["created_at"]

    async def test_without_consent_nothing_is_kept_and_the_provider_is_not_asked_to(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        topup = await garage.topups.start(customer.principal, amount=rub("500"), idempotency_key="k")
        await garage.yookassa.pay(await garage.yookassa.only_payment_id())

        await garage.topups.reconcile(customer.principal, topup.payment_id)

        (call,) = await garage.yookassa.calls("create_payment")
        assert await garage.methods.methods_of(customer.principal) == ()
        assert "save_payment_method" not in call["body"]

    async def test_what_the_provider_says_it_saved_without_consent_is_not_kept(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        topup = await garage.topups.start(customer.principal, amount=rub("500"), idempotency_key="k")
        saved = ProviderMethod(ProviderMethodId("card-1"), is_saved=True, title="Bank card *4444")

        async with garage.begin() as uow:
            payment = await repository.find(uow, topup.payment_id)
            assert payment is not None
            await garage.methods.kept(uow, payment, saved)

        assert await garage.methods.methods_of(customer.principal) == ()

    async def test_a_payment_that_is_not_over_has_saved_nothing_yet(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        topup = await garage.topups.start(customer.principal, amount=rub("500"), saves_method=True, idempotency_key="k")

        await garage.topups.reconcile(customer.principal, topup.payment_id)

        assert await garage.methods.methods_of(customer.principal) == ()

    async def test_a_declined_payment_saves_nothing(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        topup = await garage.topups.start(customer.principal, amount=rub("500"), saves_method=True, idempotency_key="k")
        await garage.yookassa.decline(await garage.yookassa.only_payment_id())

        await garage.topups.reconcile(customer.principal, topup.payment_id)

        assert await garage.methods.methods_of(customer.principal) == ()

    async def test_the_newest_comes_first(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        await garage.paid_with_consent(customer)
        garage.clock.move(timedelta(minutes=1))
        newer = await garage.paid_with_consent(customer, "1000")

        methods = await garage.methods.methods_of(customer.principal)

        newest = (await garage.row(newer))["created_at"]
        assert [method.consent_at for method in methods] == [newest, newest - timedelta(minutes=1)]


class TestRemoving:
    async def test_takes_it_off_the_list_with_one_audit_entry(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()

        for _ in range(2):
            await garage.methods.remove(customer.principal, method_id, request_id="req_1")

        assert await garage.methods.methods_of(customer.principal) == ()
        assert await garage.audited(customer) == ["payment_method.removed"]

    async def test_an_old_payment_that_is_heard_of_again_does_not_bring_it_back(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        payment_id = await garage.paid_with_consent(customer)
        (method,) = await garage.methods.methods_of(customer.principal)
        garage.clock.move(timedelta(minutes=1))
        await garage.methods.remove(customer.principal, method.id, request_id="req_1")

        async with garage.begin() as uow:
            payment = await repository.find(uow, payment_id)
            assert payment is not None
            await garage.methods.kept(uow, payment, ProviderMethod(method.ref.id, is_saved=True, title=method.title))

        assert await garage.methods.methods_of(customer.principal) == ()

    async def test_nor_does_a_consent_from_before_the_removal_that_is_heard_of_late(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        await garage.paid_with_consent(customer)
        (method,) = await garage.methods.methods_of(customer.principal)
        garage.clock.move(timedelta(minutes=1))
        earlier = await garage.topups.start(
            customer.principal, amount=rub("1000"), saves_method=True, idempotency_key="k2"
        )
        garage.clock.move(timedelta(minutes=1))
        await garage.methods.remove(customer.principal, method.id, request_id="req_1")

        async with garage.begin() as uow:
            payment = await repository.find(uow, earlier.payment_id)
            assert payment is not None
            await garage.methods.kept(uow, payment, ProviderMethod(method.ref.id, is_saved=True, title=method.title))

        assert await garage.methods.methods_of(customer.principal) == ()

    async def test_a_new_consent_does(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        await garage.paid_with_consent(customer)
        (method,) = await garage.methods.methods_of(customer.principal)
        await garage.methods.remove(customer.principal, method.id, request_id="req_1")
        garage.clock.move(timedelta(minutes=1))
        later = await garage.topups.start(
            customer.principal, amount=rub("1000"), saves_method=True, idempotency_key="k2"
        )

        async with garage.begin() as uow:
            payment = await repository.find(uow, later.payment_id)
            assert payment is not None
            await garage.methods.kept(uow, payment, ProviderMethod(method.ref.id, is_saved=True, title="Card *1"))

        (again,) = await garage.methods.methods_of(customer.principal)
        assert (again.id, again.title, again.consent_at) == (method.id, "Card *1", payment.created_at)

    async def test_turns_off_the_automatic_top_up_that_pays_with_it(self, garage: Garage) -> None:
        customer = await garage.low()
        (method,) = await garage.methods.methods_of(customer.principal)

        await garage.methods.remove(customer.principal, method.id, request_id="req_1")

        assert (await garage.standing(customer)).auto_topup.off_reason == "method_removed"
        assert await garage.tick(customer) == 0

    async def test_is_for_those_who_manage_billing(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        member = await garage.town.colleague(customer.account, Role.MEMBER)

        with pytest.raises(Forbidden):
            await garage.methods.remove(member.principal, method_id, request_id="req_1")

        assert len(await garage.methods.methods_of(member.principal)) == 1


class TestTenancy:
    async def test_nobody_sees_or_removes_what_others_have_saved(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        stranger = await garage.town.customer()

        with pytest.raises(PaymentMethodNotFound):
            await garage.methods.remove(stranger.principal, method_id, request_id="req_1")

        assert await garage.methods.methods_of(stranger.principal) == ()
        assert len(await garage.methods.methods_of(customer.principal)) == 1

    async def test_a_method_never_moves_into_another_account(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        (method,) = await garage.methods.methods_of(customer.principal)
        garage.clock.move(timedelta(minutes=1))
        thief = await garage.town.customer()
        topup = await garage.topups.start(thief.principal, amount=rub("500"), saves_method=True, idempotency_key="k")

        async with garage.begin() as uow:
            payment = await repository.find(uow, topup.payment_id)
            assert payment is not None
            await garage.methods.kept(uow, payment, ProviderMethod(method.ref.id, is_saved=True, title="Mine"))

        assert await garage.methods.methods_of(thief.principal) == ()
        assert await garage.methods.methods_of(customer.principal) == (method,)
        assert method.id == method_id


class TestTitles:
    @pytest.mark.parametrize(
        ("theirs", "ours"),
        [
            ("Bank card *4444", "Bank card *4444"),
            ("  Card\u202e*1\n ", "Card*1"),
            ("", "Saved method"),
            ("\x00", "Saved method"),
            ("x" * 500, "x" * 64),
        ],
    )
    def test_are_made_harmless(self, theirs: str, ours: str) -> None:
        assert shown_title(theirs) == ours
