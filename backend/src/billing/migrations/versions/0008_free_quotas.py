"""Free quotas of every modality, one for each person."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _CUSTOMERS + _METRICS + _PEOPLE + _GRANTS:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_NEW_METRICS = ("images", "speech_seconds", "transcription_seconds")
_COUNT = "bigint NOT NULL DEFAULT 0"


def _add(table: str, kind: str, definition: str) -> str:
    columns = ", ".join(f"ADD COLUMN {metric}_{kind} {definition}" for metric in _NEW_METRICS)
    return f"ALTER TABLE {table} {columns}"


def _drop(table: str, kind: str) -> str:
    return f"ALTER TABLE {table} {', '.join(f'DROP COLUMN {metric}_{kind}' for metric in _NEW_METRICS)}"


def _all_at_least_zero(table: str, kind: str, name: str) -> str:
    metrics = ("input_tokens", "output_tokens", *_NEW_METRICS)
    condition = " AND ".join(f"{metric}_{kind} >= 0" for metric in metrics)
    return f"ALTER TABLE {table} ADD CONSTRAINT ck_{table}_{name} CHECK ({condition})"


# Until now operators opened every account, and vouched for its e-mail.
_CUSTOMERS = (
    "ALTER TABLE people ADD COLUMN email_verified_at timestamptz",
    "UPDATE people SET email_verified_at = created_at",
    "ALTER TABLE accounts ADD COLUMN closed_at timestamptz",
    # The application's role can make nobody an operator and give nobody another password. It can only forget somebody
    # who belongs to no account any more, which is all that this function does, in its owner's name.
    """
    CREATE FUNCTION forget_person(forgotten text) RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp AS $$
        UPDATE public.people
        SET email = lower(id) || '@closed.invalid', password_hash = '$argon2id$forgotten', operator_role = NULL,
            email_verified_at = NULL
        WHERE id = forgotten AND NOT EXISTS (SELECT FROM public.members WHERE person_id = forgotten)
    $$
    """,
    "REVOKE ALL ON FUNCTION forget_person(text) FROM PUBLIC",
    "GRANT EXECUTE ON FUNCTION forget_person(text) TO billing_app",
)

_METRICS = (
    _add("free_quota_terms", "limit", _COUNT),
    _add("free_quota_cycles", "used", _COUNT),
    _add("free_quota_cycles", "reserved", _COUNT),
    _add("free_quota_reservations", "reserved", _COUNT),
    _add("free_quota_reservations", "used", "bigint"),
    """
    UPDATE free_quota_reservations SET images_used = 0, speech_seconds_used = 0, transcription_seconds_used = 0
    WHERE state = 'finalised'
    """,
    "ALTER TABLE free_quota_terms DROP CONSTRAINT ck_free_quota_terms_limits",
    _all_at_least_zero("free_quota_terms", "limit", "limits"),
    "ALTER TABLE free_quota_cycles DROP CONSTRAINT ck_free_quota_cycles_used",
    _all_at_least_zero("free_quota_cycles", "used", "used"),
    "ALTER TABLE free_quota_cycles DROP CONSTRAINT ck_free_quota_cycles_reserved",
    _all_at_least_zero("free_quota_cycles", "reserved", "reserved"),
    "ALTER TABLE free_quota_reservations DROP CONSTRAINT ck_free_quota_reservations_reserved",
    _all_at_least_zero("free_quota_reservations", "reserved", "reserved"),
    "ALTER TABLE free_quota_reservations DROP CONSTRAINT ck_free_quota_reservations_used_when_finalised",
    """
    ALTER TABLE free_quota_reservations ADD CONSTRAINT ck_free_quota_reservations_used_when_finalised CHECK (
        num_nonnulls(input_tokens_used, output_tokens_used, images_used, speech_seconds_used,
                     transcription_seconds_used) = CASE WHEN state = 'finalised' THEN 5 ELSE 0 END
        AND least(input_tokens_used, output_tokens_used, images_used, speech_seconds_used,
                  transcription_seconds_used, 0) >= 0
    )
    """,
)

# Holders outlive accounts: they refer to nothing that can be closed. What accounts have used before there were holders
# stays theirs: the placeholder of their digest is one that no key makes.
_PEOPLE = (
    """
    CREATE TABLE free_quota_holders (
        id text NOT NULL,
        identity bytea NOT NULL,
        network text,
        first_account_id text NOT NULL,
        started_at timestamptz NOT NULL,
        CONSTRAINT pk_free_quota_holders PRIMARY KEY (id),
        CONSTRAINT uq_free_quota_holders_identity UNIQUE (identity),
        CONSTRAINT ck_free_quota_holders_identity_is_digest CHECK (octet_length(identity) = 32)
    )
    """,
    "CREATE INDEX ix_free_quota_holders_network_started_at ON free_quota_holders (network, started_at)",
    "CREATE INDEX ix_free_quota_holders_started_at ON free_quota_holders (started_at)",
    """
    CREATE TABLE free_quota_refused_starts (
        account_id text NOT NULL,
        network text NOT NULL,
        refused_on date NOT NULL,
        attempts bigint NOT NULL,
        first_refused_at timestamptz NOT NULL,
        last_refused_at timestamptz NOT NULL,
        CONSTRAINT pk_free_quota_refused_starts PRIMARY KEY (refused_on, network, account_id),
        CONSTRAINT ck_free_quota_refused_starts_attempts CHECK (attempts >= 1),
        CONSTRAINT ck_free_quota_refused_starts_in_order CHECK (last_refused_at >= first_refused_at)
    )
    """,
    """
    CREATE TABLE free_quota_accounts (
        account_id text NOT NULL,
        holder_id text,
        burn_order text NOT NULL DEFAULT 'free_first',
        CONSTRAINT pk_free_quota_accounts PRIMARY KEY (account_id),
        CONSTRAINT fk_free_quota_accounts_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_free_quota_accounts_holder_id FOREIGN KEY (holder_id) REFERENCES free_quota_holders (id),
        CONSTRAINT ck_free_quota_accounts_burn_order CHECK (burn_order IN ('free_first', 'wallet_first', 'free_only'))
    )
    """,
    """
    INSERT INTO free_quota_holders (id, identity, first_account_id, started_at)
    SELECT 'fqh_' || account_id, sha256(convert_to('account without a person: ' || account_id, 'UTF8')), account_id,
           min(starts_at)
    FROM free_quota_cycles GROUP BY account_id
    """,
    """
    INSERT INTO free_quota_accounts (account_id, holder_id)
    SELECT first_account_id, id FROM free_quota_holders
    """,
    "ALTER TABLE free_quota_reservations ADD COLUMN holder_id text",
    "UPDATE free_quota_reservations SET holder_id = 'fqh_' || account_id",
    """
    ALTER TABLE free_quota_reservations ALTER COLUMN holder_id SET NOT NULL,
        DROP CONSTRAINT fk_free_quota_reservations_account_id_cycle_number
    """,
    "DROP INDEX ix_free_quota_reservations_account_id_cycle_number",
    "ALTER TABLE free_quota_cycles ADD COLUMN holder_id text",
    "UPDATE free_quota_cycles SET holder_id = 'fqh_' || account_id",
    """
    ALTER TABLE free_quota_cycles DROP CONSTRAINT pk_free_quota_cycles, DROP COLUMN account_id,
        ALTER COLUMN holder_id SET NOT NULL,
        ADD CONSTRAINT pk_free_quota_cycles PRIMARY KEY (holder_id, number),
        ADD CONSTRAINT fk_free_quota_cycles_holder_id FOREIGN KEY (holder_id) REFERENCES free_quota_holders (id)
    """,
    """
    ALTER TABLE free_quota_reservations ADD CONSTRAINT fk_free_quota_reservations_holder_id_cycle_number
        FOREIGN KEY (holder_id, cycle_number) REFERENCES free_quota_cycles (holder_id, number)
    """,
    """
    CREATE INDEX ix_free_quota_reservations_holder_id_cycle_number
    ON free_quota_reservations (holder_id, cycle_number)
    """,
)

_GRANTS = (
    "GRANT UPDATE (email_verified_at) ON people TO billing_app",
    "GRANT UPDATE (closed_at) ON accounts TO billing_app",
    "GRANT DELETE ON members TO billing_app",
    "GRANT SELECT, INSERT, UPDATE (network) ON free_quota_holders TO billing_app",
    "GRANT SELECT, INSERT, DELETE, UPDATE (attempts, last_refused_at) ON free_quota_refused_starts TO billing_app",
    "GRANT SELECT, INSERT, UPDATE (holder_id, burn_order) ON free_quota_accounts TO billing_app",
)

# An earlier version counts for each account: what several accounts of one person share goes to the first of them.
_DOWNGRADE: tuple[str, ...] = (
    "ALTER TABLE free_quota_reservations DROP CONSTRAINT fk_free_quota_reservations_holder_id_cycle_number",
    "DROP INDEX ix_free_quota_reservations_holder_id_cycle_number",
    "ALTER TABLE free_quota_cycles ADD COLUMN account_id text",
    """
    UPDATE free_quota_cycles AS cycle SET account_id = holder.first_account_id
    FROM free_quota_holders AS holder WHERE holder.id = cycle.holder_id
    """,
    """
    UPDATE free_quota_reservations AS reservation SET account_id = holder.first_account_id
    FROM free_quota_holders AS holder WHERE holder.id = reservation.holder_id
    """,
    """
    ALTER TABLE free_quota_cycles DROP CONSTRAINT pk_free_quota_cycles, DROP COLUMN holder_id,
        ALTER COLUMN account_id SET NOT NULL,
        ADD CONSTRAINT pk_free_quota_cycles PRIMARY KEY (account_id, number),
        ADD CONSTRAINT fk_free_quota_cycles_account_id FOREIGN KEY (account_id) REFERENCES accounts (id)
    """,
    """
    ALTER TABLE free_quota_reservations DROP COLUMN holder_id,
        ADD CONSTRAINT fk_free_quota_reservations_account_id_cycle_number FOREIGN KEY (account_id, cycle_number)
            REFERENCES free_quota_cycles (account_id, number)
    """,
    """
    CREATE INDEX ix_free_quota_reservations_account_id_cycle_number
    ON free_quota_reservations (account_id, cycle_number)
    """,
    "DROP TABLE free_quota_accounts, free_quota_refused_starts, free_quota_holders",
    "ALTER TABLE free_quota_reservations DROP CONSTRAINT ck_free_quota_reservations_used_when_finalised",
    "ALTER TABLE free_quota_reservations DROP CONSTRAINT ck_free_quota_reservations_reserved",
    "ALTER TABLE free_quota_cycles DROP CONSTRAINT ck_free_quota_cycles_reserved",
    "ALTER TABLE free_quota_cycles DROP CONSTRAINT ck_free_quota_cycles_used",
    "ALTER TABLE free_quota_terms DROP CONSTRAINT ck_free_quota_terms_limits",
    _drop("free_quota_reservations", "used"),
    _drop("free_quota_reservations", "reserved"),
    _drop("free_quota_cycles", "reserved"),
    _drop("free_quota_cycles", "used"),
    _drop("free_quota_terms", "limit"),
    """
    ALTER TABLE free_quota_terms ADD CONSTRAINT ck_free_quota_terms_limits CHECK (
        input_tokens_limit >= 0 AND output_tokens_limit >= 0
    )
    """,
    """
    ALTER TABLE free_quota_cycles
        ADD CONSTRAINT ck_free_quota_cycles_used CHECK (input_tokens_used >= 0 AND output_tokens_used >= 0),
        ADD CONSTRAINT ck_free_quota_cycles_reserved CHECK (input_tokens_reserved >= 0 AND output_tokens_reserved >= 0)
    """,
    """
    ALTER TABLE free_quota_reservations
        ADD CONSTRAINT ck_free_quota_reservations_reserved CHECK (
            input_tokens_reserved >= 0 AND output_tokens_reserved >= 0
        ),
        ADD CONSTRAINT ck_free_quota_reservations_used_when_finalised CHECK (
            (state = 'finalised') = (input_tokens_used IS NOT NULL)
            AND (state = 'finalised') = (output_tokens_used IS NOT NULL)
            AND coalesce(input_tokens_used, 0) >= 0 AND coalesce(output_tokens_used, 0) >= 0
        )
    """,
    "REVOKE DELETE ON members FROM billing_app",
    "REVOKE UPDATE (closed_at) ON accounts FROM billing_app",
    "DROP FUNCTION forget_person(text)",
    "ALTER TABLE accounts DROP COLUMN closed_at",
    "ALTER TABLE people DROP COLUMN email_verified_at",
)
