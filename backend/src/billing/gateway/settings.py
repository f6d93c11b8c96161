"""What an installation can choose about the gateway."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from billing.gateway.rules.paid_request import QuoteBounds
from billing.gateway.rules.routes import RouteTable
from billing.gateway.rules.stream_terms import StreamTerms
from billing.kit.errors import SettingsError
from billing.kit.settings import SettingsGroup


class GatewaySettings(SettingsGroup):
    """Where models are served, how long we wait for them, and how large things may be."""

    routes_file: Path | None = Field(
        alias="BILLING_MODEL_ROUTES_FILE",
        default=None,
        description="A TOML file that says which upstream serves which model; without it no model is served.",
    )
    connect_timeout_seconds: float = Field(
        alias="BILLING_UPSTREAM_CONNECT_TIMEOUT_SECONDS",
        default=5.0,
        gt=0,
        le=60,
        description="How long a connection to a model provider may take.",
    )
    read_timeout_seconds: float = Field(
        alias="BILLING_UPSTREAM_READ_TIMEOUT_SECONDS",
        default=120.0,
        gt=0,
        le=600,
        description="How long a model provider may be silent before the call counts as failed.",
    )
    total_timeout_seconds: float = Field(
        alias="BILLING_UPSTREAM_TOTAL_TIMEOUT_SECONDS",
        default=600.0,
        gt=0,
        le=800,
        description="How long one call may take in all; less than a hold lives, so that a hold outlives its call.",
    )
    connections_max: int = Field(
        alias="BILLING_UPSTREAM_CONNECTIONS_MAX",
        default=500,
        ge=1,
        le=10_000,
        description="How many calls to model providers one process keeps open at once.",
    )
    reply_bytes_max: int = Field(
        alias="BILLING_UPSTREAM_REPLY_BYTES_MAX",
        default=32 * 1024 * 1024,
        ge=1024,
        description="An answer with more bytes than this counts as broken.",
    )
    request_bytes_max: int = Field(
        alias="BILLING_GATEWAY_REQUEST_BYTES_MAX",
        default=16 * 1024 * 1024,
        ge=1024,
        description="A request with more bytes than this is refused.",
    )
    output_tokens_default: int = Field(
        alias="BILLING_GATEWAY_OUTPUT_TOKENS_DEFAULT",
        default=4096,
        ge=1,
        le=1_000_000,
        description="How many output tokens a choice is quoted with, unless the request asks for fewer.",
    )
    image_tokens_max: int = Field(
        alias="BILLING_GATEWAY_IMAGE_TOKENS_MAX",
        default=50_000,
        ge=0,
        le=1_000_000,
        description="How many tokens a picture in a request is quoted with: the most that any model counts for one.",
    )
    choices_max: int = Field(
        alias="BILLING_GATEWAY_CHOICES_MAX",
        default=16,
        ge=1,
        le=128,
        description="The largest `n` that a request may ask for.",
    )
    image_side_max: int = Field(
        alias="BILLING_GATEWAY_IMAGE_SIDE_MAX",
        default=2048,
        ge=256,
        le=16_384,
        description="The longest side, in pixels, that a picture may be asked for with; one whose size is left to the"
        " provider is quoted as a square of it.",
    )

    stream_lease_seconds: float = Field(
        alias="BILLING_STREAM_LEASE_SECONDS",
        default=30.0,
        ge=1,
        le=600,
        description="A stream whose process has not shown itself for this long is settled from its last checkpoint.",
    )
    checkpoint_seconds: float = Field(
        alias="BILLING_CHECKPOINT_SECONDS",
        default=2.0,
        gt=0,
        le=60,
        description="A stream stores what it has metered at least this often while output passes.",
    )
    checkpoint_tokens: int = Field(
        alias="BILLING_CHECKPOINT_TOKENS",
        default=200,
        ge=1,
        le=100_000,
        description="A stream stores what it has metered after so many tokens, even if that was quicker.",
    )
    drain_seconds: float = Field(
        alias="BILLING_STREAM_DRAIN_SECONDS",
        default=30.0,
        ge=0,
        le=600,
        description="How long a provider is still listened to for its count after the client has left.",
    )
    drain_bytes: int = Field(
        alias="BILLING_STREAM_DRAIN_BYTES",
        default=1024 * 1024,
        ge=0,
        description="How many bytes are still read from a provider after the client has left.",
    )
    client_patience_seconds: float = Field(
        alias="BILLING_STREAM_CLIENT_SECONDS",
        default=60.0,
        gt=0,
        le=600,
        description="A client that reads nothing of its stream for this long counts as gone.",
    )
    stream_buffer_bytes: int = Field(
        alias="BILLING_STREAM_BUFFER_BYTES",
        default=32 * 1024,
        ge=1024,
        description="How much of a stream waits for a slow client before the provider has to wait too.",
    )
    shutdown_seconds: float = Field(
        alias="BILLING_STREAM_SHUTDOWN_SECONDS",
        default=10.0,
        ge=0,
        le=600,
        description="How long running streams may go on when the process is told to stop; then they are cut.",
    )

    @property
    def stream_terms(self) -> StreamTerms:
        """How streams are kept within bounds."""
        return StreamTerms(
            lease=timedelta(seconds=self.stream_lease_seconds),
            checkpoint_every=timedelta(seconds=self.checkpoint_seconds),
            checkpoint_tokens=self.checkpoint_tokens,
            drain_seconds=self.drain_seconds,
            drain_bytes=self.drain_bytes,
            client_patience_seconds=self.client_patience_seconds,
            buffer_bytes=self.stream_buffer_bytes,
            shutdown_seconds=self.shutdown_seconds,
        )

    @property
    def bounds(self) -> QuoteBounds:
        """What a quote assumes where the request leaves things open."""
        return QuoteBounds(
            output_tokens_default=self.output_tokens_default,
            image_tokens_max=self.image_tokens_max,
            choices_max=self.choices_max,
            image_side_max=self.image_side_max,
        )

    def read_routes(self) -> RouteTable:
        """The routes of the file; no file, no routes.

        Raises:
            SettingsError: the file is not there or cannot be read, or it does not make sense.
        """
        if self.routes_file is None:
            return RouteTable({})
        try:
            text = self.routes_file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(("BILLING_MODEL_ROUTES_FILE cannot be read.",)) from error
        return RouteTable.from_toml(text)
