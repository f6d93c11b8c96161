"""The settings of the doors for notifications."""

from __future__ import annotations

from pydantic import Field, SecretStr

from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup
from billing.webhooks.trust import YOOKASSA_SOURCES, TrustPolicy, parse_networks

_NO_CHECK = (
    "Production must check notifications: switch on BILLING_WEBHOOK_YOOKASSA_TOKEN_CHECK or "
    "BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK."
)


class WebhookSettings(SettingsGroup):
    """Which checks a notification must pass; all that are on must."""

    is_yookassa_token_checked: bool = Field(
        alias="BILLING_WEBHOOK_YOOKASSA_TOKEN_CHECK",
        default=False,
        description="Notifications must carry the shared token, in the header X-Webhook-Token or as ?token=.",
    )
    yookassa_token: SecretStr = Field(
        alias="BILLING_WEBHOOK_YOOKASSA_TOKEN", default=SecretStr(""), description="The shared token."
    )
    is_yookassa_source_checked: bool = Field(
        alias="BILLING_WEBHOOK_YOOKASSA_SOURCE_CHECK",
        default=True,
        description="Notifications must come from YooKassa's published addresses or the configured ones.",
    )
    yookassa_sources: str = Field(
        alias="BILLING_WEBHOOK_YOOKASSA_SOURCES",
        default="",
        description="More addresses or ranges that notifications may come from, comma separated.",
    )

    def yookassa_policy(self, *, is_production: bool, trusted_hops: int) -> TrustPolicy:
        """The checks at YooKassa's door.

        Raises:
            SettingsError: a configured range is malformed, or production has no check on.
        """
        if is_production and not (self.is_yookassa_token_checked or self.is_yookassa_source_checked):
            raise SettingsError((_NO_CHECK,))
        configured = tuple(text.strip() for text in self.yookassa_sources.split(",") if text.strip())
        return TrustPolicy(
            is_token_checked=self.is_yookassa_token_checked,
            token=self.yookassa_token.get_secret_value().encode(),
            is_source_checked=self.is_yookassa_source_checked,
            networks=(
                *parse_networks(YOOKASSA_SOURCES, setting="YOOKASSA_SOURCES"),
                *parse_networks(configured, setting="BILLING_WEBHOOK_YOOKASSA_SOURCES"),
            ),
            trusted_hops=trusted_hops,
        )
