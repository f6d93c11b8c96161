"""The settings of payments: what is on offer, which provider collects, where customers may be sent back to."""

from __future__ import annotations

from enum import StrEnum
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from billing.kit.errors import InvalidInput, SettingsError
from billing.kit.money import Currency, Money
from billing.kit.public_address import parse_origin
from billing.kit.settings import SettingsGroup
from billing.payments.rules import TopupOffer, problems_of_offer

YOOKASSA_API_URL = "https://api.yookassa.ru/v3"
STRIPE_API_URL = "https://api.stripe.com"
_YOOKASSA_TEST_KEY = "test_"
_STRIPE_TEST_KEYS = ("sk_test_", "rk_test_")
_STRIPE_LIVE_KEYS = ("sk_live_", "rk_live_")


class ProviderKind(StrEnum):
    """Who collects the money."""

    NONE = "none"
    YOOKASSA = "yookassa"
    STRIPE = "stripe"
    SIMULATOR = "simulator"
    """YooKassa's protocol, spoken by a simulator at `YOOKASSA_API_URL`."""


class PaymentSettings(SettingsGroup):
    """What can be topped up, and through whom."""

    provider: ProviderKind = Field(
        alias="IDENTITY_PAYMENT_PROVIDER",
        default=ProviderKind.NONE,
        description="Who collects top-ups: none, yookassa, stripe, or simulator (refused in production).",
    )
    yookassa_shop_id: str = Field(
        alias="YOOKASSA_SHOP_ID", default="", pattern=r"^[0-9]{0,16}$", description="The shop's number at YooKassa."
    )
    yookassa_secret_key: SecretStr = Field(
        alias="YOOKASSA_SECRET_KEY", default=SecretStr(""), description="The shop's secret key at YooKassa."
    )
    yookassa_api_url: str = Field(
        alias="YOOKASSA_API_URL",
        default=YOOKASSA_API_URL,
        description="Where YooKassa's API v3 is; production accepts only the real one.",
    )
    stripe_account_id: str = Field(
        alias="STRIPE_ACCOUNT_ID",
        default="",
        pattern=r"^(acct_[0-9A-Za-z]{1,64})?$",
        description="The account at Stripe that collects; the key must be this account's.",
    )
    stripe_secret_key: SecretStr = Field(
        alias="STRIPE_SECRET_KEY",
        default=SecretStr(""),
        description="The account's secret key, or a restricted one that may read the account.",
    )
    stripe_api_url: str = Field(
        alias="STRIPE_API_URL",
        default=STRIPE_API_URL,
        description="Where Stripe's API is, without `/v1`; production accepts only the real one.",
    )
    topup_presets: str = Field(
        alias="BILLING_TOPUP_PRESETS",
        default="500,1000,2500,5000",
        description="The amounts on offer, comma separated, in BILLING_CURRENCY; may be empty.",
    )
    is_custom_topup_allowed: bool = Field(
        alias="BILLING_TOPUP_CUSTOM_ENABLED", default=True, description="Customers may choose an amount themselves."
    )
    topup_min: str = Field(
        alias="BILLING_TOPUP_MIN", default="100", description="The smallest amount that a customer may choose."
    )
    topup_max: str = Field(
        alias="BILLING_TOPUP_MAX", default="100000", description="The largest amount that a customer may choose."
    )
    topup_ttl_days: int = Field(
        alias="BILLING_TOPUP_TTL_DAYS",
        default=365,
        ge=0,
        le=36_500,
        description="Credit from a top-up expires after this many days; 0 means never.",
    )
    return_url_origins: str = Field(
        alias="BILLING_RETURN_URL_ORIGINS",
        default="",
        description="Other origins to which a client may have its customers sent back, comma separated.",
    )

    @property
    def is_test_shop(self) -> bool:
        """The shop moves play money: simulators do, and so do test shops, which their keys tell."""
        if self.provider is ProviderKind.STRIPE:
            return self.stripe_secret_key.get_secret_value().startswith(_STRIPE_TEST_KEYS)
        key = self.yookassa_secret_key.get_secret_value()
        return self.provider is ProviderKind.SIMULATOR or key.startswith(_YOOKASSA_TEST_KEY)

    def offer(self, currency: Currency) -> TopupOffer:
        """What can be topped up, in the currency of this deployment's wallets.

        Raises:
            SettingsError: an amount cannot be read or be paid, or the limits exclude everything.
        """
        offer = TopupOffer(
            currency=currency,
            presets=tuple(_amount("BILLING_TOPUP_PRESETS", text, currency) for text in _listed(self.topup_presets)),
            is_custom_allowed=self.is_custom_topup_allowed,
            minimum=_amount("BILLING_TOPUP_MIN", self.topup_min, currency),
            maximum=_amount("BILLING_TOPUP_MAX", self.topup_max, currency),
        )
        if problems := problems_of_offer(offer):
            raise SettingsError(problems)
        return offer

    def allowed_origins(self) -> frozenset[str]:
        """The origins besides our own to which a client may have its customers sent back.

        Raises:
            SettingsError: one of them is not an origin.
        """
        return frozenset(
            parse_origin(text, setting="BILLING_RETURN_URL_ORIGINS") for text in _listed(self.return_url_origins)
        )

    def check(self, *, is_production: bool) -> None:
        """Makes sure that the chosen provider can be used here.

        Raises:
            SettingsError: credentials are missing, the API's address is not one, or play money would be credited in
                production.
        """
        problems = self._problems(is_production=is_production)
        if problems:
            raise SettingsError(tuple(problems))

    def _problems(self, *, is_production: bool) -> list[str]:
        match self.provider:
            case ProviderKind.NONE:
                return []
            case ProviderKind.STRIPE:
                problems = self._stripe_problems(is_production=is_production)
                key = "STRIPE_SECRET_KEY"
            case ProviderKind.YOOKASSA | ProviderKind.SIMULATOR:
                problems = self._yookassa_problems(is_production=is_production)
                key = "YOOKASSA_SECRET_KEY"
        if is_production and self.is_test_shop:
            problems.append(f"Production takes no play money: IDENTITY_PAYMENT_PROVIDER or {key} is for tests.")
        return problems

    def _yookassa_problems(self, *, is_production: bool) -> list[str]:
        problems = []
        if not self.yookassa_shop_id:
            problems.append("YOOKASSA_SHOP_ID is missing.")
        if not self.yookassa_secret_key.get_secret_value():
            problems.append("YOOKASSA_SECRET_KEY is missing.")
        is_real = self.yookassa_api_url.rstrip("/") == YOOKASSA_API_URL
        if self.provider is ProviderKind.SIMULATOR and is_real:
            problems.append("IDENTITY_PAYMENT_PROVIDER=simulator needs the simulator's YOOKASSA_API_URL.")
        return problems + _problems_of_address(
            "YOOKASSA_API_URL", self.yookassa_api_url, YOOKASSA_API_URL, is_production=is_production
        )

    def _stripe_problems(self, *, is_production: bool) -> list[str]:
        key = self.stripe_secret_key.get_secret_value()
        problems = []
        if not self.stripe_account_id:
            problems.append("STRIPE_ACCOUNT_ID is missing.")
        if not key:
            problems.append("STRIPE_SECRET_KEY is missing.")
        elif not key.startswith((*_STRIPE_TEST_KEYS, *_STRIPE_LIVE_KEYS)):
            problems.append("STRIPE_SECRET_KEY is not a secret key of Stripe.")
        return problems + _problems_of_address(
            "STRIPE_API_URL", self.stripe_api_url, STRIPE_API_URL, is_production=is_production
        )


def _problems_of_address(setting: str, address: str, real: str, *, is_production: bool) -> list[str]:
    problems = []
    if urlsplit(address).scheme not in {"http", "https"}:
        problems.append(f"{setting} is not an http(s) address.")
    if is_production and address.rstrip("/") != real:
        problems.append(f"{setting} must be {real} in production.")
    return problems


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (raw.strip() for raw in text.split(",")) if part)


def _amount(setting: str, text: str, currency: Currency) -> Money:
    try:
        return Money.from_decimal(text.strip(), currency)
    except InvalidInput as error:
        raise SettingsError((f"{setting}: {error.sentence}",)) from None
