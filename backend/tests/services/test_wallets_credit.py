"""Credit comes in once per transfer, expires when its time is over, and wallets open once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from backend.tests.builders.wallets import RUB, Wallets, rub
from billing.kit.money import Currency
from billing.ledger.chart_of_accounts import provider_account
from billing.ledger.errors import TransferIdReused
from billing.ledger.postings import TransferKind
from billing.wallets.crediting import id_within
from billing.wallets.models import LotSource
from billing.wallets.rules import WalletId
from billing.wallets.service import Credited

pytestmark = pytest.mark.money


async def credit(
    wallets: Wallets,
    wallet: WalletId,
    amount: str,
    transfer_id: str,
    origin: str = "pay_1",
    *,
    corrects: str | None = None,
) -> Credited:
    async with wallets.begin() as uow:
        return await wallets.service.credit(
            uow,
            wallet,
            rub(amount),
            source=LotSource.TOPUP,
            transfer_id=transfer_id,
            counter_account=provider_account("yookassa"),
            origin=origin,
            corrects=corrects,
        )


class TestOpening:
    async def test_twenty_first_touches_at_once_open_one_wallet(self, wallets: Wallets) -> None:
        account = await wallets.account()

        async def touch() -> WalletId:
            async with wallets.begin() as uow:
                return await wallets.service.of_account(uow, account, RUB)

        opened = await asyncio.gather(*(touch() for _ in range(20)))

        assert len(set(opened)) == 1

    async def test_each_currency_has_a_wallet_of_its_own(self, wallets: Wallets) -> None:
        account = await wallets.account()
        async with wallets.begin() as uow:
            roubles = await wallets.service.of_account(uow, account, RUB)
            yen = await wallets.service.of_account(uow, account, Currency("JPY"))

        assert roubles != yen


class TestCrediting:
    async def test_the_same_transfer_twice_credits_once(self, wallets: Wallets) -> None:
        wallet = await wallets.opened()
        transfer = wallets.ids.new("trf")

        first = await credit(wallets, wallet, "50", transfer)
        second = await credit(wallets, wallet, "50", transfer)

        assert (first.is_new, second.is_new) == (True, False)
        assert (await wallets.balance(wallet)).paid == rub("50")

    async def test_twenty_credits_of_one_transfer_at_once_credit_once(self, wallets: Wallets) -> None:
        wallet = await wallets.opened()
        transfer = wallets.ids.new("trf")

        credited = await asyncio.gather(*(credit(wallets, wallet, "50", transfer) for _ in range(20)))

        assert sum(one.is_new for one in credited) == 1
        assert (await wallets.balance(wallet)).paid == rub("50")

    @pytest.mark.parametrize(("amount", "origin", "field"), [("51", "pay_1", "amount"), ("50", "pay_2", "origin")])
    async def test_the_same_transfer_with_other_content_is_refused_and_the_field_is_named(
        self, wallets: Wallets, amount: str, origin: str, field: str
    ) -> None:
        wallet = await wallets.opened()
        transfer = wallets.ids.new("trf")
        await credit(wallets, wallet, "50", transfer)

        with pytest.raises(TransferIdReused) as refusal:
            await credit(wallets, wallet, amount, transfer, origin)

        assert (refusal.value.transfer_id, refusal.value.field) == (transfer, field)
        assert (await wallets.balance(wallet)).paid == rub("50")

    async def test_the_same_transfer_does_not_correct_first_one_and_then_another(self, wallets: Wallets) -> None:
        wallet = await wallets.opened()
        wrong, other, mending = (wallets.ids.new("trf") for _ in range(3))
        await credit(wallets, wallet, "50", wrong)
        await credit(wallets, wallet, "50", other)
        await credit(wallets, wallet, "7", mending, corrects=id_within(wallet, wrong))

        for corrects in (None, id_within(wallet, other)):
            with pytest.raises(TransferIdReused) as refusal:
                await credit(wallets, wallet, "7", mending, corrects=corrects)

            assert (refusal.value.transfer_id, refusal.value.field) == (mending, "corrects")
        again = await credit(wallets, wallet, "7", mending, corrects=id_within(wallet, wrong))
        assert not again.is_new
        assert (await wallets.balance(wallet)).paid == rub("107")

    async def test_the_same_id_in_two_wallets_is_two_credits(self, wallets: Wallets) -> None:
        one, other = await wallets.opened(), await wallets.opened()
        transfer = wallets.ids.new("trf")

        credited = [await credit(wallets, wallet, amount, transfer) for wallet, amount in ((one, "50"), (other, "7"))]

        assert [credit.is_new for credit in credited] == [True, True]
        assert [(await wallets.balance(wallet)).paid for wallet in (one, other)] == [rub("50"), rub("7")]

    async def test_paid_and_granted_credit_stay_apart(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")

        await wallets.grant(wallet, "5")

        balance = await wallets.balance(wallet)
        assert (balance.paid, balance.granted, balance.available) == (rub("20"), rub("5"), rub("25"))


class TestExpiringCredit:
    async def test_a_balance_never_shows_expired_credit_even_before_the_job_ran(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20", expires_at=wallets.clock.now() + timedelta(days=1))

        wallets.clock.move(timedelta(days=1))

        balance = await wallets.balance(wallet)
        assert (balance.paid, balance.available, balance.lots) == (rub("0"), rub("0"), ())

    async def test_the_job_books_expired_credit_as_breakage_once(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20", expires_at=wallets.clock.now() + timedelta(days=1))
        wallets.clock.move(timedelta(days=2))

        await wallets.service.expire_credit()
        await wallets.service.expire_credit()

        async with wallets.begin() as uow:
            lines = await wallets.service.statement(uow, wallet, limit=10)
        assert [(line.kind, line.amount) for line in lines] == [
            (TransferKind.BREAKAGE, rub("-20")),
            (TransferKind.CREDIT, rub("20")),
        ]

    async def test_a_new_top_up_does_not_revive_an_old_one(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20", expires_at=wallets.clock.now() + timedelta(days=1))
        wallets.clock.move(timedelta(days=2))

        await wallets.pay_in(wallet, "7")

        assert (await wallets.balance(wallet)).available == rub("7")


class TestStatement:
    async def test_holds_and_releases_are_no_movements_for_the_customer(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        released = await wallets.hold(wallet, "5")
        settled = await wallets.hold(wallet, "5")
        async with wallets.begin() as uow:
            await wallets.service.release(uow, wallet, released, reason="provider_error")
            await wallets.service.settle(uow, wallet, settled, rub("3"))

        async with wallets.begin() as uow:
            lines = await wallets.service.statement(uow, wallet, limit=10)

        assert [line.amount for line in lines] == [rub("-3"), rub("20")]
