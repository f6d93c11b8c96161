"""Which credit is held, charged and given back: every micro accounted for, in the right order."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import NOON
from billing.kit.money import Money
from billing.ledger.chart_of_accounts import BREAKAGE, REVENUE, WalletAccount
from billing.wallets.errors import InsufficientFunds, MaxReplyCostExceeded
from billing.wallets.movements import Movement, WalletState, book
from billing.wallets.rules import (
    Lot,
    LotId,
    Piece,
    WalletId,
    available,
    plan_hold,
    plan_return,
    plan_settlement,
    require_within_reply_cost,
    spending_order,
    take,
    total,
)

SOON = NOON + timedelta(hours=1)
LATER = NOON + timedelta(days=1)

expiries = st.sampled_from([None, NOON - timedelta(microseconds=1), NOON, SOON, LATER])
lots = st.lists(
    st.tuples(st.booleans(), st.integers(0, 10**9), expiries),
    max_size=6,
).map(lambda rows: [Lot(LotId(f"lot_{number}"), *row) for number, row in enumerate(rows)])
pieces = st.lists(
    st.tuples(st.booleans(), st.integers(1, 10**9), expiries),
    max_size=6,
).map(lambda rows: [Piece(LotId(f"lot_{number}"), *row) for number, row in enumerate(rows)])


def lot(name: str, micros: int = 10, *, granted: bool = False, expires_in: timedelta | None = None) -> Lot:
    return Lot(LotId(name), granted, micros, None if expires_in is None else NOON + expires_in)


class TestSpendingOrder:
    def test_the_earliest_expiry_goes_first_and_what_never_expires_last(self) -> None:
        never, later, soon = lot("1"), lot("2", expires_in=timedelta(days=2)), lot("3", expires_in=timedelta(days=1))

        assert spending_order([never, later, soon], NOON) == [soon, later, never]

    def test_granted_goes_before_paid_where_they_expire_together(self) -> None:
        paid, granted = lot("1"), lot("2", granted=True)

        assert spending_order([paid, granted], NOON) == [granted, paid]

    def test_the_older_goes_first_where_nothing_else_decides(self) -> None:
        assert spending_order([lot("2"), lot("1")], NOON) == [lot("1"), lot("2")]

    @pytest.mark.parametrize(("microseconds", "is_spendable"), [(-1, False), (0, False), (1, True)])
    def test_the_instant_of_expiry_is_past(self, microseconds: int, is_spendable: bool) -> None:  # noqa: FBT001 - a column of the table above
        one = lot("1", expires_in=timedelta(microseconds=microseconds))

        assert bool(spending_order([one], NOON)) is is_spendable


class TestAvailable:
    @given(lots=lots, debt=st.integers(0, 10**9))
    def test_it_is_unexpired_credit_beyond_the_debt_and_never_below_zero(self, lots: list[Lot], debt: int) -> None:
        unexpired = sum(one.left_micros for one in lots if one.expires_at is None or one.expires_at > NOON)

        assert available(lots, debt, RUB, NOON) == Money(max(0, unexpired - debt), RUB)


class TestHolding:
    @given(lots=lots, debt=st.integers(0, 10**9), share=st.fractions(0, 1))
    def test_what_is_available_can_be_held_to_the_last_micro(self, lots: list[Lot], debt: int, share: Fraction) -> None:
        required = Money(int(available(lots, debt, RUB, NOON).micros * share), RUB)

        kept = plan_hold(lots, debt, required, NOON)

        left = {one.lot_id: one.left_micros for one in lots}
        assert total(kept) == required.micros
        assert all(0 < piece.micros <= left[piece.lot_id] for piece in kept)
        assert all(piece.expires_at is None or piece.expires_at > NOON for piece in kept)

    @given(lots=lots, debt=st.integers(0, 10**9), beyond=st.integers(1, 10**9))
    def test_one_micro_more_is_refused_with_numbers_that_do_not_contradict_each_other(
        self, lots: list[Lot], debt: int, beyond: int
    ) -> None:
        free = available(lots, debt, RUB, NOON)
        required = free + Money(beyond, RUB)

        with pytest.raises(InsufficientFunds) as refusal:
            plan_hold(lots, debt, required, NOON)

        assert (refusal.value.available, refusal.value.required) == (free, required)

    @given(lots=lots, micros=st.integers(0, 10**10))
    def test_pieces_come_from_the_front_and_only_the_last_lot_is_cut(self, lots: list[Lot], micros: int) -> None:
        ordered = spending_order(lots, NOON)

        taken = take(ordered, micros)

        assert [piece.lot_id for piece in taken] == [one.lot_id for one in ordered[: len(taken)]]
        assert all(piece.micros == one.left_micros for piece, one in zip(taken[:-1], ordered, strict=False))


class TestReplyCost:
    def test_the_tightest_limit_counts(self) -> None:
        with pytest.raises(MaxReplyCostExceeded) as refusal:
            require_within_reply_cost(rub("5"), (rub("10"), rub("4")))

        assert refusal.value.limit == rub("4")

    def test_a_client_cannot_widen_what_the_wallet_allows(self) -> None:
        with pytest.raises(MaxReplyCostExceeded):
            require_within_reply_cost(rub("5"), (rub("4"), rub("1000")))

    @pytest.mark.parametrize("limits", [(), (None, None), (rub("5"), None)])
    def test_at_the_limit_or_without_one_it_may_go_on(self, limits: tuple[Money | None, ...]) -> None:
        require_within_reply_cost(rub("5"), limits)


class TestSettling:
    @given(held=pieces, lots=lots, actual=st.integers(0, 10**10))
    def test_every_micro_of_hold_and_charge_is_accounted_for(
        self, held: list[Piece], lots: list[Lot], actual: int
    ) -> None:
        plan = plan_settlement(held, lots, actual, NOON)

        assert total(plan.used) + total(plan.returned) + total(plan.expired) == total(held)
        assert total(plan.used) + total(plan.taken) + plan.debt_micros == actual

    @given(held=pieces, lots=lots, actual=st.integers(0, 10**10))
    def test_debt_comes_only_after_hold_and_credit_are_used_up(
        self, held: list[Piece], lots: list[Lot], actual: int
    ) -> None:
        plan = plan_settlement(held, lots, actual, NOON)

        if plan.taken or plan.debt_micros:
            assert total(plan.used) == total(held)
        if plan.debt_micros:
            assert total(plan.taken) == sum(one.left_micros for one in spending_order(lots, NOON))

    @given(held=pieces)
    def test_credit_that_expired_while_held_is_usable_but_not_given_back(self, held: list[Piece]) -> None:
        everything = plan_settlement(held, [], total(held), NOON)
        nothing = plan_settlement(held, [], 0, NOON)

        assert (total(everything.used), everything.debt_micros) == (total(held), 0)
        assert all(piece.expires_at is None or piece.expires_at > NOON for piece in nothing.returned)
        assert all(piece.expires_at is not None and piece.expires_at <= NOON for piece in nothing.expired)


class TestBooking:
    @given(
        before=st.tuples(*(st.integers(0, 10**9),) * 4),
        change=st.tuples(*(st.integers(-(10**9), 10**9),) * 4),
        breakage=st.integers(0, 10**9),
    )
    def test_entries_sum_to_zero_and_tell_the_balances_that_the_wallet_has_afterwards(
        self, before: tuple[int, ...], change: tuple[int, ...], breakage: int
    ) -> None:
        paid, granted, held, debt = before
        wallet = WalletState(WalletId("wal_1"), RUB, paid, granted, held, debt, 41, None)
        movement = Movement(*change)
        outside = movement.paid + movement.granted + movement.held - movement.owed
        assume(outside + breakage != 0)

        entries, after = book(wallet, movement, {REVENUE: -outside - breakage, BREAKAGE: breakage})

        told = {entry.account: entry.balance_after_micros for entry in entries if entry.wallet_id}
        numbered = [entry.sequence for entry in entries if entry.wallet_id]
        assert sum(entry.amount_micros for entry in entries) == 0
        assert numbered == list(range(42, 42 + len(numbered)))
        assert after.entry_sequence == 41 + len(numbered)
        for account, balance in (
            (WalletAccount.PAID, after.paid_micros),
            (WalletAccount.GRANTED, after.granted_micros),
            (WalletAccount.HELD, after.held_micros),
            (WalletAccount.DEBT, -after.debt_micros),
        ):
            assert told.get(account, balance) == balance

    def test_nothing_to_move_books_nothing(self) -> None:
        wallet = WalletState(WalletId("wal_1"), RUB, 5, 0, 0, 0, 41, None)

        assert book(wallet, Movement(), {REVENUE: 0}) == ((), wallet)


class TestWhatGoesBack:
    OWN = (LotId("2"),)

    def test_comes_from_the_payments_own_credit_first_although_other_credit_expires_sooner(self) -> None:
        soon, own = lot("1", expires_in=timedelta(hours=1)), lot("2")

        taken = plan_return([soon, own], self.OWN, 15, NOON)

        assert [(piece.lot_id, piece.micros) for piece in taken] == [("2", 10), ("1", 5)]

    def test_is_never_credit_that_was_given(self) -> None:
        assert plan_return([lot("1", granted=True)], self.OWN, 5, NOON) == ()

    @given(lots=lots, micros=st.integers(0, 10**10))
    def test_is_all_that_was_asked_or_all_paid_credit_that_there_is(self, lots: list[Lot], micros: int) -> None:
        taken = plan_return(lots, self.OWN, micros, NOON)

        paid = sum(
            one.left_micros for one in spending_order(lots, NOON) if not one.is_granted or one.lot_id in self.OWN
        )
        assert total(taken) == min(micros, paid)
