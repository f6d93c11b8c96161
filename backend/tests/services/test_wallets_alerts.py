"""An account is told once when a cap is nearly or wholly spent, and when its balance falls low."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from backend.tests.builders.limits import Bounded, bounded
from backend.tests.builders.wallets import Wallets, rub
from billing.kit.errors import InvalidInput
from billing.kit.unit_of_work import Begin
from billing.wallets.alerts import BillingEvent

pytestmark = pytest.mark.money


class UndoneError(Exception):
    """Whatever undoes a transaction."""


async def percents(one: Bounded) -> list[object]:
    return [event.payload["percent"] for event in await one.told()]


class TestCaps:
    async def test_eighty_and_a_hundred_percent_are_told_once_each(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        told = []
        for amount in ("7.999999", "0.000001", "1", "1"):
            await one.spend(amount)
            told.append(await percents(one))

        assert told == [[], [80], [80], [80, 100]]

    async def test_one_charge_can_cross_both(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")

        await one.spend("10")

        assert await percents(one) == [80, 100]

    async def test_it_says_which_cap_and_how_much(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(monthly="10")

        await one.spend("9")

        (event,) = await one.told()
        assert (event.kind, event.subject) == ("wallet.cap_threshold", "")
        assert event.payload == {
            "scope": "account",
            "per": "month",
            "percent": 80,
            "cap": "10.00",
            "spent": "9.00",
            "currency": "RUB",
            "starts_at": "2026-03-01T00:00:00+00:00",
            "resets_at": "2026-04-01T00:00:00+00:00",
        }

    async def test_what_is_only_reserved_is_not_told(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")

        await one.release(await one.hold("10"))

        assert await one.told() == []

    async def test_a_repeated_settlement_tells_nothing_more(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        operation = await one.hold("9")

        for _ in range(2):
            await one.settle(operation, "9")

        assert await percents(one) == [80]

    async def test_a_new_period_arms_it_again(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        await one.spend("9")
        wallets.clock.move(timedelta(days=1))

        await one.spend("9")

        assert await percents(one) == [80, 80]

    async def test_a_lowered_cap_tells_what_is_crossed_by_it_and_again_nothing(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="100")
        await one.spend("9")

        for cap in ("10", "100", "10"):
            await one.limit(daily=cap)

        assert await percents(one) == [80]

    async def test_a_late_charge_is_told(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        operation = await one.hold("9")
        wallets.clock.move(timedelta(hours=1))
        await wallets.service.sweep()

        await one.settle(operation, "9")

        assert await percents(one) == [80]

    async def test_a_charge_that_is_undone_was_never_told(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        operation = await one.hold("9")

        with pytest.raises(UndoneError):
            async with wallets.begin() as uow:
                await wallets.service.settle(uow, one.wallet_id, operation, rub("9"))
                raise UndoneError

        assert await one.told() == []
        await one.settle(operation, "9")
        assert await percents(one) == [80]


class TestLowBalance:
    async def test_it_is_told_when_the_balance_falls_below_and_not_again(self, wallets: Wallets) -> None:
        one = await bounded(wallets, "100")
        await one.limit(low="50")
        await one.spend("50")
        assert await one.told() == []

        await one.spend("0.01")
        await one.spend("20")

        (event,) = await one.told()
        assert (event.kind, event.payload) == (
            "wallet.low_balance",
            {"threshold": "50.00", "balance": "49.99", "currency": "RUB"},
        )

    async def test_credit_arms_it_again(self, wallets: Wallets) -> None:
        one = await bounded(wallets, "100")
        await one.limit(low="50")
        await one.spend("60")
        await wallets.pay_in(one.wallet_id, "20")

        await one.spend("20")

        assert len(await one.told()) == 2

    async def test_a_hold_alone_does_not_lower_the_balance(self, wallets: Wallets) -> None:
        one = await bounded(wallets, "100")
        await one.limit(low="50")

        await one.release(await one.hold("90"))

        assert await one.told() == []

    async def test_credit_that_expires_lowers_it(self, wallets: Wallets) -> None:
        one = await bounded(wallets, "100", expires_at=wallets.clock.now() + timedelta(days=1))
        await one.limit(low="50")
        wallets.clock.move(timedelta(days=1))

        await wallets.service.expire_credit()
        await wallets.service.expire_credit()

        assert [event.payload["balance"] for event in await one.told()] == ["0.00"]

    async def test_a_threshold_above_the_balance_is_told_when_it_is_set(self, wallets: Wallets) -> None:
        one = await bounded(wallets, "100")

        for low in ("150", "160", "150"):
            await one.limit(low=low)

        assert [event.payload["threshold"] for event in await one.told()] == ["150.00"]


class TestReading:
    async def test_pages_go_from_the_newest_to_the_oldest_and_end(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10", monthly="30")
        for _ in range(3):
            await one.spend("10")
            wallets.clock.move(timedelta(days=1))

        seen: list[BillingEvent] = []
        cursor = None
        for _ in range(5):
            page = await one.desk.events_of(one.owner, cursor=cursor, limit=2)
            seen += page.rows
            cursor = page.next_cursor
            if cursor is None:
                break

        assert len(seen) == len({event.event_id for event in seen}) == 8
        assert [event.event_id for event in seen] == sorted((event.event_id for event in seen), reverse=True)

    async def test_nobody_reads_what_others_were_told(self, wallets: Wallets) -> None:
        one, other = await bounded(wallets), await bounded(wallets)
        await one.limit(daily="10")
        await one.spend("10")

        assert await other.told() == []

    async def test_a_cursor_of_nobody_is_refused(self, wallets: Wallets) -> None:
        one = await bounded(wallets)

        with pytest.raises(InvalidInput):
            await one.desk.events_of(one.owner, cursor="!", limit=2)

    @pytest.mark.parametrize("statement", ["UPDATE billing_events SET subject = ''", "DELETE FROM billing_events"])
    async def test_what_was_told_cannot_be_taken_back(self, begin: Begin, statement: str) -> None:
        with pytest.raises(DBAPIError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(text(statement))
