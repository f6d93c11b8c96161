"""The books answer for any past moment, and each moment belongs to one side of the answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Town
from backend.tests.builders.wallets import Wallets, rub
from billing.admin.books_desk import BooksDesk
from billing.customers.rules import OperatorRole
from billing.kit.errors import InvalidInput
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin
from billing.ledger.chart_of_accounts import REVENUE, SystemAccount, WalletAccount
from billing.ledger.errors import LedgerAccountUnknown
from billing.ledger.service import LedgerService
from billing.wallets.rules import WalletId

pytestmark = pytest.mark.money

PAID, GRANTED, HELD, DEBT = WalletAccount.PAID, WalletAccount.GRANTED, WalletAccount.HELD, WalletAccount.DEBT
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


async def moments(begin: Begin, wallet: WalletId) -> list[datetime]:
    """When each of the wallet's transfers was recorded, in order."""
    async with begin() as uow:
        rows = await uow.connection.scalars(
            text(
                "SELECT DISTINCT recorded_at FROM ledger_transfers JOIN ledger_entries ON transfer_id = id"
                " WHERE wallet_id = :wallet ORDER BY recorded_at"
            ),
            {"wallet": wallet},
        )
        return list(rows)


async def stood(begin: Begin, wallet: WalletId, at: datetime) -> dict[WalletAccount, Money]:
    async with begin() as uow:
        return dict(await LedgerService().balances_at(uow, wallet, at))


async def a_history(wallets: Wallets) -> WalletId:
    """Ten paid, two granted, three held, fourteen charged."""
    wallet = await wallets.with_paid("10")
    await wallets.grant(wallet, "2")
    operation = await wallets.hold(wallet, "3")
    async with wallets.begin() as uow:
        await wallets.service.settle(uow, wallet, operation, rub("14"))
    return wallet


class TestAWalletInThePast:
    async def test_every_moment_between_two_transfers_shows_what_stood_then(
        self, wallets: Wallets, begin: Begin
    ) -> None:
        wallet = await a_history(wallets)
        recorded = await moments(begin, wallet)

        seen = [await stood(begin, wallet, at + MICROSECOND) for at in recorded]

        assert seen == [
            {PAID: rub("10")},
            {PAID: rub("10"), GRANTED: rub("2")},
            {PAID: rub("9"), GRANTED: rub("0"), HELD: rub("3")},
            {PAID: rub("0"), GRANTED: rub("0"), HELD: rub("0"), DEBT: rub("-2")},
        ]

    async def test_a_transfer_does_not_count_at_its_own_moment(self, wallets: Wallets, begin: Begin) -> None:
        wallet = await a_history(wallets)
        recorded = await moments(begin, wallet)

        assert await stood(begin, wallet, recorded[0]) == {}
        assert await stood(begin, wallet, recorded[1]) == {PAID: rub("10")}

    async def test_before_anything_happened_and_in_unknown_wallets_nothing_stood(
        self, wallets: Wallets, begin: Begin
    ) -> None:
        wallet = await a_history(wallets)

        assert await stood(begin, wallet, LONG_AGO) == {}
        assert await stood(begin, WalletId("wal_unknown"), datetime.now(UTC)) == {}

    async def test_a_long_history_is_found_by_halving_at_every_place(self, wallets: Wallets, begin: Begin) -> None:
        wallet = await wallets.opened()
        for _ in range(13):
            await wallets.pay_in(wallet, "1")
        recorded = await moments(begin, wallet)

        seen = [(await stood(begin, wallet, at + MICROSECOND))[PAID] for at in recorded]

        assert seen == [rub(str(number)) for number in range(1, 14)]


class TestASystemAccountInThePast:
    async def test_it_is_the_sum_of_what_was_recorded_before(self, wallets: Wallets, begin: Begin) -> None:
        wallet = await a_history(wallets)
        charged_at = (await moments(begin, wallet))[-1]

        async with begin() as uow:
            before = dict(self._by_currency(await LedgerService().system_balances_at(uow, REVENUE, charged_at)))
            after = dict(
                self._by_currency(await LedgerService().system_balances_at(uow, REVENUE, charged_at + MICROSECOND))
            )

        assert after["RUB"] - before.get("RUB", 0) == rub("14").micros

    async def test_an_account_that_the_chart_does_not_have_is_refused(self, begin: Begin) -> None:
        with pytest.raises(LedgerAccountUnknown):
            async with begin() as uow:
                await LedgerService().system_balances_at(uow, SystemAccount("pocket"), LONG_AGO)

    @staticmethod
    def _by_currency(balances: tuple[Money, ...]) -> list[tuple[str, int]]:
        return [(balance.currency, balance.micros) for balance in balances]


class TestAMomentWithoutATimeZone:
    """It is another moment for each reader, so the books answer for none."""

    @pytest.mark.parametrize("question", ["wallet_at", "account_at"])
    async def test_is_refused(self, question: str, wallets: Wallets, begin: Begin, town: Town) -> None:
        auditor = await town.customer(operator_role=OperatorRole.AUDITOR)
        subject = REVENUE if question == "account_at" else await wallets.with_paid("10")
        asked = getattr(BooksDesk(begin=begin, ledger=LedgerService()), question)

        with pytest.raises(InvalidInput, match="time zone") as refusal:
            await asked(auditor.principal, subject, LONG_AGO.replace(tzinfo=None))

        assert refusal.value.field == "at"
        await asked(auditor.principal, subject, LONG_AGO)
