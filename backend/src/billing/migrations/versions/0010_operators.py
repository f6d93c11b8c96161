"""What operators look for: the books as they were at any past moment, and holds that ended oddly."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_UPGRADE = (
    # Transfers are recorded in the order of time, so a summary of each block of rows is enough, and costs nothing.
    "CREATE INDEX ix_ledger_transfers_recorded_at ON ledger_transfers USING brin (recorded_at)",
    # Nearly every transfer moves what is held; the other accounts can rest for so long that their last entry is far.
    """
    CREATE INDEX ix_ledger_entries_last_of_account ON ledger_entries (wallet_id, account, sequence)
    WHERE account <> 'wallet.held' AND wallet_id IS NOT NULL
    """,
    "CREATE INDEX ix_holds_odd ON holds (ended_at) WHERE status = 'expired' OR charged_micros > amount_micros",
)

_DOWNGRADE = (
    "DROP INDEX ix_holds_odd",
    "DROP INDEX ix_ledger_entries_last_of_account",
    "DROP INDEX ix_ledger_transfers_recorded_at",
)
