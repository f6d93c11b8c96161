"""The endpoints of customers, and what is delivered to them."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
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
    CREATE TABLE webhook_endpoints (
        id text NOT NULL,
        account_id text NOT NULL,
        url text NOT NULL,
        description text NOT NULL,
        event_types text[],
        status text NOT NULL,
        disabled_reason text,
        disabled_at timestamptz,
        failing_since timestamptz,
        last_failed_at timestamptz,
        due_at timestamptz,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_webhook_endpoints PRIMARY KEY (id),
        CONSTRAINT fk_webhook_endpoints_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT ck_webhook_endpoints_status CHECK (status IN ('enabled', 'disabled')),
        CONSTRAINT ck_webhook_endpoints_disabled_reason CHECK (disabled_reason IN ('owner', 'failing', 'gone')),
        CONSTRAINT ck_webhook_endpoints_disabled CHECK (
            (status = 'disabled') = (disabled_at IS NOT NULL) AND (disabled_at IS NULL) = (disabled_reason IS NULL)
        ),
        CONSTRAINT ck_webhook_endpoints_due_at CHECK (status = 'enabled' OR due_at IS NULL),
        CONSTRAINT ck_webhook_endpoints_event_types CHECK (cardinality(event_types) > 0)
    )
    """,
    "CREATE INDEX ix_webhook_endpoints_account_id_id ON webhook_endpoints (account_id, id)",
    "CREATE INDEX ix_webhook_endpoints_due_at ON webhook_endpoints (due_at) WHERE due_at IS NOT NULL",
    """
    CREATE TABLE webhook_secrets (
        endpoint_id text NOT NULL,
        generation integer NOT NULL,
        key_fingerprint text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        CONSTRAINT pk_webhook_secrets PRIMARY KEY (endpoint_id, generation),
        CONSTRAINT fk_webhook_secrets_endpoint_id FOREIGN KEY (endpoint_id)
            REFERENCES webhook_endpoints (id) ON DELETE CASCADE
    )
    """,
    """
    CREATE TABLE webhook_messages (
        id text NOT NULL,
        position bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
        account_id text NOT NULL,
        type text NOT NULL,
        subject text NOT NULL,
        data jsonb NOT NULL,
        occurred_at timestamptz NOT NULL,
        routed_at timestamptz,
        CONSTRAINT pk_webhook_messages PRIMARY KEY (id),
        CONSTRAINT uq_webhook_messages_position UNIQUE (position),
        CONSTRAINT fk_webhook_messages_account_id FOREIGN KEY (account_id) REFERENCES accounts (id)
    )
    """,
    "CREATE INDEX ix_webhook_messages_account_id_occurred_at ON webhook_messages (account_id, occurred_at)",
    "CREATE INDEX ix_webhook_messages_occurred_at ON webhook_messages (occurred_at)",
    "CREATE INDEX ix_webhook_messages_unrouted ON webhook_messages (position) WHERE routed_at IS NULL",
    """
    CREATE TABLE webhook_deliveries (
        id text NOT NULL,
        endpoint_id text NOT NULL,
        position bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
        message_id text NOT NULL,
        is_replay boolean NOT NULL,
        status text NOT NULL,
        attempts integer NOT NULL,
        last_outcome text,
        last_status smallint,
        last_attempted_at timestamptz,
        created_at timestamptz NOT NULL,
        due_at timestamptz,
        ended_at timestamptz,
        CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
        CONSTRAINT uq_webhook_deliveries_endpoint_id_position UNIQUE (endpoint_id, position),
        CONSTRAINT fk_webhook_deliveries_endpoint_id FOREIGN KEY (endpoint_id)
            REFERENCES webhook_endpoints (id) ON DELETE CASCADE,
        CONSTRAINT fk_webhook_deliveries_message_id FOREIGN KEY (message_id) REFERENCES webhook_messages (id),
        CONSTRAINT ck_webhook_deliveries_status CHECK (status IN ('waiting', 'delivered', 'given_up', 'canceled')),
        CONSTRAINT ck_webhook_deliveries_due_at CHECK ((status = 'waiting') = (due_at IS NOT NULL)),
        CONSTRAINT ck_webhook_deliveries_ended_at CHECK ((status = 'waiting') = (ended_at IS NULL))
    )
    """,
    "CREATE INDEX ix_webhook_deliveries_message_id ON webhook_deliveries (message_id)",
    "CREATE INDEX ix_webhook_deliveries_ended_at ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL",
    """
    CREATE UNIQUE INDEX uq_webhook_deliveries_endpoint_id_message_id
        ON webhook_deliveries (endpoint_id, message_id) WHERE NOT is_replay
    """,
    """
    CREATE INDEX ix_webhook_deliveries_waiting ON webhook_deliveries (endpoint_id, position)
        WHERE status = 'waiting'
    """,
    # Whoever records an event need not know that there are endpoints, and cannot forget them. A position that was
    # remembered instead could pass over events that commit later than ones with a higher number.
    """
    CREATE FUNCTION webhook_message_of_event() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO webhook_messages (id, account_id, type, subject, data, occurred_at)
        VALUES ('msg_' || regexp_replace(NEW.id, '^evt_', ''), NEW.account_id, NEW.kind, NEW.subject, NEW.payload,
                NEW.occurred_at);
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER billing_events_are_messages AFTER INSERT ON billing_events
    FOR EACH ROW EXECUTE FUNCTION webhook_message_of_event()
    """,
    """
    GRANT SELECT, INSERT, DELETE,
        UPDATE (url, description, event_types, status, disabled_reason, disabled_at, failing_since, last_failed_at,
                due_at)
        ON webhook_endpoints TO billing_app
    """,
    "GRANT SELECT, INSERT, UPDATE (expires_at) ON webhook_secrets TO billing_app",
    "GRANT SELECT, INSERT, DELETE, UPDATE (routed_at) ON webhook_messages TO billing_app",
    """
    GRANT SELECT, INSERT, DELETE,
        UPDATE (status, attempts, last_outcome, last_status, last_attempted_at, due_at, ended_at)
        ON webhook_deliveries TO billing_app
    """,
)

_DOWNGRADE: tuple[str, ...] = (
    "DROP TRIGGER billing_events_are_messages ON billing_events",
    "DROP FUNCTION webhook_message_of_event",
    "DROP TABLE webhook_deliveries, webhook_messages, webhook_secrets, webhook_endpoints",
)
