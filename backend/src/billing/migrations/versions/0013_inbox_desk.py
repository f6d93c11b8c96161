"""Notifications by the id that their provider gives them, and how many were turned away at the door."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_UPGRADE: tuple[str, ...] = (
    "ALTER TABLE inbox_messages ADD COLUMN event_id text",
    "ALTER TABLE inbox_messages ADD CONSTRAINT uq_inbox_messages_provider_event_id UNIQUE (provider, event_id)",
    "CREATE INDEX ix_inbox_messages_status_id ON inbox_messages (status, id)",
    # One row a day for each provider and reason, however often strangers knock.
    """
    CREATE TABLE webhook_refusals (
        provider text NOT NULL,
        reason text NOT NULL,
        counted_on date NOT NULL,
        count bigint NOT NULL,
        CONSTRAINT pk_webhook_refusals PRIMARY KEY (provider, reason, counted_on),
        CONSTRAINT ck_webhook_refusals_count CHECK (count > 0)
    )
    """,
    "GRANT SELECT, INSERT ON webhook_refusals TO billing_app",
    "GRANT UPDATE (count) ON webhook_refusals TO billing_app",
)

_DOWNGRADE: tuple[str, ...] = (
    "DROP TABLE webhook_refusals",
    "DROP INDEX ix_inbox_messages_status_id",
    "ALTER TABLE inbox_messages DROP CONSTRAINT uq_inbox_messages_provider_event_id",
    "ALTER TABLE inbox_messages DROP COLUMN event_id",
)
