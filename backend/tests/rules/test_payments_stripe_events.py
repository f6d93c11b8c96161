"""What Stripe's events claim, and where its lists end: decided without a network."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from backend.tests.builders.providers import QUICK
from billing.payments.adapters.breaker import CircuitBreaker
from billing.payments.adapters.calls import ProviderCalls
from billing.payments.adapters.stripe_calls import StripeCalls
from billing.payments.adapters.stripe_events import as_event
from billing.payments.errors import ProviderMalformed
from billing.payments.ports import EventSubject, ProviderEvent
from billing.payments.rules import ProviderPaymentId, ProviderRefundId

SESSION, INTENT, REFUND = ProviderPaymentId("cs_1"), ProviderPaymentId("pi_1"), ProviderRefundId("re_1")


def event(kind: str, **subject: Any) -> ProviderEvent:
    """What an event of this kind about such an object claims."""
    return as_event({"id": "evt_1", "object": "event", "type": kind, "data": {"object": subject}})


class TestAnEventAboutASession:
    @pytest.mark.parametrize(
        ("kind", "payment_status", "claims_final"),
        [
            ("checkout.session.completed", "paid", True),
            ("checkout.session.completed", "unpaid", False),
            ("checkout.session.expired", "unpaid", True),
            ("checkout.session.async_payment_succeeded", "paid", True),
            ("checkout.session.async_payment_failed", "unpaid", True),
        ],
    )
    def test_leads_to_it_and_says_whether_it_is_over(
        self, kind: str, payment_status: str, *, claims_final: bool
    ) -> None:
        claimed = event(kind, id=SESSION, payment_status=payment_status)

        assert claimed == ProviderEvent(kind, EventSubject.PAYMENT, payment_id=SESSION, claims_final=claims_final)


class TestAnEventAboutAnIntent:
    @pytest.mark.parametrize(
        ("kind", "metadata", "claims_final"),
        [
            ("payment_intent.succeeded", {"way": "direct"}, True),
            ("payment_intent.payment_failed", {"way": "direct"}, True),
            ("payment_intent.canceled", {"way": "direct"}, True),
            ("payment_intent.succeeded", {"way": "checkout"}, False),
            ("payment_intent.payment_failed", {"way": "checkout"}, False),
            ("payment_intent.succeeded", {}, False),
            ("payment_intent.succeeded", None, False),
            ("payment_intent.amount_capturable_updated", {"way": "direct"}, False),
            ("payment_intent.processing", {"way": "direct"}, False),
        ],
    )
    def test_is_final_only_where_no_session_decides(self, kind: str, metadata: object, *, claims_final: bool) -> None:
        claimed = event(kind, id=INTENT, metadata=metadata)

        assert claimed == ProviderEvent(kind, EventSubject.PAYMENT, payment_id=INTENT, claims_final=claims_final)


class TestAnEventAboutMoneyThatGoesBack:
    def test_a_refunded_charge_leads_to_its_intent(self) -> None:
        claimed = event("charge.refunded", id="ch_1", payment_intent=INTENT)

        assert claimed == ProviderEvent("charge.refunded", EventSubject.REFUND, payment_id=INTENT)

    @pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
    def test_a_refund_names_itself_and_its_intent(self, kind: str) -> None:
        claimed = event(kind, id=REFUND, payment_intent=INTENT, charge="ch_1")

        assert claimed == ProviderEvent(kind, EventSubject.REFUND, payment_id=INTENT, refund_id=REFUND)

    @pytest.mark.parametrize("kind", ["created", "updated", "closed", "funds_withdrawn", "funds_reinstated"])
    def test_a_dispute_leads_to_its_intent(self, kind: str) -> None:
        claimed = event(f"charge.dispute.{kind}", id="du_1", payment_intent=INTENT, charge="ch_1")

        assert claimed == ProviderEvent(f"charge.dispute.{kind}", EventSubject.DISPUTE, payment_id=INTENT)

    def test_without_an_intent_it_leads_to_the_charge_which_is_nobodys_of_ours(self) -> None:
        claimed = event("charge.dispute.created", id="du_1", payment_intent=None, charge="ch_1")

        assert claimed.payment_id == "ch_1"

    def test_one_that_names_nothing_is_malformed(self) -> None:
        with pytest.raises(ProviderMalformed):
            event("charge.dispute.created", reason="fraudulent")


class TestAnyOtherEvent:
    @pytest.mark.parametrize("kind", ["customer.created", "balance.available", "payment_intent.created", "x"])
    def test_is_of_no_use_and_needs_no_id(self, kind: str) -> None:
        assert event(kind) == ProviderEvent(kind, subject=None)


class TestAnEventThatCannotBeOne:
    @pytest.mark.parametrize(
        "body",
        [
            "{}",
            "[]",
            '"text"',
            '{"type": "checkout.session.completed"}',
            '{"type": "checkout.session.completed", "data": {}}',
            '{"type": "checkout.session.completed", "data": {"object": []}}',
            '{"type": "checkout.session.completed", "data": {"object": {}}}',
            '{"type": "checkout.session.completed", "data": {"object": {"id": "../refunds"}}}',
            '{"type": "refund.updated", "data": {"object": {"id": "re_1?x=1", "payment_intent": "pi_1"}}}',
            '{"type": "charge.refunded", "data": {"object": {"id": "ch_1", "payment_intent": {"id": "pi_1"}}}}',
            '{"type": 1, "data": {"object": {"id": "cs_1"}}}',
        ],
    )
    def test_is_malformed(self, body: str) -> None:
        with pytest.raises(ProviderMalformed):
            as_event(json.loads(body))


@dataclass(frozen=True)
class Listed:
    """One page as the SDK gives it."""

    body: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The page as JSON has it."""
        return self.body


class TestAList:
    async def test_pages_follow_each_other_until_the_last_one(self) -> None:
        asked: list[dict[str, Any]] = []

        async def list_async(params: dict[str, Any]) -> Listed:
            asked.append(params)
            number = len(asked)
            return Listed({"data": [{"id": f"re_{number}"}], "has_more": number < 3})

        found = [item["id"] async for item in calls().items(list_async, {"payment_intent": INTENT})]

        assert found == ["re_1", "re_2", "re_3"]
        assert [params.get("starting_after") for params in asked] == [None, "re_1", "re_2"]
        assert all(params["payment_intent"] == INTENT for params in asked)

    @pytest.mark.parametrize("page", [{"data": [], "has_more": True}, {"data": [{"id": "../x"}], "has_more": True}])
    async def test_one_that_goes_on_after_nothing_is_malformed(self, page: dict[str, Any]) -> None:
        async def list_async(_: dict[str, Any]) -> Listed:
            return Listed(page)

        with pytest.raises(ProviderMalformed):
            _ = [item async for item in calls().items(list_async, {})]

    async def test_one_without_end_is_given_up(self) -> None:
        pages = 0

        async def list_async(_: dict[str, Any]) -> Listed:
            nonlocal pages
            pages += 1
            return Listed({"data": [{"id": "re_1"}], "has_more": True})

        with pytest.raises(ProviderMalformed, match="no end"):
            _ = [item async for item in calls().items(list_async, {})]

        assert pages == 1000


def calls() -> StripeCalls:
    """Calls to nobody: what is called is given by each test."""
    return StripeCalls(ProviderCalls(QUICK, CircuitBreaker("stripe")))
