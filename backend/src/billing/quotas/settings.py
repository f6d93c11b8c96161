"""The settings of the free quota that belong to the process; its terms stand in the database."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from billing.kit.settings import SettingsGroup


class QuotaSettings(SettingsGroup):
    """How long a reservation lives without its owner, and how many newcomers one network may bring a day."""

    reservation_ttl_seconds: int = Field(
        alias="BILLING_FREE_RESERVATION_TTL_SECONDS",
        default=900,
        ge=1,
        le=86_400,
        description="A free reservation whose call has neither ended nor failed after this many seconds is given back.",
    )

    starts_per_network: int = Field(
        alias="BILLING_FREE_STARTS_PER_NETWORK",
        default=20,
        ge=0,
        le=1_000_000,
        description="How many people may begin to use the free quota from one network (IPv4 /24, IPv6 /64) within 24"
        " hours; 0 lets nobody begin who comes from a network.",
    )

    @property
    def reservation_ttl(self) -> timedelta:
        """How long a reservation lives without its owner."""
        return timedelta(seconds=self.reservation_ttl_seconds)
