"""The database itself refuses what the ledger must never hold."""

from __future__ import annotations

import pytest
from psycopg.errors import UniqueViolation
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from backend.tests.builders.owner import owner_engine
from backend.tests.builders.wallets import RUB, Wallets, rub
from billing.kit.unit_of_work import Begin
from billing.ledger.chart_of_accounts import ADJUSTMENTS, REVENUE
from billing.ledger.errors import TransferIdReused
from billing.ledger.invariants import LedgerVerifier
from billing.ledger.postings import Entry, Transfer, TransferKind
from billing.ledger.service import LedgerService

pytestmark = pytest.mark.money

_ENTRY = (
    "INSERT INTO ledger_entries (transfer_id, position, account, amount_micros, currency)"
    " VALUES (:transfer, :position, 'revenue', :amount, 'RUB')"
)
_TRANSFER = (
    "INSERT INTO ledger_transfers (id, kind, occurred_at, reference, details) VALUES (:id, 'charge', now(), 'x', '{}')"
)


def adjustment(wallets: Wallets, transfer_id: str, amount: int = 5) -> Transfer:
    return Transfer(
        transfer_id=transfer_id,
        kind=TransferKind.CHARGE,
        occurred_at=wallets.clock.now(),
        reference="opr_1",
        entries=(Entry(REVENUE, amount, RUB), Entry(ADJUSTMENTS, -amount, RUB)),
    )


class TestAppendOnly:
    @pytest.mark.parametrize("table", ["ledger_transfers", "ledger_entries"])
    @pytest.mark.parametrize("statement", ["UPDATE {} SET currency = 'EUR'", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
    async def test_the_application_may_not_change_the_books(self, begin: Begin, table: str, statement: str) -> None:
        statement = (
            statement.replace("currency = 'EUR'", "reference = 'y'") if table.endswith("transfers") else statement
        )

        with pytest.raises(DBAPIError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(text(statement.format(table)))

    @pytest.mark.parametrize(
        "statement", ["UPDATE ledger_entries SET currency = 'EUR'", "DELETE FROM ledger_transfers"]
    )
    async def test_a_trigger_refuses_even_the_owner(self, database_url: URL, statement: str) -> None:
        engine = owner_engine(database_url)

        with pytest.raises(DBAPIError, match="append-only"):
            async with engine.begin() as connection:
                await connection.execute(text(statement))

        await engine.dispose()


class TestZeroSum:
    async def test_a_transfer_that_does_not_sum_to_zero_cannot_be_committed(self, wallets: Wallets) -> None:
        transfer = wallets.ids.new("trf")

        with pytest.raises(DBAPIError, match="does not sum to zero in RUB"):
            async with wallets.begin() as uow:
                await uow.connection.execute(text(_TRANSFER), {"id": transfer})
                for position, amount in enumerate((5, -4)):
                    values = {"transfer": transfer, "position": position, "amount": amount}
                    await uow.connection.execute(text(_ENTRY), values)

    async def test_a_transfer_without_entries_cannot_be_committed(self, wallets: Wallets) -> None:
        with pytest.raises(DBAPIError, match="fewer than two entries"):
            async with wallets.begin() as uow:
                await uow.connection.execute(text(_TRANSFER), {"id": wallets.ids.new("trf")})

    async def test_an_entry_cannot_join_a_transfer_later(self, wallets: Wallets) -> None:
        transfer = wallets.ids.new("trf")
        async with wallets.begin() as uow:
            await LedgerService().post(uow, adjustment(wallets, transfer))

        with pytest.raises(DBAPIError, match="does not sum to zero"):
            async with wallets.begin() as uow:
                values = {"transfer": transfer, "position": 7, "amount": 1}
                await uow.connection.execute(text(_ENTRY), values)

    def test_an_unbalanced_transfer_cannot_even_be_built(self, wallets: Wallets) -> None:
        with pytest.raises(AssertionError, match="do not sum to zero"):
            Transfer(
                transfer_id="trf_1",
                kind=TransferKind.CHARGE,
                occurred_at=wallets.clock.now(),
                reference="opr_1",
                entries=(Entry(REVENUE, 5, RUB), Entry(ADJUSTMENTS, -4, RUB)),
            )


class TestPostingTwice:
    async def test_the_same_content_changes_nothing(self, wallets: Wallets) -> None:
        transfer = adjustment(wallets, wallets.ids.new("trf"))

        async with wallets.begin() as uow:
            posted = [await LedgerService().post(uow, transfer) for _ in range(2)]

        assert posted == [True, False]

    async def test_other_content_is_refused_and_the_field_is_named(self, wallets: Wallets) -> None:
        transfer_id = wallets.ids.new("trf")
        async with wallets.begin() as uow:
            await LedgerService().post(uow, adjustment(wallets, transfer_id))

        with pytest.raises(TransferIdReused) as refusal:
            async with wallets.begin() as uow:
                await LedgerService().post(uow, adjustment(wallets, transfer_id, amount=6))

        assert refusal.value.field == "entries"

    @pytest.mark.parametrize("may_wait", [True, False])
    async def test_what_was_said_to_be_new_is_refused_whatever_it_says(
        self, wallets: Wallets, *, may_wait: bool
    ) -> None:
        transfer = adjustment(wallets, wallets.ids.new("trf"))
        async with wallets.begin() as uow:
            await LedgerService().post_new(uow, transfer)

        with pytest.raises(UniqueViolation):
            async with wallets.begin() as uow:
                uow.writes_may_wait = may_wait
                await LedgerService().post_new(uow, transfer)


class TestFloors:
    async def test_a_balance_below_zero_is_refused_by_the_database(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("1")

        with pytest.raises(DBAPIError, match="ck_wallets_floors"):
            async with wallets.begin() as uow:
                await uow.connection.execute(
                    text("UPDATE wallets SET paid_micros = -1 WHERE id = :wallet"), {"wallet": wallet}
                )


class TestVerifying:
    async def test_a_balance_that_was_tampered_with_is_found(self, wallets: Wallets, snapshot: Begin) -> None:
        wallet = await wallets.with_paid("1")
        await self._set_paid(wallets, wallet, rub("2").micros)

        drifts = await wallets.drifts(snapshot)

        await self._set_paid(wallets, wallet, rub("1").micros)
        assert [(drift.invariant, drift.subject) for drift in drifts if drift.subject == wallet] == [("G1", wallet)]

    async def test_a_whole_ledger_has_no_drift(self, wallets: Wallets, snapshot: Begin) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "4")
        async with wallets.begin() as uow:
            await wallets.service.settle(uow, wallet, operation, rub("5"))

        async with snapshot() as view:
            assert await LedgerVerifier().drifts(view) == ()

    @staticmethod
    async def _set_paid(wallets: Wallets, wallet: str, micros: int) -> None:
        async with wallets.begin() as uow:
            await uow.connection.execute(
                text("UPDATE wallets SET paid_micros = :micros WHERE id = :wallet"),
                {"wallet": wallet, "micros": micros},
            )

    def test_every_test_that_moves_money_ends_with_the_checker(self, request: pytest.FixtureRequest) -> None:
        assert request.node.fixturenames[0] == "ledger_is_whole"
