"""Free quotas of every modality, one for each person."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_NEW_METRICS = ("images", "speech_seconds", "transcription_seconds")


def _add(table: str, kind: str, definition: str) -> str:
    columns = ", ".join(f"ADD COLUMN {metric}_{kind} {definition}" for metric in _NEW_METRICS)
    return f"ALTER TABLE {table} {columns}"


def _drop(table: str, kind: str) -> str:
    return f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {metric}_{kind}' for metric in _NEW_METRICS)}"


_COUNT = "bigint NOT NULL DEFAULT 0"

_UPGRADE: tuple[str, ...] = (
    _add("free_quota_terms", "limit", _COUNT),
    _add("free_quota_cycles", "used", _COUNT),
    _add("free_quota_cycles", "reserved", _COUNT),
    _add("free_quota_reservations", "reserved", _COUNT),
    _add("free_quota_reservations", "used", "bigint"),
    """
    UPDATE free_quota_reservations SET images_used = 0, speech_seconds_used = 0, transcription_seconds_used = 0
    WHERE state = 'finalised'
    """,
)
_DOWNGRADE: tuple[str, ...] = (
    _drop("free_quota_reservations", "used"),
    _drop("free_quota_reservations", "reserved"),
    _drop("free_quota_cycles", "reserved"),
    _drop("free_quota_cycles", "used"),
    _drop("free_quota_terms", "limit"),
)
