"""Saved methods, automatic top-ups and receipts."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
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
    CREATE TABLE payment_methods (
        id text NOT NULL,
        account_id text NOT NULL,
        provider text NOT NULL,
        shop_id text NOT NULL,
        provider_method_id text NOT NULL,
        provider_customer text,
        title text NOT NULL,
        payment_id text NOT NULL,
        consent_at timestamptz NOT NULL,
        removed_at timestamptz,
        CONSTRAINT pk_payment_methods PRIMARY KEY (id),
        CONSTRAINT fk_payment_methods_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_payment_methods_payment_id FOREIGN KEY (payment_id) REFERENCES payments (id),
        CONSTRAINT uq_payment_methods_provider_shop_id_provider_method_id
            UNIQUE (provider, shop_id, provider_method_id)
    )
    """,
    "CREATE INDEX ix_payment_methods_account_id_id ON payment_methods (account_id, id)",
    # What a method is never changes; that its owner agreed to it, and that they do not any more, does.
    "GRANT SELECT, INSERT ON payment_methods TO billing_app",
    "GRANT UPDATE (payment_id, title, consent_at, removed_at) ON payment_methods TO billing_app",
    """
    CREATE TABLE auto_topups (
        account_id text NOT NULL,
        agreement_id text NOT NULL,
        wallet_id text NOT NULL,
        currency text NOT NULL,
        threshold_micros bigint NOT NULL,
        amount_micros bigint NOT NULL,
        monthly_limit_micros bigint NOT NULL,
        method_id text NOT NULL,
        consent_at timestamptz NOT NULL,
        declines integer NOT NULL,
        not_before timestamptz NOT NULL,
        limited_until timestamptz,
        off_reason text,
        off_at timestamptz,
        CONSTRAINT pk_auto_topups PRIMARY KEY (account_id),
        CONSTRAINT fk_auto_topups_account_id FOREIGN KEY (account_id) REFERENCES accounts (id),
        CONSTRAINT fk_auto_topups_wallet_id FOREIGN KEY (wallet_id) REFERENCES wallets (id),
        CONSTRAINT fk_auto_topups_method_id FOREIGN KEY (method_id) REFERENCES payment_methods (id),
        CONSTRAINT uq_auto_topups_agreement_id UNIQUE (agreement_id),
        CONSTRAINT uq_auto_topups_wallet_id UNIQUE (wallet_id),
        CONSTRAINT ck_auto_topups_amounts
            CHECK (threshold_micros > 0 AND amount_micros > 0 AND monthly_limit_micros >= amount_micros),
        CONSTRAINT ck_auto_topups_declines CHECK (declines BETWEEN 0 AND 3),
        CONSTRAINT ck_auto_topups_off_reason
            CHECK (off_reason IN ('turned_off', 'declined', 'method_removed', 'not_offered', 'contact_missing',
                                  'account_closed')),
        CONSTRAINT ck_auto_topups_off_at CHECK ((off_reason IS NULL) = (off_at IS NULL))
    )
    """,
    "CREATE INDEX ix_auto_topups_due ON auto_topups (not_before, account_id) WHERE off_reason IS NULL",
    "CREATE INDEX ix_auto_topups_method_id ON auto_topups (method_id)",
    "GRANT SELECT, INSERT ON auto_topups TO billing_app",
    """
    GRANT UPDATE (agreement_id, threshold_micros, amount_micros, monthly_limit_micros, method_id, consent_at, declines,
                  not_before, limited_until, off_reason, off_at) ON auto_topups TO billing_app
    """,
    # The claim: whoever begins an automatic top-up is the only one, until its payment has ended.
    """
    CREATE UNIQUE INDEX uq_payments_auto_topup_in_flight ON payments (account_id, currency)
    WHERE purpose = 'auto_topup' AND state IN ('created', 'pending', 'waiting_for_capture')
    """,
    """
    CREATE TABLE receipt_checks (
        payment_id text NOT NULL,
        checked_at timestamptz NOT NULL,
        CONSTRAINT pk_receipt_checks PRIMARY KEY (payment_id),
        CONSTRAINT fk_receipt_checks_payment_id FOREIGN KEY (payment_id) REFERENCES payments (id)
    )
    """,
    "GRANT SELECT, INSERT ON receipt_checks TO billing_app",
    "GRANT UPDATE (checked_at) ON receipt_checks TO billing_app",
    """
    CREATE INDEX ix_payments_receipt_unregistered ON payments (succeeded_at)
    WHERE receipt_terms IS NOT NULL AND receipt_status IS DISTINCT FROM 'succeeded'
    """,
    """
    CREATE INDEX ix_refunds_receipt_unregistered ON refunds (succeeded_at)
    WHERE succeeded_at IS NOT NULL AND receipt_status IS DISTINCT FROM 'succeeded'
    """,
)

_DOWNGRADE: tuple[str, ...] = (
    "DROP INDEX ix_refunds_receipt_unregistered",
    "DROP INDEX ix_payments_receipt_unregistered",
    "DROP TABLE receipt_checks",
    "DROP INDEX uq_payments_auto_topup_in_flight",
    "DROP TABLE auto_topups",
    "DROP TABLE payment_methods",
)
