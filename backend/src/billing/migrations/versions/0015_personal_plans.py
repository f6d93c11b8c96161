"""The paid plan of one customer."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_UPGRADE: tuple[str, ...] = (
    """
    CREATE TABLE plans (
        id text NOT NULL,
        code text NOT NULL,
        name text NOT NULL,
        price_micros bigint NOT NULL,
        currency text NOT NULL,
        interval text NOT NULL,
        included_credit_micros bigint NOT NULL,
        discount_percent integer NOT NULL,
        daily_cap_micros bigint,
        monthly_cap_micros bigint,
        input_tokens_quota bigint NOT NULL,
        output_tokens_quota bigint NOT NULL,
        images_quota bigint NOT NULL,
        speech_seconds_quota bigint NOT NULL,
        transcription_seconds_quota bigint NOT NULL,
        created_at timestamptz NOT NULL,
        retired_at timestamptz,
        CONSTRAINT pk_plans PRIMARY KEY (id),
        CONSTRAINT ck_plans_price CHECK (price_micros > 0),
        CONSTRAINT ck_plans_interval CHECK (interval IN ('month', 'year')),
        CONSTRAINT ck_plans_included_credit CHECK (included_credit_micros >= 0),
        CONSTRAINT ck_plans_discount_percent CHECK (discount_percent BETWEEN 0 AND 100),
        CONSTRAINT ck_plans_caps CHECK (daily_cap_micros >= 0 AND monthly_cap_micros >= 0),
        CONSTRAINT ck_plans_quotas CHECK (
            input_tokens_quota >= 0 AND output_tokens_quota >= 0 AND images_quota >= 0 AND speech_seconds_quota >= 0
            AND transcription_seconds_quota >= 0
        )
    )
    """,
    "CREATE UNIQUE INDEX uq_plans_code_on_offer ON plans (code) WHERE retired_at IS NULL",
    """
    CREATE TABLE plan_subscriptions (
        account_id text NOT NULL,
        will_renew boolean NOT NULL DEFAULT false,
        method_id text,
        canceled_at timestamptz,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_plan_subscriptions PRIMARY KEY (account_id),
        CONSTRAINT fk_plan_subscriptions_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT ck_plan_subscriptions_renews_with_a_method CHECK (NOT will_renew OR method_id IS NOT NULL),
        CONSTRAINT ck_plan_subscriptions_canceled_does_not_renew CHECK (NOT will_renew OR canceled_at IS NULL)
    )
    """,
    """
    CREATE TABLE plan_grants (
        payment_id text NOT NULL,
        account_id text NOT NULL,
        plan_id text NOT NULL,
        anchor_at timestamptz NOT NULL,
        months_before integer NOT NULL,
        months integer NOT NULL,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        granted_at timestamptz NOT NULL,
        credit_given_at timestamptz,
        credit_taken_micros bigint NOT NULL DEFAULT 0,
        ended_at timestamptz,
        end_reason text,
        CONSTRAINT pk_plan_grants PRIMARY KEY (payment_id),
        CONSTRAINT fk_plan_grants_payment_id FOREIGN KEY (payment_id) REFERENCES payments (id),
        CONSTRAINT fk_plan_grants_account_id FOREIGN KEY (account_id) REFERENCES plan_subscriptions (account_id),
        CONSTRAINT fk_plan_grants_plan_id FOREIGN KEY (plan_id) REFERENCES plans (id),
        CONSTRAINT ck_plan_grants_months CHECK (months_before >= 0 AND months > 0),
        CONSTRAINT ck_plan_grants_ends_after_it_began CHECK (starts_at < ends_at),
        CONSTRAINT ck_plan_grants_credit_taken CHECK (credit_taken_micros >= 0),
        CONSTRAINT ck_plan_grants_end_reason CHECK (end_reason IN ('canceled', 'refunded')),
        CONSTRAINT ck_plan_grants_ended_early CHECK (
            (ended_at IS NULL) = (end_reason IS NULL) AND ended_at < ends_at
        )
    )
    """,
    "CREATE INDEX ix_plan_grants_account_id_starts_at ON plan_grants (account_id, starts_at)",
    """
    CREATE UNIQUE INDEX uq_plan_grants_account_id_starts_at_live ON plan_grants (account_id, starts_at)
    WHERE ended_at IS NULL
    """,
    """
    CREATE INDEX ix_plan_grants_credit_due ON plan_grants (starts_at)
    WHERE credit_given_at IS NULL AND ended_at IS NULL
    """,
    "CREATE INDEX ix_plan_grants_ends_at ON plan_grants (ends_at) WHERE ended_at IS NULL",
    """
    CREATE TABLE plan_renewals (
        id text NOT NULL,
        account_id text NOT NULL,
        plan_id text NOT NULL,
        starts_at timestamptz NOT NULL,
        attempt integer NOT NULL,
        status text NOT NULL,
        due_at timestamptz,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_plan_renewals PRIMARY KEY (id),
        CONSTRAINT uq_plan_renewals_account_id_starts_at UNIQUE (account_id, starts_at),
        CONSTRAINT fk_plan_renewals_account_id FOREIGN KEY (account_id) REFERENCES plan_subscriptions (account_id),
        CONSTRAINT fk_plan_renewals_plan_id FOREIGN KEY (plan_id) REFERENCES plans (id),
        CONSTRAINT ck_plan_renewals_status CHECK (status IN ('open', 'paid', 'given_up', 'superseded')),
        CONSTRAINT ck_plan_renewals_attempt CHECK (attempt BETWEEN 1 AND 4),
        CONSTRAINT ck_plan_renewals_open_is_due CHECK ((status = 'open') = (due_at IS NOT NULL))
    )
    """,
    "CREATE INDEX ix_plan_renewals_due_at ON plan_renewals (due_at) WHERE status = 'open'",
    # The terms of a plan and the bounds of a period that was paid for are nobody's to change.
    "GRANT SELECT, INSERT, UPDATE (retired_at) ON plans TO billing_app",
    "GRANT SELECT, INSERT, UPDATE (will_renew, method_id, canceled_at) ON plan_subscriptions TO billing_app",
    """
    GRANT SELECT, INSERT, UPDATE (credit_given_at, credit_taken_micros, ended_at, end_reason) ON plan_grants
    TO billing_app
    """,
    "GRANT SELECT, INSERT, UPDATE (attempt, status, due_at) ON plan_renewals TO billing_app",
)

_DOWNGRADE: tuple[str, ...] = ("DROP TABLE plan_renewals, plan_grants, plan_subscriptions, plans",)
