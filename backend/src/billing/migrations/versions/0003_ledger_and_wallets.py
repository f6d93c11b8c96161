"""The double-entry ledger and the wallets that stand on it."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for statement in _LEDGER + _LEDGER_GUARDS + _WALLETS + _GRANTS:
        op.execute(statement)


def downgrade() -> None:
    for statement in _DOWNGRADE:
        op.execute(statement)


_LEDGER = (
    """
    CREATE TABLE ledger_transfers (
        id text NOT NULL,
        kind text NOT NULL,
        occurred_at timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
        reference text NOT NULL,
        corrects text,
        details jsonb NOT NULL,
        CONSTRAINT pk_ledger_transfers PRIMARY KEY (id),
        CONSTRAINT fk_ledger_transfers_corrects FOREIGN KEY (corrects) REFERENCES ledger_transfers (id)
    )
    """,
    "CREATE INDEX ix_ledger_transfers_reference ON ledger_transfers (reference)",
    """
    CREATE TABLE ledger_entries (
        transfer_id text NOT NULL,
        position integer NOT NULL,
        account text NOT NULL,
        wallet_id text,
        amount_micros bigint NOT NULL,
        currency text NOT NULL,
        balance_after_micros bigint,
        sequence bigint,
        CONSTRAINT pk_ledger_entries PRIMARY KEY (transfer_id, position),
        CONSTRAINT fk_ledger_entries_transfer_id FOREIGN KEY (transfer_id) REFERENCES ledger_transfers (id),
        CONSTRAINT ck_ledger_entries_moves_something CHECK (amount_micros <> 0),
        CONSTRAINT ck_ledger_entries_wallet_entries_are_whole CHECK (
            (wallet_id IS NULL) = (account NOT LIKE 'wallet.%')
            AND (wallet_id IS NULL) = (balance_after_micros IS NULL)
            AND (wallet_id IS NULL) = (sequence IS NULL)
        ),
        CONSTRAINT ck_ledger_entries_balance_has_its_sign CHECK (
            CASE account WHEN 'wallet.debt' THEN balance_after_micros <= 0 ELSE balance_after_micros >= 0 END
        )
    )
    """,
    "CREATE UNIQUE INDEX uq_ledger_entries_wallet_id_sequence ON ledger_entries (wallet_id, sequence)",
)

# Deferred to the commit: a transfer may be written in several statements, but it can only be committed whole.
_LEDGER_GUARDS = (
    """
    CREATE FUNCTION ledger_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% on % is refused: the ledger is append-only, corrections are new transfers',
            TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE FUNCTION ledger_require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE transfer text := CASE TG_TABLE_NAME WHEN 'ledger_transfers' THEN to_jsonb(NEW) ->> 'id'
                                                ELSE to_jsonb(NEW) ->> 'transfer_id' END;
    DECLARE entries integer;
    DECLARE unbalanced text;
    BEGIN
        SELECT sum(part.entries), min(part.currency) FILTER (WHERE part.total <> 0) INTO entries, unbalanced
        FROM (
            SELECT currency, count(*) AS entries, sum(amount_micros) AS total
            FROM ledger_entries WHERE transfer_id = transfer GROUP BY currency
        ) AS part;
        IF entries IS NULL OR entries < 2 THEN
            RAISE EXCEPTION 'transfer % has fewer than two entries', transfer USING ERRCODE = 'check_violation';
        END IF;
        IF unbalanced IS NOT NULL THEN
            RAISE EXCEPTION 'transfer % does not sum to zero in %', transfer, unbalanced
                USING ERRCODE = 'check_violation';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE CONSTRAINT TRIGGER ledger_transfers_balance AFTER INSERT ON ledger_transfers
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_require_balance()
    """,
    """
    CREATE CONSTRAINT TRIGGER ledger_entries_balance AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_require_balance()
    """,
    """
    CREATE TRIGGER ledger_transfers_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_transfers
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()
    """,
    """
    CREATE TRIGGER ledger_entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change()
    """,
)

_WALLETS = (
    """
    CREATE TABLE wallets (
        id text NOT NULL,
        account_id text NOT NULL,
        currency text NOT NULL,
        paid_micros bigint NOT NULL DEFAULT 0,
        granted_micros bigint NOT NULL DEFAULT 0,
        held_micros bigint NOT NULL DEFAULT 0,
        debt_micros bigint NOT NULL DEFAULT 0,
        entry_sequence bigint NOT NULL DEFAULT 0,
        max_reply_cost_micros bigint,
        created_at timestamptz NOT NULL,
        CONSTRAINT pk_wallets PRIMARY KEY (id),
        CONSTRAINT uq_wallets_account_id_currency UNIQUE (account_id, currency),
        CONSTRAINT fk_wallets_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT ck_wallets_floors CHECK (
            paid_micros >= 0 AND granted_micros >= 0 AND held_micros >= 0 AND debt_micros >= 0
        ),
        CONSTRAINT ck_wallets_max_reply_cost CHECK (max_reply_cost_micros > 0)
    )
    """,
    """
    CREATE TABLE credit_lots (
        id text NOT NULL,
        wallet_id text NOT NULL,
        source text NOT NULL,
        is_granted boolean NOT NULL,
        amount_micros bigint NOT NULL,
        left_micros bigint NOT NULL,
        held_micros bigint NOT NULL DEFAULT 0,
        origin text NOT NULL,
        created_at timestamptz NOT NULL,
        expires_at timestamptz,
        CONSTRAINT pk_credit_lots PRIMARY KEY (id),
        CONSTRAINT fk_credit_lots_wallet_id FOREIGN KEY (wallet_id) REFERENCES wallets (id),
        CONSTRAINT ck_credit_lots_source CHECK (
            source IN ('topup', 'included', 'promotion', 'adjustment', 'refund_return')
        ),
        CONSTRAINT ck_credit_lots_left_within_amount CHECK (
            amount_micros > 0 AND left_micros >= 0 AND held_micros >= 0 AND left_micros + held_micros <= amount_micros
        )
    )
    """,
    "CREATE INDEX ix_credit_lots_spendable ON credit_lots (wallet_id) WHERE left_micros > 0",
    "CREATE INDEX ix_credit_lots_expiring ON credit_lots (expires_at) WHERE left_micros > 0 AND expires_at IS NOT NULL",
    """
    CREATE TABLE holds (
        id text NOT NULL,
        wallet_id text NOT NULL,
        operation_id text NOT NULL,
        amount_micros bigint NOT NULL,
        status text NOT NULL,
        placed_at timestamptz NOT NULL,
        expires_at timestamptz NOT NULL,
        ended_at timestamptz,
        end_reason text,
        charged_micros bigint,
        is_charged_late boolean NOT NULL DEFAULT false,
        CONSTRAINT pk_holds PRIMARY KEY (id),
        CONSTRAINT uq_holds_wallet_id_operation_id UNIQUE (wallet_id, operation_id),
        CONSTRAINT fk_holds_wallet_id FOREIGN KEY (wallet_id) REFERENCES wallets (id),
        CONSTRAINT ck_holds_amount CHECK (amount_micros >= 0),
        CONSTRAINT ck_holds_status CHECK (status IN ('open', 'settled', 'released', 'expired')),
        CONSTRAINT ck_holds_ends_once CHECK ((status = 'open') = (ended_at IS NULL)),
        CONSTRAINT ck_holds_charge CHECK (
            CASE status WHEN 'settled' THEN charged_micros >= 0 AND NOT is_charged_late
                        WHEN 'expired' THEN is_charged_late = (charged_micros IS NOT NULL)
                        ELSE charged_micros IS NULL AND NOT is_charged_late END
        )
    )
    """,
    "CREATE INDEX ix_holds_due ON holds (expires_at) WHERE status = 'open'",
    """
    CREATE TABLE hold_allocations (
        hold_id text NOT NULL,
        lot_id text NOT NULL,
        amount_micros bigint NOT NULL,
        CONSTRAINT pk_hold_allocations PRIMARY KEY (hold_id, lot_id),
        CONSTRAINT fk_hold_allocations_hold_id FOREIGN KEY (hold_id) REFERENCES holds (id),
        CONSTRAINT fk_hold_allocations_lot_id FOREIGN KEY (lot_id) REFERENCES credit_lots (id),
        CONSTRAINT ck_hold_allocations_amount CHECK (amount_micros > 0)
    )
    """,
)

_GRANTS = (
    "GRANT SELECT, INSERT ON ledger_transfers, ledger_entries, hold_allocations TO billing_app",
    "GRANT SELECT, INSERT, UPDATE ON wallets, credit_lots, holds TO billing_app",
)

_DOWNGRADE = (
    "DROP TABLE hold_allocations, holds, credit_lots, wallets, ledger_entries, ledger_transfers",
    "DROP FUNCTION ledger_refuse_change, ledger_require_balance",
)
