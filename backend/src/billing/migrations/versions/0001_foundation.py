"""The application's role, the job queue and idempotency keys."""

from __future__ import annotations

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _ROLE:
        op.execute(statement)
    # The queue's own schema, from the pinned package; it holds `:` and `%`, so it goes to the driver as it is.
    op.get_bind().exec_driver_sql(SchemaManager.get_schema().replace("%", "%%"))
    for statement in _UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


# Roles belong to the whole server, so two databases of one server may both try to make it.
_ROLE = (
    """
    DO $$ BEGIN
        CREATE ROLE billing_app NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
    END $$
    """,
    "GRANT billing_app TO CURRENT_USER",
    "GRANT USAGE ON SCHEMA public TO billing_app",
)

_UPGRADE = (
    """
    CREATE TABLE idempotency_keys (
        owner_id text NOT NULL,
        operation text NOT NULL,
        key text NOT NULL,
        request_digest text NOT NULL,
        result_id text NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_idempotency_keys PRIMARY KEY (owner_id, operation, key)
    )
    """,
    "GRANT SELECT, INSERT ON idempotency_keys TO billing_app",
    "GRANT SELECT ON alembic_version TO billing_app",
    r"""
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT tablename FROM pg_tables
                    WHERE schemaname = current_schema() AND tablename LIKE 'procrastinate\_%'
        LOOP
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO billing_app', name);
        END LOOP;
    END $$
    """,
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO billing_app",
)

_DOWNGRADE = (
    "DROP TABLE idempotency_keys",
    r"""
    DO $$
    DECLARE object record;
    BEGIN
        FOR object IN SELECT tablename FROM pg_tables
                      WHERE schemaname = current_schema() AND tablename LIKE 'procrastinate\_%'
        LOOP
            EXECUTE format('DROP TABLE %I CASCADE', object.tablename);
        END LOOP;
        FOR object IN SELECT oid::regprocedure AS signature FROM pg_proc
                      WHERE pronamespace = current_schema()::regnamespace AND proname LIKE 'procrastinate\_%'
        LOOP
            EXECUTE format('DROP FUNCTION %s CASCADE', object.signature);
        END LOOP;
        FOR object IN SELECT typname FROM pg_type
                      WHERE typnamespace = current_schema()::regnamespace AND typname LIKE 'procrastinate\_%'
                        AND typtype IN ('e', 'c')
        LOOP
            EXECUTE format('DROP TYPE IF EXISTS %I CASCADE', object.typname);
        END LOOP;
    END $$
    """,
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM billing_app",
    "REVOKE ALL ON SCHEMA public FROM billing_app",
)
