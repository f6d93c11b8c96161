"""All settings of this program, read once; what cannot be is refused before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import Field, SecretStr

from billing.customers.settings import CustomersSettings
from billing.gateway.settings import GatewaySettings
from billing.kit.client_address import ProxySettings
from billing.kit.embedded_postgres import default_folder
from billing.kit.errors import SettingsError
from billing.kit.public_address import PublicAddressSettings
from billing.kit.settings import SettingsGroup, read_group, refuse_unknown
from billing.pages.settings import PagesSettings
from billing.payments.auto_topups_settings import AutoTopupSettings
from billing.payments.receipts_settings import ReceiptSettings
from billing.payments.settings import PaymentSettings
from billing.pricing.settings import PricingSettings
from billing.quotas.settings import QuotaSettings
from billing.wallets.settings import WalletSettings
from billing.webhooks.outbound.settings import OutboundSettings
from billing.webhooks.settings import WebhookSettings


class Environment(StrEnum):
    """Where this runs; production refuses everything that is only for rehearsals."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


class DeploymentSettings(SettingsGroup):
    """Where this runs, on which database, with which clock."""

    environment: Environment = Field(
        alias="BILLING_ENV", default=Environment.DEVELOPMENT, description="development, staging or production."
    )
    database_url: SecretStr | None = Field(
        alias="DATABASE_URL",
        default=None,
        description="A PostgreSQL server; without it an embedded one is started. Production needs it.",
    )
    embedded_folder: Path = Field(
        alias="BILLING_EMBEDDED_POSTGRES_FOLDER",
        default_factory=default_folder,
        description="Where the embedded PostgreSQL keeps its data.",
    )
    database_connections_max: int = Field(
        alias="BILLING_DATABASE_CONNECTIONS_MAX",
        default=10,
        ge=2,
        le=500,
        description="How many database connections one process opens at the most.",
    )
    clock_offset_file: Path | None = Field(
        alias="BILLING_CLOCK_OFFSET_FILE",
        default=None,
        description="A file with seconds to add to the clock, for tests and rehearsals; production refuses it.",
    )
    log_level: str = Field(
        alias="BILLING_LOG_LEVEL",
        default="INFO",
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="The least important log lines to write.",
    )

    @property
    def is_development(self) -> bool:
        """Nobody but ourselves."""
        return self.environment is Environment.DEVELOPMENT

    @property
    def is_production(self) -> bool:
        """Real customers and real money."""
        return self.environment is Environment.PRODUCTION


class FeatureFlags(SettingsGroup):
    """Which doors are open; a closed one answers 404 `billing_disabled` and does nothing."""

    wallet: bool = Field(
        alias="ENABLE_BILLING_WALLET", default=True, description="Wallet pages, wallet API and the gateway."
    )
    subscriptions: bool = Field(
        alias="ENABLE_BILLING_SUBSCRIPTIONS", default=False, description="The paid plan of one customer."
    )
    identity: bool = Field(
        alias="IDENTITY_BILLING_ENABLED", default=False, description="Internal APIs and usage ingestion."
    )
    portal: bool = Field(
        alias="PORTAL_BILLING_ENABLED", default=False, description="The portal of organisations and its API."
    )
    admin: bool = Field(alias="ADMIN_BILLING_ENABLED", default=False, description="The operators' console and its API.")
    worker: bool = Field(
        alias="WORKER_BILLING_ENABLED", default=False, description="Workers take jobs from the queues; off, jobs wait."
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """Every group of settings."""

    deployment: DeploymentSettings
    flags: FeatureFlags
    public_address: PublicAddressSettings
    proxies: ProxySettings
    customers: CustomersSettings
    wallets: WalletSettings
    pricing: PricingSettings
    quotas: QuotaSettings
    payments: PaymentSettings
    auto_topups: AutoTopupSettings
    receipts: ReceiptSettings
    webhooks: WebhookSettings
    outbound: OutboundSettings
    gateway: GatewaySettings
    pages: PagesSettings


GROUPS: tuple[type[SettingsGroup], ...] = (
    DeploymentSettings,
    FeatureFlags,
    PublicAddressSettings,
    ProxySettings,
    CustomersSettings,
    WalletSettings,
    PricingSettings,
    QuotaSettings,
    PaymentSettings,
    AutoTopupSettings,
    ReceiptSettings,
    WebhookSettings,
    OutboundSettings,
    GatewaySettings,
    PagesSettings,
)


def read_settings(environ: Mapping[str, str]) -> Settings:
    """The settings in this environment.

    Raises:
        SettingsError: a variable is unknown or unreadable, or production is asked to run with a rehearsal's means.
    """
    refuse_unknown(GROUPS, environ)
    settings = Settings(
        deployment=read_group(DeploymentSettings, environ),
        flags=read_group(FeatureFlags, environ),
        public_address=read_group(PublicAddressSettings, environ),
        proxies=read_group(ProxySettings, environ),
        customers=read_group(CustomersSettings, environ),
        wallets=read_group(WalletSettings, environ),
        pricing=read_group(PricingSettings, environ),
        quotas=read_group(QuotaSettings, environ),
        payments=read_group(PaymentSettings, environ),
        auto_topups=read_group(AutoTopupSettings, environ),
        receipts=read_group(ReceiptSettings, environ),
        webhooks=read_group(WebhookSettings, environ),
        outbound=read_group(OutboundSettings, environ),
        gateway=read_group(GatewaySettings, environ),
        pages=read_group(PagesSettings, environ),
    )
    _refuse_rehearsal_means(settings.deployment)
    if settings.wallets.hold_ttl_seconds <= settings.gateway.total_timeout_seconds:
        raise SettingsError(
            (
                (
                    "BILLING_HOLD_TTL_SECONDS must be longer than BILLING_UPSTREAM_TOTAL_TIMEOUT_SECONDS, "
                    "because a hold outlives its call."
                ),
            )
        )
    settings.customers.check(is_development=settings.deployment.is_development)
    settings.payments.check(is_production=settings.deployment.is_production)
    settings.receipts.check()
    return settings


def _refuse_rehearsal_means(deployment: DeploymentSettings) -> None:
    if not deployment.is_production:
        return
    problems = []
    if deployment.clock_offset_file is not None:
        problems.append("BILLING_CLOCK_OFFSET_FILE moves the clock, which production refuses.")
    if deployment.database_url is None:
        problems.append("DATABASE_URL is missing; the embedded PostgreSQL is not for production.")
    if problems:
        raise SettingsError(tuple(problems))
