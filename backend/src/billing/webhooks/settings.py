"""The settings of the doors for notifications."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import Field, SecretStr

from billing.kit.client_address import TrustedProxies, parse_networks
from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup
from billing.webhooks.rules import Provider
from billing.webhooks.trust import PUBLISHED_SOURCES, TrustPolicies, TrustPolicy

_SECRETS_MAX = 2
"""The one in use and the one that replaces it."""


class WebhookSettings(SettingsGroup):
    """Which checks a notification must pass, for each provider; all that are on must."""

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
    is_yookassa_signature_checked: bool = Field(
        alias="BILLING_WEBHOOK_YOOKASSA_SIGNATURE_CHECK",
        default=False,
        description="Notifications must be signed by a relay of ours, in the header X-Webhook-Signature.",
    )
    yookassa_signing_secrets: SecretStr = Field(
        alias="BILLING_WEBHOOK_YOOKASSA_SIGNING_SECRETS",
        default=SecretStr(""),
        description="What the relay signs with; two, comma separated, while one is being replaced.",
    )
    is_stripe_token_checked: bool = Field(
        alias="BILLING_WEBHOOK_STRIPE_TOKEN_CHECK",
        default=False,
        description="Events must carry the shared token, in the header X-Webhook-Token or as ?token=.",
    )
    stripe_token: SecretStr = Field(
        alias="BILLING_WEBHOOK_STRIPE_TOKEN", default=SecretStr(""), description="The shared token."
    )
    is_stripe_source_checked: bool = Field(
        alias="BILLING_WEBHOOK_STRIPE_SOURCE_CHECK",
        default=False,
        description="Events must come from Stripe's published addresses or the configured ones.",
    )
    stripe_sources: str = Field(
        alias="BILLING_WEBHOOK_STRIPE_SOURCES",
        default="",
        description="More addresses or ranges that events may come from, comma separated.",
    )
    is_stripe_signature_checked: bool = Field(
        alias="BILLING_WEBHOOK_STRIPE_SIGNATURE_CHECK",
        default=True,
        description="Events must carry Stripe's own signature.",
    )
    stripe_signing_secrets: SecretStr = Field(
        alias="BILLING_WEBHOOK_STRIPE_SIGNING_SECRETS",
        default=SecretStr(""),
        description="The endpoint's signing secret (`whsec_…`); two, comma separated, while one is being replaced.",
    )

    def policies(
        self, *, is_production: bool, configured: frozenset[Provider], proxies: TrustedProxies
    ) -> TrustPolicies:
        """The checks at every provider's door; `configured` are those who collect for us here.

        Raises:
            SettingsError: a range is malformed, there are too many secrets, or production has no check on for a
                configured provider.
        """
        doors = {checks.provider: checks.policy(proxies) for checks in (self._yookassa(), self._stripe())}
        if is_production:
            _refuse_open_doors([doors[provider] for provider in sorted(configured)])
        return TrustPolicies(doors, configured)

    def _yookassa(self) -> _Checks:
        return _Checks(
            Provider.YOOKASSA,
            token=self.yookassa_token if self.is_yookassa_token_checked else None,
            sources=self.yookassa_sources,
            is_source_checked=self.is_yookassa_source_checked,
            signing_secrets=self.yookassa_signing_secrets,
            is_signature_checked=self.is_yookassa_signature_checked,
        )

    def _stripe(self) -> _Checks:
        return _Checks(
            Provider.STRIPE,
            token=self.stripe_token if self.is_stripe_token_checked else None,
            sources=self.stripe_sources,
            is_source_checked=self.is_stripe_source_checked,
            signing_secrets=self.stripe_signing_secrets,
            is_signature_checked=self.is_stripe_signature_checked,
        )


@dataclass(frozen=True, slots=True)
class _Checks:
    """What the settings say about one door; a token that is None is not checked."""

    provider: Provider
    token: SecretStr | None = field(repr=False)
    sources: str
    is_source_checked: bool
    signing_secrets: SecretStr = field(repr=False)
    is_signature_checked: bool

    def policy(self, proxies: TrustedProxies) -> TrustPolicy:
        setting = f"BILLING_WEBHOOK_{self.provider.upper()}"
        published = parse_networks(PUBLISHED_SOURCES[self.provider], setting="the published addresses")
        return TrustPolicy(
            provider=self.provider,
            is_token_checked=self.token is not None,
            token=b"" if self.token is None else self.token.get_secret_value().encode(),
            is_source_checked=self.is_source_checked,
            networks=(*published, *parse_networks(self.sources, setting=f"{setting}_SOURCES")),
            is_signature_checked=self.is_signature_checked,
            signing_secrets=_secrets(self.signing_secrets, setting=f"{setting}_SIGNING_SECRETS"),
            proxies=proxies,
        )


def _secrets(listed: SecretStr, *, setting: str) -> tuple[bytes, ...]:
    parts = (part.strip() for part in listed.get_secret_value().split(","))
    secrets = tuple(part.encode() for part in parts if part)
    if len(secrets) > _SECRETS_MAX:
        raise SettingsError((f"{setting} takes {_SECRETS_MAX} secrets at the most.",))
    return secrets


def _refuse_open_doors(doors: list[TrustPolicy]) -> None:
    problems = tuple(
        f"Production must check notifications of {door.provider}: switch on a BILLING_WEBHOOK_{door.provider.upper()}_"
        "TOKEN_CHECK, _SOURCE_CHECK or _SIGNATURE_CHECK."
        for door in doors
        if not (door.is_token_checked or door.is_source_checked or door.is_signature_checked)
    )
    if problems:
        raise SettingsError(problems)
