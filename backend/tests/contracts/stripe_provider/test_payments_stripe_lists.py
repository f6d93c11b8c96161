"""Long lists at Stripe, and what stands in them that is none of ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from backend.tests.builders.stripe import SECRET_KEY, SimulatedStripe
from billing.payments.adapters.stripe import StripeProvider
from billing.payments.ports import PaymentOrder, ProviderPayment
from testkit.loopback import NO_TLS

_ANSWER_BYTES_MAX = 1024 * 1024
_MANY = 100


async def begun(backstage: SimulatedStripe, *, metadata: dict[str, str]) -> None:
    """Somebody begins a session at the account's own API."""
    form = {
        "mode": "payment",
        "success_url": "https://elsewhere.example/",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "100",
        "line_items[0][price_data][product_data][name]": "A thing",
        **{f"metadata[{name}]": value for name, value in metadata.items()},
    }
    headers = {"Authorization": f"Bearer {SECRET_KEY}"}
    async with httpx.AsyncClient(verify=NO_TLS, base_url=backstage.url, headers=headers, trust_env=False) as client:
        (await client.post("/v1/checkout/sessions", data=form)).raise_for_status()


async def listed(provider: StripeProvider, backstage: SimulatedStripe) -> list[ProviderPayment]:
    """What began in this test."""
    now = datetime.fromisoformat((await backstage.control.get("clock")).json()["now"]).astimezone(UTC)
    found = provider.list_payments(since=now - timedelta(hours=1), until=now + timedelta(hours=1))
    return [one async for one in found if one.id not in backstage.before]


class TestAList:
    async def test_is_read_to_its_end_however_much_its_objects_hold(
        self, provider: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        metadata = {f"note_{number}": "x" * 500 for number in range(30)}
        for _ in range(_MANY):
            await begun(backstage, metadata=metadata)

        found = await listed(provider, backstage)

        assert len(found) == _MANY
        assert _MANY * sum(map(len, metadata.values())) > _ANSWER_BYTES_MAX

    @pytest.mark.parametrize("mode", ["setup", "subscription"])
    async def test_passes_over_sessions_that_are_no_payments(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, mode: str
    ) -> None:
        ours = await provider.create_payment(order)
        await backstage.post("sessions", {"mode": mode})

        found = await listed(provider, backstage)

        assert [one.id for one in found] == [ours.id]


class TestADispute:
    async def test_that_cannot_be_read_leaves_its_payment_in_the_list(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        ours = await provider.create_payment(order)
        await backstage.pay(ours.id)
        await backstage.open_dispute(ours.id)
        await backstage.go_wrong("server_error", "list_disputes", times=3)

        (found,) = await listed(provider, backstage)

        assert (found.id, found.is_disputed) == (ours.id, True)

    @pytest.mark.parametrize(("is_won", "is_disputed"), [(True, False), (False, True)])
    async def test_marks_its_payment_until_it_is_won(
        self,
        provider: StripeProvider,
        backstage: SimulatedStripe,
        order: PaymentOrder,
        *,
        is_won: bool,
        is_disputed: bool,
    ) -> None:
        ours = await provider.create_payment(order)
        await backstage.pay(ours.id)
        await backstage.open_dispute(ours.id)
        before = await provider.get_payment(ours.id)

        await backstage.close_dispute(ours.id, is_won=is_won)
        after = await provider.get_payment(ours.id)

        assert (before.is_disputed, after.is_disputed) == (True, is_disputed)
