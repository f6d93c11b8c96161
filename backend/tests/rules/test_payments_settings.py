"""Which providers and offers a deployment can be started with."""

from __future__ import annotations

import pytest

from billing.kit.errors import SettingsError
from billing.kit.money import Currency, Money
from billing.kit.settings import read_group
from billing.payments.settings import PaymentSettings, ProviderKind

RUB = Currency("RUB")
REAL = {"IDENTITY_PAYMENT_PROVIDER": "yookassa", "YOOKASSA_SHOP_ID": "100500", "YOOKASSA_SECRET_KEY": "live_secret"}
SIMULATED = {
    "IDENTITY_PAYMENT_PROVIDER": "simulator",
    "YOOKASSA_SHOP_ID": "100500",
    "YOOKASSA_SECRET_KEY": "whatever",
    "YOOKASSA_API_URL": "http://127.0.0.1:9000/v3",
}

STRIPE = {
    "IDENTITY_PAYMENT_PROVIDER": "stripe",
    "STRIPE_ACCOUNT_ID": "acct_1Abc",
    "STRIPE_SECRET_KEY": "sk_live_1",
}


def settings(**environ: str) -> PaymentSettings:
    return read_group(PaymentSettings, environ)


class TestTheProvider:
    def test_is_none_unless_chosen(self) -> None:
        assert settings().provider is ProviderKind.NONE

    def test_none_needs_nothing_even_in_production(self) -> None:
        settings().check(is_production=True)

    def test_of_another_name_is_refused(self) -> None:
        with pytest.raises(SettingsError, match="IDENTITY_PAYMENT_PROVIDER"):
            settings(IDENTITY_PAYMENT_PROVIDER="paypal")

    def test_yookassa_with_a_live_key_runs_in_production(self) -> None:
        settings(**REAL).check(is_production=True)

    def test_the_simulator_runs_elsewhere_and_moves_play_money(self) -> None:
        chosen = settings(**SIMULATED)

        chosen.check(is_production=False)
        assert chosen.is_test_shop

    @pytest.mark.parametrize(
        ("environ", "problem"),
        [
            (SIMULATED, "play money"),
            ({**REAL, "YOOKASSA_SECRET_KEY": "test_secret"}, "play money"),
            ({**REAL, "YOOKASSA_API_URL": "https://yookassa.example/v3"}, "YOOKASSA_API_URL must be"),
        ],
    )
    def test_that_moves_play_money_or_is_not_the_real_one_is_refused_in_production(
        self, environ: dict[str, str], problem: str
    ) -> None:
        with pytest.raises(SettingsError, match=problem):
            settings(**environ).check(is_production=True)

    @pytest.mark.parametrize("missing", ["YOOKASSA_SHOP_ID", "YOOKASSA_SECRET_KEY"])
    def test_without_its_credentials_is_refused_and_the_missing_one_named(self, missing: str) -> None:
        environ = {name: value for name, value in REAL.items() if name != missing}

        with pytest.raises(SettingsError, match=f"{missing} is missing"):
            settings(**environ).check(is_production=False)

    def test_a_simulator_at_the_real_address_is_refused(self) -> None:
        environ = {name: value for name, value in SIMULATED.items() if name != "YOOKASSA_API_URL"}

        with pytest.raises(SettingsError, match="needs the simulator's YOOKASSA_API_URL"):
            settings(**environ).check(is_production=False)

    def test_keeps_its_secret_to_itself(self) -> None:
        assert "live_secret" not in repr(settings(**REAL))


class TestStripe:
    def test_with_a_live_key_runs_in_production(self) -> None:
        chosen = settings(**STRIPE)

        chosen.check(is_production=True)
        assert not chosen.is_test_shop

    @pytest.mark.parametrize("prefix", ["sk_test_", "rk_test_"])
    def test_with_a_test_key_moves_play_money_and_runs_elsewhere(self, prefix: str) -> None:
        chosen = settings(**{**STRIPE, "STRIPE_SECRET_KEY": f"{prefix}1"})

        chosen.check(is_production=False)
        assert chosen.is_test_shop

    @pytest.mark.parametrize(
        ("changed", "problem"),
        [
            ({"STRIPE_SECRET_KEY": "sk_test_1"}, "Production takes no play money"),
            ({"STRIPE_API_URL": "https://stripe.example"}, "STRIPE_API_URL must be"),
            ({"STRIPE_API_URL": "ftp://api.stripe.com"}, "STRIPE_API_URL is not an http"),
            ({"STRIPE_SECRET_KEY": "pk_live_1"}, "STRIPE_SECRET_KEY is not a secret key"),
            ({"STRIPE_SECRET_KEY": ""}, "STRIPE_SECRET_KEY is missing"),
            ({"STRIPE_ACCOUNT_ID": ""}, "STRIPE_ACCOUNT_ID is missing"),
        ],
    )
    def test_that_cannot_be_what_was_meant_is_refused(self, changed: dict[str, str], problem: str) -> None:
        with pytest.raises(SettingsError, match=problem):
            settings(**{**STRIPE, **changed}).check(is_production=True)

    def test_an_account_that_is_none_is_refused_when_it_is_read(self) -> None:
        with pytest.raises(SettingsError, match="STRIPE_ACCOUNT_ID"):
            settings(**{**STRIPE, "STRIPE_ACCOUNT_ID": "acct_1/../2"})

    def test_keeps_its_secret_to_itself(self) -> None:
        assert "sk_live_1" not in repr(settings(**STRIPE))


class TestTheOffer:
    def test_has_presets_and_limits_unless_told_otherwise(self) -> None:
        offer = settings().offer(RUB)

        assert [preset.to_decimal() for preset in offer.presets] == ["500.00", "1000.00", "2500.00", "5000.00"]
        assert (offer.minimum, offer.maximum) == (Money.from_decimal("100", RUB), Money.from_decimal("100000", RUB))

    def test_follows_the_settings(self) -> None:
        offer = settings(
            BILLING_TOPUP_PRESETS="10, 20.50", BILLING_TOPUP_CUSTOM_ENABLED="false", BILLING_TOPUP_MIN="5"
        ).offer(RUB)

        assert [preset.to_decimal() for preset in offer.presets] == ["10.00", "20.50"]
        assert not offer.is_custom_allowed

    @pytest.mark.parametrize(
        "environ",
        [
            {"BILLING_TOPUP_PRESETS": "500,abc"},
            {"BILLING_TOPUP_PRESETS": "1 000,50"},
            {"BILLING_TOPUP_MIN": "-1"},
            {"BILLING_TOPUP_MIN": "1000000"},
            {"BILLING_TOPUP_MAX": "1e9"},
        ],
    )
    def test_that_makes_no_sense_keeps_the_server_from_starting(self, environ: dict[str, str]) -> None:
        with pytest.raises(SettingsError):
            settings(**environ).offer(RUB)


class TestAllowedOrigins:
    def test_are_read_one_by_one(self) -> None:
        allowed = settings(BILLING_RETURN_URL_ORIGINS="https://a.example, http://localhost:3000").allowed_origins()

        assert allowed == {"https://a.example", "http://localhost:3000"}

    def test_a_malformed_one_is_named(self) -> None:
        with pytest.raises(SettingsError, match=r"a\.example/path"):
            settings(BILLING_RETURN_URL_ORIGINS="https://a.example/path").allowed_origins()
