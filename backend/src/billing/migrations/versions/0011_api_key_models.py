"""Keys that open only some models."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_UPGRADE: tuple[str, ...] = (
    # Null opens every model; an empty list would open none, which nobody means.
    "ALTER TABLE api_keys ADD COLUMN models text[]",
    "ALTER TABLE api_keys ADD CONSTRAINT ck_api_keys_has_models CHECK (cardinality(models) > 0)",
)

_DOWNGRADE: tuple[str, ...] = ("ALTER TABLE api_keys DROP COLUMN models",)
