"""The settings of automatic top-ups."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from billing.kit.settings import SettingsGroup

COOL_OFF = timedelta(minutes=10)


class AutoTopupSettings(SettingsGroup):
    """Automatic top-ups, which customers turn on for their own wallets."""

    cool_off_seconds: int = Field(
        alias="BILLING_AUTO_TOPUP_COOL_OFF_SECONDS",
        default=int(COOL_OFF.total_seconds()),
        ge=60,
        le=86_400,
        description="So long after one automatic top-up no other one of the same wallet is begun.",
    )

    @property
    def cool_off(self) -> timedelta:
        """The pause between two."""
        return timedelta(seconds=self.cool_off_seconds)
