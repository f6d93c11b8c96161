"""Renewals that a resumed plan tries anew."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_UPGRADE: tuple[str, ...] = (
    # Each attempt is the key of one payment, so another series of them goes on counting.
    """
    ALTER TABLE plan_renewals
        DROP CONSTRAINT ck_plan_renewals_attempt,
        ADD CONSTRAINT ck_plan_renewals_attempt CHECK (attempt >= 1)
    """,
)

_DOWNGRADE: tuple[str, ...] = (
    # One series was all that there was: what is tried anew is given up, so that no key is used twice.
    """
    UPDATE plan_renewals
    SET attempt = 4, status = CASE status WHEN 'open' THEN 'given_up' ELSE status END, due_at = NULL
    WHERE attempt > 4
    """,
    """
    ALTER TABLE plan_renewals
        DROP CONSTRAINT ck_plan_renewals_attempt,
        ADD CONSTRAINT ck_plan_renewals_attempt CHECK (attempt BETWEEN 1 AND 4)
    """,
)
