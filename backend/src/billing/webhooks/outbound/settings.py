"""What an installation chooses about webhooks to customers."""

from __future__ import annotations

from pydantic import Field, SecretStr

from billing.kit.client_address import parse_networks
from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup
from billing.webhooks.outbound.addresses import AddressPolicy
from billing.webhooks.outbound.signing import SigningKeys

_KEY_LENGTH_MIN = 32


class OutboundSettings(SettingsGroup):
    """What messages to customers are signed with, and where they may be sent."""

    secret: SecretStr = Field(
        alias="BILLING_OUTBOUND_SECRET",
        default=SecretStr(""),
        description="The key from which endpoints' signing secrets are derived, 32 characters or more; without it no"
        " endpoint can be made. Whoever changes it moves the old one to BILLING_OUTBOUND_SECRETS_BEFORE.",
    )
    secrets_before: SecretStr = Field(
        alias="BILLING_OUTBOUND_SECRETS_BEFORE",
        default=SecretStr(""),
        description="Earlier values of BILLING_OUTBOUND_SECRET, separated by spaces, so that secrets stay valid.",
    )
    allowed_networks: str = Field(
        alias="BILLING_OUTBOUND_ALLOWED_NETWORKS",
        default="",
        description="Address ranges that are not public and that messages may be sent to, comma separated.",
    )
    http_hosts: str = Field(
        alias="BILLING_OUTBOUND_HTTP_HOSTS",
        default="",
        description="Hosts that messages may be sent to over http, comma separated; all others need https.",
    )
    endpoints_max: int = Field(
        alias="BILLING_OUTBOUND_ENDPOINTS_MAX",
        default=10,
        ge=1,
        le=100,
        description="How many webhook endpoints an account may have.",
    )
    rotation_overlap_hours: int = Field(
        alias="BILLING_OUTBOUND_ROTATION_OVERLAP_HOURS",
        default=24,
        ge=0,
        le=720,
        description="How long messages are signed with the old secret too after an endpoint got a new one.",
    )

    def signing_keys(self) -> SigningKeys:
        """The keys: the one in use, then those before it; none where nothing is configured.

        Raises:
            SettingsError: a key is shorter than 32 characters, or there are only earlier ones.
        """
        current, before = self.secret.get_secret_value(), self.secrets_before.get_secret_value().split()
        if before and not current:
            raise SettingsError(("BILLING_OUTBOUND_SECRETS_BEFORE is set without BILLING_OUTBOUND_SECRET.",))
        keys = tuple(key for key in (current, *before) if key)
        if any(len(key) < _KEY_LENGTH_MIN for key in keys):
            raise SettingsError((f"BILLING_OUTBOUND_SECRET needs {_KEY_LENGTH_MIN} characters or more.",))
        return SigningKeys(tuple(key.encode() for key in keys))

    def address_policy(self) -> AddressPolicy:
        """Where messages may be sent.

        Raises:
            SettingsError: a range cannot be read; the sentence names it.
        """
        return AddressPolicy(
            allowed_networks=parse_networks(self.allowed_networks, setting="BILLING_OUTBOUND_ALLOWED_NETWORKS"),
            http_hosts=frozenset(host.lower().strip("[]") for host in _listed(self.http_hosts)),
        )


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
