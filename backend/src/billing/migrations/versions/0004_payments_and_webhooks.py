"""Top-ups and the inbox of provider notifications."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
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
    CREATE TABLE payments (
        id text NOT NULL,
        account_id text NOT NULL,
        purpose text NOT NULL,
        amount_micros bigint NOT NULL,
        currency text NOT NULL,
        provider text NOT NULL,
        shop_id text NOT NULL,
        is_test boolean NOT NULL,
        return_url text NOT NULL,
        is_own_return boolean NOT NULL,
        return_to text,
        state text NOT NULL,
        provider_payment_id text,
        confirmation_url text,
        cancellation text,
        contradiction text,
        created_at timestamptz NOT NULL,
        updated_at timestamptz NOT NULL,
        succeeded_at timestamptz,
        CONSTRAINT pk_payments PRIMARY KEY (id),
        CONSTRAINT fk_payments_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT uq_payments_provider_provider_payment_id UNIQUE (provider, provider_payment_id),
        CONSTRAINT ck_payments_amount CHECK (amount_micros > 0),
        CONSTRAINT ck_payments_state
            CHECK (state IN ('created', 'pending', 'waiting_for_capture', 'succeeded', 'canceled')),
        CONSTRAINT ck_payments_succeeded_at CHECK ((state = 'succeeded') = (succeeded_at IS NOT NULL)),
        CONSTRAINT ck_payments_cancellation CHECK ((state = 'canceled') = (cancellation IS NOT NULL)),
        CONSTRAINT ck_payments_provider_payment_id
            CHECK (state IN ('created', 'canceled') OR provider_payment_id IS NOT NULL)
    )
    """,
    "CREATE INDEX ix_payments_account_id ON payments (account_id, created_at DESC)",
    # The second of two walls: the rules never ask for this step, and the database would not take it.
    """
    CREATE FUNCTION payments_keep_success() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'payment % has succeeded and stays so', OLD.id USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER payments_keep_success BEFORE UPDATE ON payments FOR EACH ROW
    WHEN (OLD.state = 'succeeded' AND NEW.state <> 'succeeded') EXECUTE FUNCTION payments_keep_success()
    """,
    # What a payment is about never changes; only where it stands does.
    "GRANT SELECT, INSERT ON payments TO billing_app",
    """
    GRANT UPDATE (return_to, state, provider_payment_id, confirmation_url, cancellation, contradiction, updated_at,
                  succeeded_at) ON payments TO billing_app
    """,
    """
    CREATE TABLE inbox_messages (
        id text NOT NULL,
        provider text NOT NULL,
        digest text NOT NULL,
        body text NOT NULL,
        status text NOT NULL,
        reason text,
        attempts integer NOT NULL,
        received_at timestamptz NOT NULL,
        due_at timestamptz,
        handled_at timestamptz,
        CONSTRAINT pk_inbox_messages PRIMARY KEY (id),
        CONSTRAINT uq_inbox_messages_provider_digest UNIQUE (provider, digest),
        CONSTRAINT ck_inbox_messages_status
            CHECK (status IN ('waiting', 'done', 'ignored', 'quarantined', 'given_up')),
        CONSTRAINT ck_inbox_messages_due_at CHECK ((status = 'waiting') = (due_at IS NOT NULL))
    )
    """,
    "CREATE INDEX ix_inbox_messages_due_at ON inbox_messages (due_at) WHERE status = 'waiting'",
    "GRANT SELECT, INSERT ON inbox_messages TO billing_app",
    "GRANT UPDATE (status, reason, attempts, due_at, handled_at) ON inbox_messages TO billing_app",
)

_DOWNGRADE: tuple[str, ...] = (
    "DROP TABLE inbox_messages",
    "DROP TABLE payments",
    "DROP FUNCTION payments_keep_success()",
)
