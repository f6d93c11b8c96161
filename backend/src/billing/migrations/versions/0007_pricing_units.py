"""Units of every modality on rates and usage events."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_UPGRADE = (
    # All that was priced so far are tokens of text.
    "ALTER TABLE rates ADD COLUMN modality text NOT NULL DEFAULT 'text'",
    "ALTER TABLE rates ALTER COLUMN modality DROP DEFAULT",
    """
    ALTER TABLE rates
    DROP CONSTRAINT ck_rates_unit,
    DROP CONSTRAINT uq_rates_model_currency_unit_version,
    ADD CONSTRAINT uq_rates_model_currency_modality_unit_version
        UNIQUE (model, currency, modality, unit, version),
    ADD CONSTRAINT ck_rates_unit_of_modality CHECK (
        unit = 'requests' AND modality IN ('text', 'embeddings', 'image', 'speech', 'transcription')
        OR modality = 'text'
            AND unit IN ('input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens')
        OR modality = 'embeddings' AND unit = 'embedding_tokens'
        OR modality = 'image' AND unit IN ('image_pixels', 'images_small', 'images_medium', 'images_large')
        OR modality = 'speech' AND unit = 'speech_characters'
        OR modality = 'transcription' AND unit = 'transcription_milliseconds'
    )
    """,
    "ALTER TABLE usage_events ADD COLUMN door text NOT NULL DEFAULT 'chat/completions'",
    "ALTER TABLE usage_events ADD COLUMN provider text",
    "ALTER TABLE usage_events ADD COLUMN units jsonb NOT NULL DEFAULT '{}'",
    "ALTER TABLE usage_events ALTER COLUMN door DROP DEFAULT, ALTER COLUMN units DROP DEFAULT",
    """
    ALTER TABLE usage_events
    DROP CONSTRAINT ck_usage_events_billing_source,
    DROP CONSTRAINT ck_usage_events_free_is_not_charged,
    DROP CONSTRAINT ck_usage_events_estimate_reason,
    ADD CONSTRAINT ck_usage_events_billing_source CHECK (billing_source IN ('payg', 'lead_magnet', 'subscription')),
    ADD CONSTRAINT ck_usage_events_free_is_not_charged CHECK (billing_source <> 'lead_magnet' OR charged_micros = 0),
    ADD CONSTRAINT ck_usage_events_estimate_reason CHECK (
        estimate_reason IN ('usage_missing', 'usage_invalid', 'stream_cut', 'gateway_lost', 'operator')
    ),
    ADD CONSTRAINT ck_usage_events_latency CHECK (latency_ms >= 0),
    ADD CONSTRAINT ck_usage_events_door CHECK (door ~ '^[a-z_/]{1,40}$'),
    ADD CONSTRAINT ck_usage_events_units CHECK (
        jsonb_typeof(units) = 'object'
        AND units - ARRAY[
            'embedding_tokens', 'image_pixels', 'images_small', 'images_medium', 'images_large', 'speech_characters',
            'transcription_milliseconds', 'requests'
        ] = '{}'::jsonb
        AND NOT jsonb_path_exists(units, '$.* ? (@.type() != "number" || @ < 0 || @.floor() != @)')
    )
    """,
)

# Rows that say what the former tables could not are gone with their columns' constraints: a downgrade is for an
# installation that has none of them yet, and fails loudly elsewhere.
_DOWNGRADE = (
    """
    ALTER TABLE usage_events
    DROP CONSTRAINT ck_usage_events_units,
    DROP CONSTRAINT ck_usage_events_door,
    DROP CONSTRAINT ck_usage_events_latency,
    DROP CONSTRAINT ck_usage_events_estimate_reason,
    DROP CONSTRAINT ck_usage_events_free_is_not_charged,
    DROP CONSTRAINT ck_usage_events_billing_source,
    ADD CONSTRAINT ck_usage_events_estimate_reason CHECK (estimate_reason IN ('usage_missing', 'usage_invalid')),
    ADD CONSTRAINT ck_usage_events_free_is_not_charged CHECK (billing_source = 'payg' OR charged_micros = 0),
    ADD CONSTRAINT ck_usage_events_billing_source CHECK (billing_source IN ('payg', 'lead_magnet')),
    DROP COLUMN units,
    DROP COLUMN provider,
    DROP COLUMN door
    """,
    """
    ALTER TABLE rates
    DROP CONSTRAINT ck_rates_unit_of_modality,
    DROP CONSTRAINT uq_rates_model_currency_modality_unit_version,
    ADD CONSTRAINT uq_rates_model_currency_unit_version UNIQUE (model, currency, unit, version),
    ADD CONSTRAINT ck_rates_unit CHECK (
        unit IN ('input_tokens', 'cached_input_tokens', 'output_tokens', 'reasoning_tokens')
    ),
    DROP COLUMN modality
    """,
)
