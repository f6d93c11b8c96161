"""The checker sees when a payment's money is not in the books as it should be (G7, G17)."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.fakes.payment_provider import EndingProvider
from billing.kit.unit_of_work import Begin
from billing.ledger.invariants import Drift
from billing.payments.errors import ProviderRejected
from billing.payments.invariants import PaymentVerifier

pytestmark = [pytest.mark.money, pytest.mark.slow]


class RolledBackError(Exception):
    """What was tampered with is as before."""


async def drifts_after(begin_as_owner: Begin, subject: str, *statements: str) -> list[Drift]:
    """What the checker says about this payment or refund after somebody tampered with the database; nothing stays."""
    found: list[Drift] = []
    with pytest.raises(RolledBackError):
        async with begin_as_owner() as uow:
            await uow.connection.execute(text("SET LOCAL session_replication_role = replica"))
            for statement in statements:
                await uow.connection.execute(text(statement), {"id": subject})
            found = [drift for drift in await PaymentVerifier().drifts(uow) if drift.subject == subject]
            raise RolledBackError
    return found


class TestAPaymentAndTheBooks:
    async def test_agree_through_everything_that_can_happen(
        self, till: Till, customer: Customer, begin_as_owner: Begin
    ) -> None:
        topup = await till.paid(customer)
        await till.refunded(topup.payment_id, "100")
        await till.yookassa.refund_in_cabinet(await till.yookassa.only_payment_id())
        await till.notified(await till.yookassa.notification("refund.succeeded"))

        assert await drifts_after(begin_as_owner, topup.payment_id, "SELECT 1") == []

    @pytest.mark.parametrize(
        ("tampering", "invariant"),
        [
            ("UPDATE payments SET succeeded_at = NULL, state = 'pending' WHERE id = :id", "G7"),
            ("UPDATE payments SET amount_micros = amount_micros + 1 WHERE id = :id", "G7"),
            ("UPDATE ledger_transfers SET reference = 'other' WHERE reference = :id", "G7"),
            ("UPDATE payments SET state = 'refunded' WHERE id = :id", "G17"),
            ("UPDATE payments SET refunded_micros = 1, state = 'partially_refunded' WHERE id = :id", "G17"),
            ("UPDATE payments SET disputed_at = now(), state = 'disputed' WHERE id = :id", "G17"),
        ],
    )
    async def test_that_do_not_agree_are_a_drift(
        self, till: Till, customer: Customer, begin_as_owner: Begin, tampering: str, invariant: str
    ) -> None:
        topup = await till.paid(customer)

        found = await drifts_after(begin_as_owner, topup.payment_id, tampering)

        assert [drift.invariant for drift in found] == [invariant]

    async def test_a_refund_that_the_books_do_not_have_is_a_drift(
        self, till: Till, customer: Customer, begin_as_owner: Begin
    ) -> None:
        topup = await till.paid(customer)
        await till.refunded(topup.payment_id, "100")

        found = await drifts_after(
            begin_as_owner,
            topup.payment_id,
            "UPDATE refunds SET state = 'pending' WHERE payment_id = :id",
            "UPDATE payments SET refunded_micros = 0, state = 'succeeded' WHERE id = :id",
        )

        assert [drift.invariant for drift in found] == ["G7"]

    async def test_a_refund_that_never_began_and_that_the_provider_has_named_is_a_drift(
        self, till: Till, customer: Customer, begin_as_owner: Begin
    ) -> None:
        topup = await till.paid(customer)
        refusing = till.with_provider(EndingProvider(till.provider, ProviderRejected("no")))
        refund = await refusing.refunded(topup.payment_id, "100")

        before = await drifts_after(begin_as_owner, refund.id, "SELECT 1")
        found = await drifts_after(
            begin_as_owner, refund.id, "UPDATE refunds SET provider_refund_id = 'there' WHERE id = :id"
        )

        assert before == []
        assert [drift.invariant for drift in found] == ["G7"]


@pytest.fixture
async def customer(till: Till) -> Customer:
    """Somebody who pays."""
    return await till.town.customer()
