"""Every refusal that a page can meet has words for people."""

from __future__ import annotations

from types import ModuleType

import pytest

from billing.customers import errors as customers
from billing.gateway import errors as gateway
from billing.kit.errors import BillingError
from billing.pages import errors as pages
from billing.pages.sentences import metric_name, sentence_for, unit_name
from billing.payments import errors as payments
from billing.pricing import errors as pricing
from billing.pricing.rules import Unit
from billing.quotas.rules import Metric
from billing.wallets import errors as wallets

MODULES = (customers, gateway, pages, payments, pricing, wallets)
UNKNOWN = sentence_for("a code that nobody has")
# Roots that nobody raises, what a form or card words with its amounts, and what only programs and operators can cause.
ELSEWHERE = frozenset(
    {
        "amount_not_offered",
        "insufficient_funds",
        "invalid_amount",
        "not_signed_in",
        "provider_ambiguous",
        "api_key_not_found",
        "api_key_limit_reached",
        "email_taken",
        "unsupported_stream",
        "rate_refused",
        "discount_refused",
        "rate_exists",
        "rate_not_found",
        "rate_outdated",
        "sheet_refused",
        "sheet_too_large",
        "import_refused",
        "import_outdated",
        "write_off_exceeds_debt",
        "cap_exceeded",
        "operation_ended",
        "operation_reused",
        "difference_not_adoptable",
        "difference_not_found",
        "difference_resolved",
        "provider_list_holes",
        "payment_not_refundable",
        "refund_exceeds_payment",
        "refund_exceeds_unspent",
    }
)


def codes_of(module: ModuleType) -> set[str]:
    """The codes of the refusals that this module declares."""
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, BillingError)]
    return {refusal.code for refusal in found if refusal is not BillingError}


class TestTheSentences:
    @pytest.mark.parametrize("code", sorted(set().union(*map(codes_of, MODULES)) - ELSEWHERE))
    def test_each_refusal_has_one_of_its_own(self, code: str) -> None:
        assert sentence_for(code) != UNKNOWN

    def test_an_unknown_code_says_that_it_was_our_side_and_nothing_about_money(self) -> None:
        assert UNKNOWN == "Something went wrong on our side. Please try again."

    @pytest.mark.parametrize("unit", list(Unit))
    def test_each_unit_of_a_price_has_a_name_for_people(self, unit: Unit) -> None:
        assert unit_name(unit) != unit_name("nothing that is counted")
        assert "_" not in unit_name(unit)

    @pytest.mark.parametrize("metric", list(Metric))
    def test_each_free_limit_has_a_name(self, metric: Metric) -> None:
        assert metric_name(metric) in {
            "Input tokens",
            "Output tokens",
            "Images",
            "Seconds of speech",
            "Seconds of transcription",
        }
