"""Whom a receipt reaches and what it says, decided without a network."""

from __future__ import annotations

import pytest

from billing.kit.errors import InvalidInput, SettingsError
from billing.kit.settings import read_group
from billing.payments.receipts import parse_contact
from billing.payments.receipts_rules import normalise_phone
from billing.payments.receipts_settings import ReceiptSettings
from billing.payments.records import Contact
from billing.payments.rules import AUTO_TOPUP, SUBSCRIPTION, TOPUP


class TestPhones:
    @pytest.mark.parametrize(
        ("given", "digits"),
        [
            ("79001234567", "79001234567"),
            ("+7 (900) 123-45-67", "79001234567"),
            ("8 900 123-45-67", "79001234567"),
            ("+81 90-1234-5678", "819012345678"),
            ("+852 1234 5678", "85212345678"),
            ("+123456789012345", "123456789012345"),
        ],
    )
    def test_become_digits_with_their_country(self, given: str, digits: str) -> None:
        assert normalise_phone(given) == digits

    @pytest.mark.parametrize(
        "given",
        [
            "",
            "12345",
            "1234567890",
            "1234567890123456",
            "+7 900 CALL-ME",
            "7900123456\u0667",
            "++79001234567",
            "tel:79001234567",
            "7900\n1234567",
            "7" * 5000,
        ],
    )
    def test_that_are_none_are_refused(self, given: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            normalise_phone(given)

        assert refused.value.field == "contact_phone"
        assert given not in refused.value.sentence or not given


class TestContacts:
    def test_nothing_and_blanks_name_nobody(self) -> None:
        assert {parse_contact(None, None), parse_contact("", " "), parse_contact(" ", None)} == {Contact()}

    def test_are_normalised(self) -> None:
        assert parse_contact(" Ada@Example.COM ", "+7 900 123 45 67") == Contact("ada@example.com", "79001234567")

    def test_an_address_that_is_none_is_refused_by_the_name_of_its_field(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            parse_contact("ada at example", None)

        assert refused.value.field == "contact_email"

    def test_show_nobody_in_a_log_line(self) -> None:
        assert repr(Contact("ada@example.com", "79001234567")) == "Contact()"


class TestSettings:
    def test_nothing_is_due_unless_it_is_switched_on(self) -> None:
        assert read_group(ReceiptSettings, {}).terms is None

    def test_every_purpose_has_its_line(self) -> None:
        settings = read_group(
            ReceiptSettings,
            {
                "BILLING_RECEIPTS_ENABLED": "true",
                "BILLING_RECEIPTS_TOPUP_ITEM": "Credit",
                "BILLING_RECEIPTS_PLAN_ITEM": "Plan",
                "BILLING_RECEIPTS_VAT_CODE": "4",
                "BILLING_RECEIPTS_PAYMENT_MODE": "advance",
                "BILLING_RECEIPTS_PAYMENT_SUBJECT": "payment",
                "BILLING_RECEIPTS_TAX_SYSTEM_CODE": "2",
            },
        )

        terms = settings.terms

        assert terms is not None
        assert terms.items == {TOPUP: "Credit", AUTO_TOPUP: "Credit", SUBSCRIPTION: "Plan"}
        assert (terms.vat_code, terms.payment_mode, terms.payment_subject, terms.tax_system_code) == (
            4,
            "advance",
            "payment",
            2,
        )

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("BILLING_RECEIPTS_VAT_CODE", "0"),
            ("BILLING_RECEIPTS_VAT_CODE", "13"),
            ("BILLING_RECEIPTS_TAX_SYSTEM_CODE", "7"),
            ("BILLING_RECEIPTS_PAYMENT_MODE", "later"),
            ("BILLING_RECEIPTS_PAYMENT_SUBJECT", "tokens"),
            ("BILLING_RECEIPTS_TOPUP_ITEM", "x" * 129),
        ],
    )
    def test_what_the_tax_office_would_refuse_stops_the_start(self, variable: str, value: str) -> None:
        with pytest.raises(SettingsError, match=variable):
            read_group(ReceiptSettings, {variable: value})

    @pytest.mark.parametrize("line", [" ", "two\nlines"])
    def test_a_line_that_cannot_be_printed_stops_the_start(self, line: str) -> None:
        with pytest.raises(SettingsError, match="BILLING_RECEIPTS_PLAN_ITEM"):
            read_group(ReceiptSettings, {"BILLING_RECEIPTS_PLAN_ITEM": line}).check()
