"""Accounts, people, sessions, API keys and the audit trail."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
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
    CREATE TABLE accounts (
        id text NOT NULL,
        kind text NOT NULL,
        name text NOT NULL,
        time_zone text NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_accounts PRIMARY KEY (id),
        CONSTRAINT ck_accounts_kind CHECK (kind IN ('personal', 'organisation'))
    )
    """,
    """
    CREATE TABLE people (
        id text NOT NULL,
        email text NOT NULL,
        password_hash text NOT NULL,
        operator_role text,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_people PRIMARY KEY (id),
        CONSTRAINT uq_people_email UNIQUE (email),
        CONSTRAINT ck_people_email_is_normalised CHECK (email = lower(email) AND email !~ '\\s'),
        CONSTRAINT ck_people_password_is_hashed CHECK (password_hash LIKE '$argon2id$%'),
        CONSTRAINT ck_people_operator_role CHECK (operator_role IN ('super_admin', 'finance', 'support', 'auditor'))
    )
    """,
    """
    CREATE TABLE members (
        account_id text NOT NULL,
        person_id text NOT NULL,
        role text NOT NULL,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_members PRIMARY KEY (account_id, person_id),
        CONSTRAINT fk_members_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_members_person_id FOREIGN KEY (person_id) REFERENCES people (id),
        CONSTRAINT ck_members_role CHECK (role IN ('owner', 'admin', 'member', 'auditor'))
    )
    """,
    "CREATE INDEX ix_members_person_id ON members (person_id)",
    # A session is one membership's: when somebody leaves the account, the sessions there end with it.
    """
    CREATE TABLE sessions (
        digest bytea NOT NULL,
        account_id text NOT NULL,
        person_id text NOT NULL,
        user_agent text NOT NULL,
        created_at timestamptz NOT NULL,
        last_seen_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT pk_sessions PRIMARY KEY (digest),
        CONSTRAINT fk_sessions_account_id_person_id FOREIGN KEY (account_id, person_id)
            REFERENCES members (account_id, person_id) ON DELETE CASCADE,
        CONSTRAINT ck_sessions_digest_is_sha256 CHECK (octet_length(digest) = 32),
        CONSTRAINT ck_sessions_ends_after_it_began CHECK (expires_at > created_at)
    )
    """,
    "CREATE INDEX ix_sessions_account_id_person_id ON sessions (account_id, person_id)",
    "CREATE INDEX ix_sessions_last_seen_at ON sessions (last_seen_at)",
    """
    CREATE TABLE sign_in_attempts (
        subject text NOT NULL,
        attempts integer NOT NULL,
        window_ends_at timestamptz NOT NULL,
        CONSTRAINT pk_sign_in_attempts PRIMARY KEY (subject),
        CONSTRAINT ck_sign_in_attempts_not_negative CHECK (attempts >= 0)
    )
    """,
    "CREATE INDEX ix_sign_in_attempts_window_ends_at ON sign_in_attempts (window_ends_at)",
    """
    CREATE TABLE api_keys (
        id text NOT NULL,
        account_id text NOT NULL,
        person_id text NOT NULL,
        name text NOT NULL,
        digest bytea NOT NULL,
        prefix text NOT NULL,
        scopes text[] NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        revoked_at timestamptz,
        CONSTRAINT pk_api_keys PRIMARY KEY (id),
        CONSTRAINT uq_api_keys_digest UNIQUE (digest),
        CONSTRAINT fk_api_keys_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_api_keys_person_id FOREIGN KEY (person_id) REFERENCES people (id),
        CONSTRAINT ck_api_keys_digest_is_sha256 CHECK (octet_length(digest) = 32),
        CONSTRAINT ck_api_keys_has_scopes CHECK (cardinality(scopes) > 0),
        CONSTRAINT ck_api_keys_ends_after_it_began CHECK (expires_at > created_at)
    )
    """,
    "CREATE INDEX ix_api_keys_account_id_id ON api_keys (account_id, id)",
    """
    CREATE TABLE audit_entries (
        id text NOT NULL,
        account_id text NOT NULL,
        actor_account_id text NOT NULL,
        actor_person_id text,
        actor_api_key_id text,
        actor_operator_role text,
        action text NOT NULL,
        target text NOT NULL,
        before jsonb,
        after jsonb,
        reason text NOT NULL,
        request_id text NOT NULL,
        recorded_at timestamptz NOT NULL,
        CONSTRAINT pk_audit_entries PRIMARY KEY (id),
        CONSTRAINT fk_audit_entries_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT ck_audit_entries_action CHECK (action ~ '^[a-z_]+(\\.[a-z_]+)+$')
    )
    """,
    "CREATE INDEX ix_audit_entries_account_id_id ON audit_entries (account_id, id)",
    """
    CREATE FUNCTION refuse_change_of_audit_entries() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'audit entries are append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
    """,
    """
    CREATE TRIGGER audit_entries_are_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change_of_audit_entries()
    """,
    "GRANT SELECT, INSERT ON accounts, people, members, audit_entries TO billing_app",
    # Locking an account's row needs the right to update one of its columns.
    "GRANT UPDATE (name) ON accounts TO billing_app",
    "GRANT SELECT, INSERT, DELETE, UPDATE (last_seen_at) ON sessions TO billing_app",
    "GRANT SELECT, INSERT, DELETE, UPDATE (attempts, window_ends_at) ON sign_in_attempts TO billing_app",
    "GRANT SELECT, INSERT, UPDATE (revoked_at) ON api_keys TO billing_app",
)

_DOWNGRADE: tuple[str, ...] = (
    "DROP TABLE audit_entries",
    "DROP FUNCTION refuse_change_of_audit_entries()",
    "DROP TABLE api_keys",
    "DROP TABLE sign_in_attempts",
    "DROP TABLE sessions",
    "DROP TABLE members",
    "DROP TABLE people",
    "DROP TABLE accounts",
)
