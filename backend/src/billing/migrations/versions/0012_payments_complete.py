"""Refunds, disputes, a schedule for every payment, and what reconciliation found."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_PAYMENTS = (
    """
    ALTER TABLE payments
        ADD COLUMN subject text,
        ADD COLUMN method_id text,
        ADD COLUMN provider_method_id text,
        ADD COLUMN provider_customer text,
        ADD COLUMN saves_method boolean NOT NULL DEFAULT false,
        ADD COLUMN contact_email text,
        ADD COLUMN contact_phone text,
        ADD COLUMN receipt_terms jsonb,
        ADD COLUMN receipt_status text,
        ADD COLUMN refunded_micros bigint NOT NULL DEFAULT 0,
        ADD COLUMN disputed_at timestamptz,
        ADD COLUMN fee_micros bigint,
        ADD COLUMN next_check_at timestamptz,
        ADD COLUMN checks integer NOT NULL DEFAULT 0,
        DROP CONSTRAINT ck_payments_state,
        DROP CONSTRAINT ck_payments_succeeded_at,
        ADD CONSTRAINT ck_payments_state
            CHECK (state IN ('created', 'pending', 'waiting_for_capture', 'succeeded', 'canceled',
                             'partially_refunded', 'refunded', 'disputed')),
        ADD CONSTRAINT ck_payments_succeeded_at
            CHECK ((state IN ('succeeded', 'partially_refunded', 'refunded', 'disputed')) = (succeeded_at IS NOT NULL)),
        ADD CONSTRAINT ck_payments_receipt_status CHECK (receipt_status IN ('pending', 'succeeded', 'failed')),
        ADD CONSTRAINT ck_payments_receipt_terms
            CHECK (receipt_terms IS NULL OR contact_email IS NOT NULL OR contact_phone IS NOT NULL),
        ADD CONSTRAINT ck_payments_refunded CHECK (refunded_micros BETWEEN 0 AND amount_micros),
        ADD CONSTRAINT ck_payments_given_back
            CHECK (succeeded_at IS NOT NULL OR (refunded_micros = 0 AND disputed_at IS NULL)),
        ADD CONSTRAINT ck_payments_checks CHECK (checks >= 0)
    """,
    "ALTER TABLE payments ALTER COLUMN saves_method DROP DEFAULT",
    "CREATE INDEX ix_payments_next_check_at ON payments (next_check_at) WHERE next_check_at IS NOT NULL",
    "DROP TRIGGER payments_keep_success ON payments",
    """
    CREATE TRIGGER payments_keep_success BEFORE UPDATE ON payments FOR EACH ROW
    WHEN (OLD.succeeded_at IS NOT NULL AND NEW.succeeded_at IS NULL) EXECUTE FUNCTION payments_keep_success()
    """,
    """
    GRANT UPDATE (receipt_status, refunded_micros, disputed_at, fee_micros, next_check_at, checks)
    ON payments TO billing_app
    """,
)

_REFUNDS_AND_DISPUTES = (
    """
    CREATE TABLE refunds (
        id text NOT NULL,
        payment_id text NOT NULL,
        provider text NOT NULL,
        amount_micros bigint NOT NULL,
        currency text NOT NULL,
        state text NOT NULL,
        begun_by text NOT NULL,
        is_overdraft boolean NOT NULL,
        reason text NOT NULL,
        provider_refund_id text,
        failure text,
        receipt_status text,
        next_check_at timestamptz,
        checks integer NOT NULL DEFAULT 0,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        succeeded_at timestamptz,
        CONSTRAINT pk_refunds PRIMARY KEY (id),
        CONSTRAINT fk_refunds_payment_id FOREIGN KEY (payment_id) REFERENCES payments (id),
        CONSTRAINT uq_refunds_provider_provider_refund_id UNIQUE (provider, provider_refund_id),
        CONSTRAINT ck_refunds_amount CHECK (amount_micros > 0),
        CONSTRAINT ck_refunds_state CHECK (state IN ('created', 'pending', 'succeeded', 'failed')),
        CONSTRAINT ck_refunds_begun_by CHECK (begun_by IN ('operator', 'provider')),
        CONSTRAINT ck_refunds_succeeded_at CHECK (state <> 'succeeded' OR succeeded_at IS NOT NULL),
        CONSTRAINT ck_refunds_failure CHECK ((state = 'failed') = (failure IS NOT NULL)),
        CONSTRAINT ck_refunds_provider_refund_id
            CHECK (state IN ('created', 'failed') OR provider_refund_id IS NOT NULL),
        CONSTRAINT ck_refunds_receipt_status CHECK (receipt_status IN ('pending', 'succeeded', 'failed')),
        CONSTRAINT ck_refunds_checks CHECK (checks >= 0)
    )
    """,
    "CREATE INDEX ix_refunds_payment_id ON refunds (payment_id)",
    "CREATE INDEX ix_refunds_next_check_at ON refunds (next_check_at) WHERE next_check_at IS NOT NULL",
    "GRANT SELECT, INSERT ON refunds TO billing_app",
    """
    GRANT UPDATE (state, provider_refund_id, failure, receipt_status, next_check_at, checks, updated_at, succeeded_at)
    ON refunds TO billing_app
    """,
    """
    CREATE TABLE disputes (
        id text NOT NULL,
        payment_id text NOT NULL,
        account_id text NOT NULL,
        provider text NOT NULL,
        provider_dispute_id text NOT NULL,
        amount_micros bigint NOT NULL,
        currency text NOT NULL,
        state text NOT NULL,
        opened_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        CONSTRAINT pk_disputes PRIMARY KEY (id),
        CONSTRAINT fk_disputes_payment_id FOREIGN KEY (payment_id) REFERENCES payments (id),
        CONSTRAINT fk_disputes_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT uq_disputes_provider_provider_dispute_id UNIQUE (provider, provider_dispute_id),
        CONSTRAINT ck_disputes_amount CHECK (amount_micros > 0),
        CONSTRAINT ck_disputes_state CHECK (state IN ('open', 'lost', 'won'))
    )
    """,
    "CREATE INDEX ix_disputes_payment_id ON disputes (payment_id)",
    "CREATE INDEX ix_disputes_standing ON disputes (account_id) WHERE state <> 'won'",
    "GRANT SELECT, INSERT ON disputes TO billing_app",
    "GRANT UPDATE (state, updated_at) ON disputes TO billing_app",
)

# Which kinds there are is written where they are recorded; here stands only what every kind looks like.
_EVENTS = (
    """
    ALTER TABLE billing_events
        DROP CONSTRAINT ck_billing_events_kind,
        ADD CONSTRAINT ck_billing_events_kind CHECK (kind ~ '^[a-z_]+[.][a-z_]+$')
    """,
)

_UPGRADE: tuple[str, ...] = (*_PAYMENTS, *_REFUNDS_AND_DISPUTES, *_EVENTS)

_DOWNGRADE: tuple[str, ...] = (
    "DELETE FROM billing_events WHERE kind NOT IN ('wallet.cap_threshold', 'wallet.low_balance')",
    """
    ALTER TABLE billing_events
        DROP CONSTRAINT ck_billing_events_kind,
        ADD CONSTRAINT ck_billing_events_kind CHECK (kind IN ('wallet.cap_threshold', 'wallet.low_balance'))
    """,
    "DROP TABLE disputes, refunds",
    "DROP TRIGGER payments_keep_success ON payments",
    "ALTER TABLE payments DROP CONSTRAINT ck_payments_state, DROP CONSTRAINT ck_payments_succeeded_at",
    "UPDATE payments SET state = 'succeeded' WHERE state IN ('partially_refunded', 'refunded', 'disputed')",
    "DROP INDEX ix_payments_next_check_at",
    """
    ALTER TABLE payments
        ADD CONSTRAINT ck_payments_state
            CHECK (state IN ('created', 'pending', 'waiting_for_capture', 'succeeded', 'canceled')),
        ADD CONSTRAINT ck_payments_succeeded_at CHECK ((state = 'succeeded') = (succeeded_at IS NOT NULL)),
        DROP COLUMN checks,
        DROP COLUMN next_check_at,
        DROP COLUMN fee_micros,
        DROP COLUMN disputed_at,
        DROP COLUMN refunded_micros,
        DROP COLUMN receipt_status,
        DROP COLUMN receipt_terms,
        DROP COLUMN contact_phone,
        DROP COLUMN contact_email,
        DROP COLUMN saves_method,
        DROP COLUMN provider_customer,
        DROP COLUMN provider_method_id,
        DROP COLUMN method_id,
        DROP COLUMN subject
    """,
    """
    CREATE TRIGGER payments_keep_success BEFORE UPDATE ON payments FOR EACH ROW
    WHEN (OLD.state = 'succeeded' AND NEW.state <> 'succeeded') EXECUTE FUNCTION payments_keep_success()
    """,
)
