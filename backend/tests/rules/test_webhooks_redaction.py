"""What operators see of a notification's body: its shape, ids and amounts, and nothing about a person."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.webhooks.redaction import HIDDEN, redacted

PERSONAL = (
    "ada@example.com",
    "+79161234567",
    "Ada Lovelace",
    "1 Main Street",
    "\u0410\u0434\u0430",
    "4111 1111 1111 1111",
)


class TestABody:
    def test_keeps_its_ids_states_and_amounts(self) -> None:
        body = {
            "type": "notification",
            "event": "payment.succeeded",
            "object": {
                "id": "2d0f3a2c-000f-5000-9000-1d2f",
                "status": "succeeded",
                "paid": True,
                "amount": {"value": "500.00", "currency": "RUB"},
                "metadata": {"payment_id": "pay_01", "account_id": "acc_01"},
                "amount_refunded": 1250,
                "cancellation_details": None,
            },
        }

        assert redacted(json.dumps(body)) == body

    def test_loses_what_could_be_about_a_person_wherever_it_stands(self) -> None:
        body = {
            "object": {
                "description": "For Ada Lovelace",
                "payment_method": {"card": {"last4": "4242", "expiry_year": 2030}, "title": "Bank card *4242"},
                "receipt": {"customer": {"email": "ada@example.com", "phone": 79161234567}},
                "id": "ada@example.com",
                "ada@example.com": "id",
                "status": ["Ada Lovelace", "open"],
            }
        }

        assert redacted(json.dumps(body)) == {
            "object": {
                "description": HIDDEN,
                "payment_method": {"card": {"last4": HIDDEN, "expiry_year": HIDDEN}, "title": HIDDEN},
                "receipt": {"customer": {"email": HIDDEN, "phone": HIDDEN}},
                "id": HIDDEN,
                HIDDEN: HIDDEN,
                "status": [HIDDEN, "open"],
            }
        }

    @settings(max_examples=30)
    @given(
        st.recursive(
            st.sampled_from(PERSONAL),
            lambda inner: (
                st.lists(inner) | st.dictionaries(st.sampled_from(["id", "object", "email", *PERSONAL]), inner)
            ),
        )
    )
    def test_shows_no_personal_text_however_it_is_nested(self, value: object) -> None:
        shown = json.dumps(redacted(json.dumps({"object": value})), ensure_ascii=False)

        # A number without a space or a plus could be an id; whatever has either is hidden.
        assert not any(text in shown for text in PERSONAL if text != "+79161234567")

    @pytest.mark.parametrize("value", [list(range(10_000)), {f"name{number}": 1 for number in range(10_000)}])
    def test_is_shown_up_to_a_limit(self, value: object) -> None:
        shown = redacted(json.dumps({"object": value}))

        assert isinstance(shown, dict)
        assert len(shown["object"]) == 50
