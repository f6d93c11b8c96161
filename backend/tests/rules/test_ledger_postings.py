"""What cannot be booked cannot be built."""

from __future__ import annotations

import pytest

from backend.tests.builders.wallets import RUB
from backend.tests.fakes.clock import NOON
from billing.kit.money import Currency
from billing.ledger.chart_of_accounts import (
    ADJUSTMENTS,
    CHART,
    REVENUE,
    SystemAccount,
    WalletAccount,
    is_system_account,
    provider_account,
)
from billing.ledger.postings import Entry, Transfer, TransferKind

JPY = Currency("JPY")


def transfer(*entries: Entry) -> Transfer:
    return Transfer("trf_1", TransferKind.CHARGE, NOON, "opr_1", entries)


class TestEntries:
    def test_an_entry_on_a_wallet_carries_wallet_balance_and_number(self) -> None:
        with pytest.raises(AssertionError, match="carries wallet, balance and sequence"):
            Entry(WalletAccount.PAID, 5, RUB, "wal_1", 5)

    def test_a_system_account_keeps_no_running_balance(self) -> None:
        with pytest.raises(AssertionError, match="no running balance"):
            Entry(REVENUE, 5, RUB, None, 5, None)

    @pytest.mark.parametrize("name", ["", "revenues", "provider:", "wallet.paid", "provider"])
    def test_an_account_that_is_not_in_the_chart_takes_no_money(self, name: str) -> None:
        with pytest.raises(AssertionError, match="not in the chart of accounts"):
            Entry(SystemAccount(name), 5, RUB)

    def test_an_entry_of_nothing_is_no_entry(self) -> None:
        with pytest.raises(AssertionError, match="moves something"):
            Entry(REVENUE, 0, RUB)


class TestTransfers:
    def test_money_moves_in_pairs(self) -> None:
        with pytest.raises(AssertionError, match="in pairs"):
            transfer(Entry(REVENUE, 5, RUB))

    def test_a_surplus_of_one_currency_is_not_made_up_by_another(self) -> None:
        with pytest.raises(AssertionError, match="do not sum to zero"):
            transfer(Entry(REVENUE, 5, RUB), Entry(ADJUSTMENTS, -5, JPY))

    def test_two_currencies_can_move_in_one_transfer_each_to_zero(self) -> None:
        built = transfer(
            Entry(REVENUE, 5, RUB), Entry(ADJUSTMENTS, -5, RUB), Entry(REVENUE, 7, JPY), Entry(ADJUSTMENTS, -7, JPY)
        )

        assert len(built.entries) == 4


class TestChart:
    def test_every_provider_has_a_clearing_account(self) -> None:
        assert is_system_account(provider_account("yookassa"))

    def test_every_account_is_in_the_chart_once(self) -> None:
        names = [line.name for line in CHART]

        assert len(set(names)) == len(names)
        assert set(WalletAccount) <= set(names)
