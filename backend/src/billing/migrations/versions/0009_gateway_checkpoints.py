"""Checkpoints of streams that are being metered.

A row stands here from the moment in which a stream is let in until it is booked or given back. Whoever ends the stream
deletes the row in the same transaction, and only who has deleted it may end the stream.
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
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
    CREATE TABLE gateway_checkpoints (
        operation_id text NOT NULL,
        account_id text NOT NULL,
        wallet_id text NOT NULL,
        billing_source text NOT NULL,
        event jsonb NOT NULL,
        quantities jsonb NOT NULL,
        free_amounts jsonb NOT NULL,
        raw_cost_micros bigint NOT NULL,
        currency text NOT NULL,
        estimate_reason text,
        has_delivered boolean NOT NULL,
        began_at timestamptz NOT NULL,
        metered_at timestamptz NOT NULL,
        lease_until timestamptz NOT NULL,
        CONSTRAINT pk_gateway_checkpoints PRIMARY KEY (operation_id),
        CONSTRAINT fk_gateway_checkpoints_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_gateway_checkpoints_wallet_id FOREIGN KEY (wallet_id) REFERENCES wallets (id),
        CONSTRAINT ck_gateway_checkpoints_billing_source
            CHECK (billing_source IN ('payg', 'lead_magnet', 'subscription')),
        CONSTRAINT ck_gateway_checkpoints_raw_cost CHECK (raw_cost_micros >= 0)
    )
    """,
    "CREATE INDEX ix_gateway_checkpoints_lease_until ON gateway_checkpoints (lease_until)",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON gateway_checkpoints TO billing_app",
)

_DOWNGRADE: tuple[str, ...] = ("DROP TABLE gateway_checkpoints",)
