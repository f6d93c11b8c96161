"""What an installation can choose about signing in and API keys."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, SecretStr

from billing.customers.identities import IDENTITY_SECRET_LENGTH_MIN
from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup


class CustomersSettings(SettingsGroup):
    """How long sessions last, how often somebody may guess a password, how many keys an account has."""

    session_lifetime_hours: int = Field(
        alias="BILLING_SESSION_LIFETIME_HOURS",
        default=7 * 24,
        gt=0,
        description="A session ends this long after signing in, however busy it is.",
    )
    session_idle_minutes: int = Field(
        alias="BILLING_SESSION_IDLE_MINUTES",
        default=12 * 60,
        gt=1,
        description="A session ends when nothing was asked of it for this long; looked at to the minute.",
    )
    sign_in_window_minutes: int = Field(
        alias="BILLING_SIGN_IN_WINDOW_MINUTES",
        default=15,
        gt=0,
        description="Failed sign-ins are counted, and forgotten, in windows of this length.",
    )
    sign_in_attempts_per_email: int = Field(
        alias="BILLING_SIGN_IN_ATTEMPTS_PER_EMAIL",
        default=10,
        gt=0,
        description="How many sign-ins may fail for one e-mail in a window.",
    )
    sign_in_attempts_per_address: int = Field(
        alias="BILLING_SIGN_IN_ATTEMPTS_PER_ADDRESS",
        default=50,
        gt=0,
        description="How many sign-ins may fail from one network address in a window.",
    )
    api_keys_max: int = Field(
        alias="BILLING_API_KEYS_MAX",
        default=50,
        gt=0,
        description="How many live API keys an account may have.",
    )

    identity_secret: SecretStr = Field(
        alias="BILLING_IDENTITY_SECRET",
        default=SecretStr(""),
        description="Keys the digests by which one person keeps one free quota; 32 characters or more outside"
        " development. Whoever changes it moves the old one to BILLING_IDENTITY_SECRETS_BEFORE.",
    )
    identity_secrets_before: SecretStr = Field(
        alias="BILLING_IDENTITY_SECRETS_BEFORE",
        default=SecretStr(""),
        description="Earlier values of BILLING_IDENTITY_SECRET, separated by spaces, so that nobody is forgotten.",
    )

    def check(self, *, is_development: bool) -> None:
        """Refuses secrets that somebody could guess; development may do without.

        Raises:
            SettingsError: a secret is missing or shorter than 32 characters.
        """
        if not is_development and len(self.identity_secret.get_secret_value()) < IDENTITY_SECRET_LENGTH_MIN:
            raise SettingsError((f"BILLING_IDENTITY_SECRET needs {IDENTITY_SECRET_LENGTH_MIN} characters or more.",))

    @property
    def identity_keys(self) -> tuple[bytes, ...]:
        """The keys of identity digests: the one in use, then those before it."""
        before = self.identity_secrets_before.get_secret_value().split()
        return tuple(secret.encode() for secret in (self.identity_secret.get_secret_value(), *before))

    @property
    def session_lifetime(self) -> timedelta:
        """How long a session lasts at most."""
        return timedelta(hours=self.session_lifetime_hours)

    @property
    def session_idle(self) -> timedelta:
        """How long a session lasts without a request."""
        return timedelta(minutes=self.session_idle_minutes)

    @property
    def sign_in_window(self) -> timedelta:
        """How long failed attempts are remembered."""
        return timedelta(minutes=self.sign_in_window_minutes)
