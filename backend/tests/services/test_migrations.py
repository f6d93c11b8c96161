"""The schema goes up and down, equals its models, and gives the application's role no more than it needs."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, create_engine, inspect, text
from sqlalchemy.engine import URL, Connection

import billing
from backend.tests.crash.processes import started
from billing import migrations
from billing.kit.database import APPLICATION_ROLE, Table

EMPTY = "template0"

# Alembic's and the queue's own tables have no models.
FOREIGN_TABLES = ("alembic_version", "procrastinate_")

# What the application's role may do with whole tables; every table stands here, so a new one is decided about.
READ = frozenset({"SELECT"})
APPEND = READ | {"INSERT"}
MAY = {
    "accounts": APPEND,
    "alembic_version": READ,
    "api_keys": APPEND,
    "audit_entries": APPEND,
    "auto_topups": APPEND,
    "billing_events": APPEND,
    "credit_lots": APPEND | {"UPDATE"},
    "free_quota_accounts": APPEND,
    "free_quota_cycles": APPEND | {"UPDATE"},
    "free_quota_holders": APPEND,
    "free_quota_refused_starts": APPEND | {"DELETE"},
    "free_quota_reservations": APPEND | {"UPDATE"},
    "free_quota_terms": APPEND,
    "gateway_checkpoints": APPEND | {"UPDATE", "DELETE"},
    "hold_allocations": APPEND,
    "holds": APPEND | {"UPDATE"},
    "idempotency_keys": APPEND,
    "inbox_messages": APPEND,
    "ledger_entries": APPEND,
    "ledger_transfers": APPEND,
    "members": APPEND | {"DELETE"},
    "disputes": APPEND,
    "payment_methods": APPEND,
    "payments": APPEND,
    "refunds": APPEND,
    "people": APPEND,
    "plan_grants": APPEND,
    "plan_renewals": APPEND,
    "plan_subscriptions": APPEND,
    "plans": APPEND,
    "procrastinate_events": APPEND | {"UPDATE", "DELETE"},
    "procrastinate_jobs": APPEND | {"UPDATE", "DELETE"},
    "procrastinate_periodic_defers": APPEND | {"UPDATE", "DELETE"},
    "procrastinate_workers": APPEND | {"UPDATE", "DELETE"},
    "rates": APPEND,
    "receipt_checks": APPEND,
    "reconciliation_differences": APPEND,
    "reconciliation_runs": APPEND,
    "sessions": APPEND | {"DELETE"},
    "sign_in_attempts": APPEND | {"DELETE"},
    "spending_limits": APPEND,
    "spending_periods": APPEND,
    "usage_events": APPEND,
    "wallets": APPEND | {"UPDATE"},
    "webhook_deliveries": APPEND | {"DELETE"},
    "webhook_endpoints": APPEND | {"DELETE"},
    "webhook_messages": APPEND | {"DELETE"},
    "webhook_secrets": APPEND,
    "webhook_refusals": APPEND,
}
# Columns that it may change where it may not change the row.
MAY_UPDATE = {
    "accounts": {"name", "closed_at"},
    "api_keys": {"revoked_at"},
    "auto_topups": {
        "agreement_id",
        "threshold_micros",
        "amount_micros",
        "monthly_limit_micros",
        "method_id",
        "consent_at",
        "declines",
        "not_before",
        "limited_until",
        "off_reason",
        "off_at",
    },
    "hold_allocations": {"amount_micros"},
    "free_quota_accounts": {"holder_id", "burn_order"},
    "free_quota_holders": {"network"},
    "free_quota_refused_starts": {"attempts", "last_refused_at"},
    "inbox_messages": {"status", "reason", "attempts", "due_at", "handled_at"},
    "payment_methods": {"payment_id", "title", "consent_at", "removed_at"},
    "payments": {
        "return_to",
        "state",
        "provider_payment_id",
        "confirmation_url",
        "cancellation",
        "contradiction",
        "updated_at",
        "succeeded_at",
        "receipt_status",
        "refunded_micros",
        "disputed_at",
        "fee_micros",
        "next_check_at",
        "checks",
    },
    "refunds": {
        "state",
        "provider_refund_id",
        "failure",
        "receipt_status",
        "next_check_at",
        "checks",
        "updated_at",
        "succeeded_at",
    },
    "disputes": {"state", "updated_at"},
    "people": {"email_verified_at"},
    "plan_grants": {"credit_given_at", "credit_taken_micros", "ended_at", "end_reason"},
    "plan_renewals": {"attempt", "status", "due_at"},
    "plan_subscriptions": {"will_renew", "method_id", "canceled_at"},
    "plans": {"retired_at"},
    "receipt_checks": {"checked_at"},
    "reconciliation_differences": {"ours", "theirs", "last_seen_at", "resolution", "resolved_at"},
    "sessions": {"last_seen_at"},
    "sign_in_attempts": {"attempts", "window_ends_at"},
    "spending_limits": {"cap_micros"},
    "spending_periods": {"spent_micros", "reserved_micros"},
    "webhook_deliveries": {
        "status",
        "attempts",
        "last_outcome",
        "last_status",
        "last_attempted_at",
        "due_at",
        "ended_at",
    },
    "webhook_endpoints": {
        "url",
        "description",
        "event_types",
        "status",
        "disabled_reason",
        "disabled_at",
        "failing_since",
        "last_failed_at",
        "due_at",
    },
    "webhook_messages": {"routed_at"},
    "webhook_secrets": {"expires_at"},
    "webhook_refusals": {"count"},
}

_TABLE_PRIVILEGES = text(
    """
    SELECT pg_class.relname AS name, privilege
    FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER',
                                'MAINTAIN']) AS privilege
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')
      AND has_table_privilege(:role, pg_class.oid, privilege)
    """,
)
_COLUMNS_TO_UPDATE = text(
    """
    SELECT pg_class.relname AS name, attname
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm') AND attnum > 0
      AND NOT attisdropped AND NOT has_table_privilege(:role, pg_class.oid, 'UPDATE')
      AND has_column_privilege(:role, pg_class.oid, attnum, 'UPDATE')
    """,
)
_OBJECTS = text(
    """
    SELECT 'table ' || relname FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
    UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typtype = 'e'
    """,
)
# Everything that a schema consists of, as text that can be compared.
_SCHEMA = text(
    """
    SELECT format('%s.%s %s %s %s', relname, attname, format_type(atttypid, atttypmod), attnotnull,
                  pg_get_expr(adbin, adrelid))
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped
    UNION ALL
    SELECT format('%s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prokind = 'f'
    ORDER BY 1
    """,
)


@pytest.fixture
def empty_database(new_database: Callable[[str], URL]) -> URL:
    """A database in which nothing was ever done."""
    return new_database(EMPTY)


@pytest.fixture
def migrated(own_database: URL) -> Iterator[Connection]:
    """A connection of the owner to a database at the newest schema."""
    engine = create_engine(own_database)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def read(url: URL, *statements: str) -> list[list[str]]:
    """The first column of each statement's rows."""
    engine = create_engine(url)
    with engine.connect() as connection:
        answers = [list(connection.scalars(text(statement))) for statement in statements]
    engine.dispose()
    return answers


def schema_of(url: URL) -> list[str]:
    return read(url, _SCHEMA.text)[0]


class TestUpAndDown:
    def test_down_to_nothing_leaves_nothing(self, own_database: URL) -> None:
        migrations.downgrade(own_database, "base")

        objects = read(own_database, _OBJECTS.text)[0]
        assert objects == ["table alembic_version"]

    def test_up_again_gives_the_same_schema(self, own_database: URL) -> None:
        before = schema_of(own_database)

        migrations.downgrade(own_database, "base")
        migrations.upgrade(own_database)

        assert schema_of(own_database) == before

    def test_every_step_can_be_taken_back_by_itself(self, empty_database: URL) -> None:
        revisions = [f"{number:04}" for number in range(1, int(migrations.newest_revision()) + 1)]

        for earlier, revision in zip(["base", *revisions], revisions, strict=False):
            migrations.upgrade(empty_database, revision)
            once = schema_of(empty_database)
            migrations.downgrade(empty_database, earlier)
            migrations.upgrade(empty_database, revision)
            assert schema_of(empty_database) == once

    def test_a_database_with_customers_and_money_goes_down_and_up(self, own_database: URL) -> None:
        engine = create_engine(own_database)
        with engine.begin() as connection:
            for statement in _POPULATE:
                connection.execute(text(statement))
        engine.dispose()

        migrations.downgrade(own_database, "base")
        migrations.upgrade(own_database)

        assert read(own_database, "SELECT id FROM accounts", "SELECT id FROM ledger_transfers") == [[], []]

    def test_migrating_twice_changes_nothing(self, own_database: URL) -> None:
        before = schema_of(own_database)

        migrations.upgrade(own_database)

        assert schema_of(own_database) == before


class TestAtOnce:
    @pytest.mark.slow
    async def test_two_processes_that_migrate_at_once_both_succeed(self, empty_database: URL) -> None:
        async with started("migrator", empty_database) as one, started("migrator", empty_database) as other:
            said = {await one.says(), await other.says()}
            codes = {await one.child.wait(), await other.child.wait()}

        assert (said, codes) == ({migrations.newest_revision()}, {0})


class TestModels:
    def test_the_migrated_schema_equals_the_models(self, migrated: Connection) -> None:
        """A column that only the model or only the migration has fails in production, not at start."""
        import_every_module()
        context = MigrationContext.configure(
            migrated,
            opts={"compare_type": True, "compare_server_default": True, "include_name": is_ours},
        )

        assert compare_metadata(context, Table.metadata) == []

    def test_check_constraints_have_the_same_names_in_both(self, migrated: Connection) -> None:
        """Alembic does not compare CHECKs; a missing one would be missed only by the bug that it stops."""
        import_every_module()
        inspector = inspect(migrated)
        in_database = {
            name: {str(check["name"]) for check in inspector.get_check_constraints(name)}
            for name in inspector.get_table_names()
            if is_ours(name, "table", {})
        }

        written = migrated.dialect.identifier_preparer.format_constraint
        in_models = {
            table.name: {written(rule) for rule in table.constraints if isinstance(rule, CheckConstraint)}
            for table in Table.metadata.sorted_tables
        }
        assert in_models == in_database


class TestPrivileges:
    def test_the_applications_role_may_do_with_each_table_what_is_written_here(self, migrated: Connection) -> None:
        """Ledger, audit trail and usage are evidence: whoever can rewrite them can hide a theft."""
        found: dict[str, set[str]] = {}
        for row in migrated.execute(_TABLE_PRIVILEGES, {"role": APPLICATION_ROLE}):
            found.setdefault(row.name, set()).add(row.privilege)

        assert found == MAY

    def test_and_with_each_column(self, migrated: Connection) -> None:
        found: dict[str, set[str]] = {}
        for row in migrated.execute(_COLUMNS_TO_UPDATE, {"role": APPLICATION_ROLE}):
            found.setdefault(row.name, set()).add(row.attname)

        assert found == MAY_UPDATE

    def test_every_table_is_decided_about(self, migrated: Connection) -> None:
        assert set(inspect(migrated).get_table_names()) == set(MAY)

    def test_the_role_cannot_sign_in_create_or_own_anything(self, migrated: Connection) -> None:
        role = migrated.execute(
            text(
                "SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolbypassrls,"
                " has_schema_privilege(rolname, 'public', 'CREATE'),"
                " EXISTS (SELECT FROM pg_class WHERE relowner = pg_roles.oid)"
                " FROM pg_roles WHERE rolname = :role"
            ),
            {"role": APPLICATION_ROLE},
        ).one()

        assert not any(role)


_POPULATE = (
    "INSERT INTO accounts (id, kind, name, time_zone, created_at) VALUES ('acc_1', 'personal', 'A', 'UTC', now())",
    "INSERT INTO wallets (id, account_id, currency, created_at) VALUES ('wal_1', 'acc_1', 'RUB', now())",
    """
    INSERT INTO ledger_transfers (id, kind, occurred_at, reference, details)
    VALUES ('trf_1', 'credit', now(), 'pay_1', '{}')
    """,
    """
    INSERT INTO ledger_entries (transfer_id, position, account, amount_micros, currency)
    VALUES ('trf_1', 0, 'revenue', 5, 'RUB'), ('trf_1', 1, 'adjustments', -5, 'RUB')
    """,
    "INSERT INTO procrastinate_jobs (queue_name, task_name) VALUES ('billing-usage', 'tests.work')",
)


def import_every_module() -> None:
    """Every model announces itself to the metadata when its module is imported."""
    for module in pkgutil.walk_packages(billing.__path__, "billing."):
        if module.name.endswith("models") or module.name == "billing.kit.idempotency":
            importlib.import_module(module.name)


def is_ours(name: str | None, kind: str, parents: object) -> bool:
    """Has a model of ours."""
    del parents
    return kind != "table" or not (name or "").startswith(FOREIGN_TABLES)
