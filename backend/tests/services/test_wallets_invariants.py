"""The checker finds counters of caps that are not what their holds say."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from backend.tests.builders.limits import Bounded, bounded
from backend.tests.builders.wallets import Wallets
from billing.kit.unit_of_work import Begin

pytestmark = pytest.mark.money


class TestCounters:
    @pytest.mark.parametrize(
        ("broken", "mended"),
        [
            ("spent_micros = spent_micros + 1", "spent_micros = spent_micros - 1"),
            ("reserved_micros = 0", "reserved_micros = 3000000"),
        ],
    )
    async def test_a_counter_that_was_tampered_with_is_found(
        self, wallets: Wallets, snapshot: Begin, begin_as_owner: Begin, broken: str, mended: str
    ) -> None:
        one = await _used(wallets)
        await _set(begin_as_owner, one, broken)

        drifts = await wallets.drifts(snapshot)

        await _set(begin_as_owner, one, mended)
        assert [(drift.invariant, drift.subject) for drift in drifts] == [("G3", one.wallet_id)]

    async def test_a_hold_that_counts_nowhere_is_found(
        self, wallets: Wallets, snapshot: Begin, begin_as_owner: Begin
    ) -> None:
        one = await _used(wallets)
        await _set(begin_as_owner, one, "ends_at = ends_at - interval '12 hours'")

        drifts = await wallets.drifts(snapshot)

        await _set(begin_as_owner, one, "ends_at = ends_at + interval '12 hours'")
        assert {drift.invariant for drift in drifts} == {"G3"}
        assert any("counts in no day" in drift.sentence for drift in drifts)

    async def test_days_that_overlap_are_found(self, wallets: Wallets, snapshot: Begin, begin_as_owner: Begin) -> None:
        one = await _used(wallets)
        early = (
            "INSERT INTO spending_periods SELECT wallet_id, scope, subject, starts_at - interval '1 day',"
            " ends_at - interval '12 hours', 0, 0 FROM spending_periods WHERE wallet_id = :wallet"
        )
        await _run(begin_as_owner, one, early)

        drifts = await wallets.drifts(snapshot)

        earliest = "(SELECT min(starts_at) FROM spending_periods WHERE wallet_id = :wallet)"
        await _run(
            begin_as_owner,
            one,
            f"DELETE FROM spending_periods WHERE wallet_id = :wallet AND starts_at = {earliest}",  # noqa: S608 - a constant of this test
        )
        assert [drift.invariant for drift in drifts] == ["G19"]


async def _used(wallets: Wallets) -> Bounded:
    """A wallet that has spent four roubles and reserved three of its ten of the day."""
    one = await bounded(wallets)
    await one.limit(daily="10")
    await one.spend("4")
    await one.hold("3")
    return one


async def _set(begin_as_owner: Begin, one: Bounded, change: str) -> None:
    await _run(begin_as_owner, one, f"UPDATE spending_periods SET {change} WHERE wallet_id = :wallet")  # noqa: S608 - a constant of this test


async def _run(begin_as_owner: Begin, one: Bounded, statement: str) -> None:
    async with begin_as_owner() as uow:
        await uow.connection.execute(text(statement), {"wallet": one.wallet_id})
