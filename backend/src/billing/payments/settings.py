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
_TEST_KEY_PREFIX = "test_"


class ProviderKind(StrEnum):
    """Who collects the money."""

    NONE = "none"
    YOOKASSA = "yookassa"
    SIMULATOR = "simulator"
    """YooKassa's protocol, spoken by a simulator at `YOOKASSA_API_URL`."""


class PaymentSettings(SettingsGroup):
    """What can be topped up, and through whom."""

    provider: ProviderKind = Field(
        alias="IDENTITY_PAYMENT_PROVIDER",
        default=ProviderKind.NONE,
        description="Who collects top-ups: none, yookassa, or simulator (refused in production).",
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
        """The shop moves play money: simulators do, and so do YooKassa's test shops, whose keys begin with `test_`."""
        key = self.yookassa_secret_key.get_secret_value()
        return self.provider is ProviderKind.SIMULATOR or key.startswith(_TEST_KEY_PREFIX)

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
        problems = () if self.provider is ProviderKind.NONE else self._problems(is_production=is_production)
        if problems:
            raise SettingsError(tuple(problems))

    def _problems(self, *, is_production: bool) -> list[str]:
        problems = []
        if not self.yookassa_shop_id:
            problems.append("YOOKASSA_SHOP_ID is missing.")
        if not self.yookassa_secret_key.get_secret_value():
            problems.append("YOOKASSA_SECRET_KEY is missing.")
        if urlsplit(self.yookassa_api_url).scheme not in {"http", "https"}:
            problems.append("YOOKASSA_API_URL is not an http(s) address.")
        is_real = self.yookassa_api_url.rstrip("/") == YOOKASSA_API_URL
        if self.provider is ProviderKind.SIMULATOR and is_real:
            problems.append("IDENTITY_PAYMENT_PROVIDER=simulator needs the simulator's YOOKASSA_API_URL.")
        if is_production and not is_real:
            problems.append(f"YOOKASSA_API_URL must be {YOOKASSA_API_URL} in production.")
        if is_production and self.is_test_shop:
            problems.append(
                "Production takes no play money: IDENTITY_PAYMENT_PROVIDER or YOOKASSA_SECRET_KEY is for tests."
            )
        return problems


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part for part in (raw.strip() for raw in text.split(",")) if part)


def _amount(setting: str, text: str, currency: Currency) -> Money:
    try:
        return Money.from_decimal(text.strip(), currency)
    except InvalidInput as error:
        raise SettingsError((f"{setting}: {error.sentence}",)) from None
