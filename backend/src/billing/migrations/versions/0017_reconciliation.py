"""What two-way reconciliation compared and found."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
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
    CREATE TABLE reconciliation_runs (
        id text NOT NULL,
        provider text NOT NULL,
        shop_id text NOT NULL,
        is_daily boolean NOT NULL,
        since_at timestamptz NOT NULL,
        until_at timestamptz NOT NULL,
        payments integer NOT NULL,
        refunds integer NOT NULL,
        healed integer NOT NULL,
        differences integer NOT NULL,
        finished_at timestamptz NOT NULL,
        CONSTRAINT pk_reconciliation_runs PRIMARY KEY (id),
        CONSTRAINT ck_reconciliation_runs_window CHECK (since_at < until_at)
    )
    """,
    "CREATE INDEX ix_reconciliation_runs_shop ON reconciliation_runs (provider, shop_id, finished_at DESC)",
    """
    CREATE TABLE reconciliation_differences (
        id text NOT NULL,
        provider text NOT NULL,
        shop_id text NOT NULL,
        kind text NOT NULL,
        object_id text NOT NULL,
        payment_id text,
        ours jsonb NOT NULL,
        theirs jsonb NOT NULL,
        found_at timestamptz NOT NULL,
        last_seen_at timestamptz NOT NULL,
        resolution text,
        resolved_at timestamptz,
        CONSTRAINT pk_reconciliation_differences PRIMARY KEY (id),
        CONSTRAINT ck_reconciliation_differences_kind
            CHECK (kind IN ('missing_here', 'foreign', 'missing_there', 'identity', 'amount', 'currency', 'status',
                            'refund', 'fee', 'unreadable')),
        CONSTRAINT ck_reconciliation_differences_resolution CHECK (resolution IN ('adopted', 'accepted', 'ignored')),
        CONSTRAINT ck_reconciliation_differences_resolved_at CHECK ((resolution IS NULL) = (resolved_at IS NULL))
    )
    """,
    """
    CREATE UNIQUE INDEX uq_reconciliation_differences_open
        ON reconciliation_differences (provider, shop_id, kind, object_id) WHERE resolved_at IS NULL
    """,
    "CREATE INDEX ix_reconciliation_differences_object_id ON reconciliation_differences (object_id, kind)",
    "CREATE INDEX ix_reconciliation_differences_found_at ON reconciliation_differences (found_at DESC, id)",
    "GRANT SELECT, INSERT ON reconciliation_runs TO billing_app",
    # What was found stays as it was found first, but for what both sides say now and what a person decides.
    """
    GRANT SELECT, INSERT, UPDATE (ours, theirs, last_seen_at, resolution, resolved_at)
        ON reconciliation_differences TO billing_app
    """,
    # Our own rows of some time, oldest first.
    "CREATE INDEX ix_payments_created_at ON payments (created_at, id)",
    "CREATE INDEX ix_refunds_created_at ON refunds (created_at, id)",
    # What nothing finishes any more: few, however many payments there are.
    """
    CREATE INDEX ix_payments_stuck ON payments (created_at)
        WHERE contradiction IS NOT NULL
           OR (next_check_at IS NULL AND state IN ('created', 'pending', 'waiting_for_capture'))
    """,
    # What began before anybody was asked about by itself is due at once.
    """
    UPDATE payments SET next_check_at = created_at
    WHERE state IN ('created', 'pending', 'waiting_for_capture') AND next_check_at IS NULL
    """,
)

_DOWNGRADE: tuple[str, ...] = (
    "DROP INDEX ix_payments_stuck",
    "DROP INDEX ix_refunds_created_at",
    "DROP INDEX ix_payments_created_at",
    "DROP TABLE reconciliation_differences, reconciliation_runs",
)
