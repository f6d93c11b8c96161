"""Rate cards, free quotas and usage events."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _RATES + _FREE_QUOTAS + _USAGE + _GRANTS:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_RATES = (
    """
    CREATE TABLE rates (
        id text NOT NULL,
        model text NOT NULL,
        currency text NOT NULL,
        unit text NOT NULL,
        price_micros bigint NOT NULL,
        is_free boolean NOT NULL,
        is_active boolean NOT NULL,
        provider text NOT NULL,
        version integer NOT NULL,
        effective_from timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_rates PRIMARY KEY (id),
        CONSTRAINT uq_rates_model_currency_unit_version UNIQUE (model, currency, unit, version),
        CONSTRAINT ck_rates_unit CHECK (
            unit IN ('input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens')
        ),
        CONSTRAINT ck_rates_free_is_said CHECK (price_micros >= 0 AND is_free = (price_micros = 0)),
        CONSTRAINT ck_rates_currency CHECK (currency ~ '^[A-Z]{3}$'),
        CONSTRAINT ck_rates_version CHECK (version >= 1)
    )
    """,
)

_FREE_QUOTAS = (
    """
    CREATE TABLE free_quota_terms (
        version integer NOT NULL,
        is_enabled boolean NOT NULL,
        cycle_days integer NOT NULL,
        input_tokens_limit bigint NOT NULL,
        output_tokens_limit bigint NOT NULL,
        eligible_models text[] NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_free_quota_terms PRIMARY KEY (version),
        CONSTRAINT ck_free_quota_terms_cycle_days CHECK (cycle_days BETWEEN 1 AND 3650),
        CONSTRAINT ck_free_quota_terms_limits CHECK (input_tokens_limit >= 0 AND output_tokens_limit >= 0)
    )
    """,
    """
    CREATE TABLE free_quota_cycles (
        account_id text NOT NULL,
        number integer NOT NULL,
        starts_at timestamptz NOT NULL,
        input_tokens_used bigint NOT NULL DEFAULT 0,
        output_tokens_used bigint NOT NULL DEFAULT 0,
        input_tokens_reserved bigint NOT NULL DEFAULT 0,
        output_tokens_reserved bigint NOT NULL DEFAULT 0,
        CONSTRAINT pk_free_quota_cycles PRIMARY KEY (account_id, number),
        CONSTRAINT fk_free_quota_cycles_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT ck_free_quota_cycles_number CHECK (number >= 1),
        CONSTRAINT ck_free_quota_cycles_used CHECK (input_tokens_used >= 0 AND output_tokens_used >= 0),
        CONSTRAINT ck_free_quota_cycles_reserved CHECK (input_tokens_reserved >= 0 AND output_tokens_reserved >= 0)
    )
    """,
    """
    CREATE TABLE free_quota_reservations (
        operation_id text NOT NULL,
        account_id text NOT NULL,
        cycle_number integer NOT NULL,
        state text NOT NULL,
        input_tokens_reserved bigint NOT NULL,
        output_tokens_reserved bigint NOT NULL,
        input_tokens_used bigint,
        output_tokens_used bigint,
        placed_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        CONSTRAINT pk_free_quota_reservations PRIMARY KEY (operation_id),
        CONSTRAINT fk_free_quota_reservations_account_id_cycle_number FOREIGN KEY (account_id, cycle_number)
            REFERENCES free_quota_cycles (account_id, number),
        CONSTRAINT ck_free_quota_reservations_state CHECK (state IN ('open', 'finalised', 'released', 'expired')),
        CONSTRAINT ck_free_quota_reservations_reserved CHECK (
            input_tokens_reserved >= 0 AND output_tokens_reserved >= 0
        ),
        CONSTRAINT ck_free_quota_reservations_used_when_finalised CHECK (
            (state = 'finalised') = (input_tokens_used IS NOT NULL)
            AND (state = 'finalised') = (output_tokens_used IS NOT NULL)
            AND coalesce(input_tokens_used, 0) >= 0 AND coalesce(output_tokens_used, 0) >= 0
        ),
        CONSTRAINT ck_free_quota_reservations_ends_once CHECK ((state = 'open') = (ended_at IS NULL))
    )
    """,
    "CREATE INDEX ix_free_quota_reservations_due ON free_quota_reservations (expires_at) WHERE state = 'open'",
    """
    CREATE INDEX ix_free_quota_reservations_account_id_cycle_number
    ON free_quota_reservations (account_id, cycle_number)
    """,
)

_USAGE = (
    """
    CREATE TABLE usage_events (
        operation_id text NOT NULL,
        account_id text NOT NULL,
        wallet_id text NOT NULL,
        person_id text,
        api_key_id text,
        billing_source text NOT NULL,
        model_asked text NOT NULL,
        model_priced text NOT NULL,
        model_used text NOT NULL,
        input_tokens bigint NOT NULL,
        cached_input_tokens bigint NOT NULL,
        output_tokens bigint NOT NULL,
        reasoning_tokens bigint NOT NULL,
        raw_cost_micros bigint NOT NULL,
        charged_micros bigint NOT NULL,
        currency text NOT NULL,
        discount_percent integer NOT NULL,
        rates jsonb NOT NULL,
        estimate_reason text,
        latency_ms bigint NOT NULL,
        correlation_id text,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        CONSTRAINT pk_usage_events PRIMARY KEY (operation_id),
        CONSTRAINT fk_usage_events_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_usage_events_wallet_id FOREIGN KEY (wallet_id) REFERENCES wallets (id),
        CONSTRAINT ck_usage_events_billing_source CHECK (billing_source IN ('payg', 'lead_magnet')),
        CONSTRAINT ck_usage_events_free_is_not_charged CHECK (billing_source = 'payg' OR charged_micros = 0),
        CONSTRAINT ck_usage_events_charged_within_raw_cost CHECK (
            charged_micros >= 0 AND charged_micros <= raw_cost_micros
        ),
        CONSTRAINT ck_usage_events_discount_percent CHECK (discount_percent BETWEEN 0 AND 100),
        CONSTRAINT ck_usage_events_tokens CHECK (
            input_tokens >= 0 AND cached_input_tokens >= 0 AND output_tokens >= 0 AND reasoning_tokens >= 0
        ),
        CONSTRAINT ck_usage_events_estimate_reason CHECK (estimate_reason IN ('usage_missing', 'usage_invalid'))
    )
    """,
    "CREATE INDEX ix_usage_events_account_id_operation_id ON usage_events (account_id, operation_id)",
    "CREATE INDEX ix_usage_events_wallet_id ON usage_events (wallet_id)",
)

# What was once priced, promised or used is never rewritten; only counters and open reservations change.
_GRANTS = (
    "GRANT SELECT, INSERT ON rates, free_quota_terms, usage_events TO billing_app",
    "GRANT SELECT, INSERT, UPDATE ON free_quota_cycles, free_quota_reservations TO billing_app",
)

_DOWNGRADE = (
    "DROP TABLE usage_events",
    "DROP TABLE free_quota_reservations, free_quota_cycles, free_quota_terms",
    "DROP TABLE rates",
)
