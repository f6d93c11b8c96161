"""The settings of wallets and holds."""

from __future__ import annotations

from pydantic import Field

from billing.kit.settings import SettingsGroup


class WalletSettings(SettingsGroup):
    """How long a hold lives without its owner, and the currency in which new wallets are opened."""

    hold_ttl_seconds: int = Field(
        alias="BILLING_HOLD_TTL_SECONDS",
        default=900,
        ge=1,
        le=86_400,
        description="A hold whose owner has not settled or released it after this many seconds is given back.",
    )
    currency: str = Field(
        alias="BILLING_CURRENCY",
        default="RUB",
        pattern="^[A-Z]{3}$",
        description="The currency of the wallet that pages and gateway use (ISO 4217).",
    )
