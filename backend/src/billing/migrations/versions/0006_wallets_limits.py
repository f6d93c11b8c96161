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
)
_DOWNGRADE: tuple[str, ...] = (
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
