"""Spending limits, leases and alerts of wallets."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
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
    ALTER TABLE holds
        ADD COLUMN first_amount_micros bigint,
        ADD COLUMN reply_limit_micros bigint,
        ADD COLUMN person_id text,
        ADD COLUMN api_key_id text,
        ADD CONSTRAINT ck_holds_has_grown CHECK (first_amount_micros >= 0 AND first_amount_micros < amount_micros)
    """,
    "GRANT UPDATE (amount_micros) ON hold_allocations TO billing_app",
    # A cap that is set in the middle of a period counts what was spent in it before.
    "CREATE INDEX ix_holds_wallet_id_placed_at ON holds (wallet_id, placed_at)",
    """
    ALTER TABLE wallets
        ADD COLUMN low_balance_micros bigint,
        DROP CONSTRAINT ck_wallets_max_reply_cost,
        ADD CONSTRAINT ck_wallets_max_reply_cost CHECK (max_reply_cost_micros >= 0),
        ADD CONSTRAINT ck_wallets_low_balance CHECK (low_balance_micros >= 0)
    """,
    """
    CREATE TABLE spending_limits (
        wallet_id text NOT NULL,
        scope text NOT NULL,
        subject text NOT NULL,
        cap_micros bigint,
        CONSTRAINT pk_spending_limits PRIMARY KEY (wallet_id, scope, subject),
        CONSTRAINT fk_spending_limits_wallet_id FOREIGN KEY (wallet_id) REFERENCES wallets (id),
        CONSTRAINT ck_spending_limits_scope CHECK (scope IN ('day', 'month', 'member', 'key')),
        CONSTRAINT ck_spending_limits_subject CHECK ((scope IN ('day', 'month')) = (subject = '')),
        CONSTRAINT ck_spending_limits_cap CHECK (cap_micros >= 0)
    )
    """,
    """
    CREATE TABLE spending_periods (
        wallet_id text NOT NULL,
        scope text NOT NULL,
        subject text NOT NULL,
        starts_at timestamptz NOT NULL,
        ends_at timestamptz NOT NULL,
        spent_micros bigint NOT NULL,
        reserved_micros bigint NOT NULL,
        CONSTRAINT pk_spending_periods PRIMARY KEY (wallet_id, scope, subject, starts_at),
        CONSTRAINT fk_spending_periods_wallet_id_scope_subject FOREIGN KEY (wallet_id, scope, subject)
            REFERENCES spending_limits (wallet_id, scope, subject),
        CONSTRAINT ck_spending_periods_ends_after_it_began CHECK (starts_at < ends_at),
        CONSTRAINT ck_spending_periods_floors CHECK (spent_micros >= 0 AND reserved_micros >= 0)
    )
    """,
    """
    CREATE TABLE billing_events (
        id text NOT NULL,
        account_id text NOT NULL,
        wallet_id text NOT NULL,
        kind text NOT NULL,
        subject text NOT NULL,
        crossing text NOT NULL,
        payload jsonb NOT NULL,
        occurred_at timestamptz NOT NULL,
        CONSTRAINT pk_billing_events PRIMARY KEY (id),
        CONSTRAINT uq_billing_events_wallet_id_crossing UNIQUE (wallet_id, crossing),
        CONSTRAINT fk_billing_events_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_billing_events_wallet_id FOREIGN KEY (wallet_id) REFERENCES wallets (id),
        CONSTRAINT ck_billing_events_kind CHECK (kind IN ('wallet.cap_threshold', 'wallet.low_balance'))
    )
    """,
    "CREATE INDEX ix_billing_events_account_id_id ON billing_events (account_id, id)",
    "GRANT SELECT, INSERT, UPDATE (cap_micros) ON spending_limits TO billing_app",
    "GRANT SELECT, INSERT, UPDATE (spent_micros, reserved_micros) ON spending_periods TO billing_app",
    "GRANT SELECT, INSERT ON billing_events TO billing_app",
)
_DOWNGRADE: tuple[str, ...] = (
    "DROP TABLE billing_events, spending_periods, spending_limits",
    "UPDATE wallets SET max_reply_cost_micros = 1 WHERE max_reply_cost_micros = 0",
    """
    ALTER TABLE wallets
        DROP CONSTRAINT ck_wallets_max_reply_cost,
        ADD CONSTRAINT ck_wallets_max_reply_cost CHECK (max_reply_cost_micros > 0),
        DROP COLUMN low_balance_micros
    """,
    "DROP INDEX ix_holds_wallet_id_placed_at",
    "REVOKE UPDATE (amount_micros) ON hold_allocations FROM billing_app",
    """
    ALTER TABLE holds
        DROP CONSTRAINT ck_holds_has_grown,
        DROP COLUMN api_key_id,
        DROP COLUMN person_id,
        DROP COLUMN reply_limit_micros,
        DROP COLUMN first_amount_micros
    """,
)
