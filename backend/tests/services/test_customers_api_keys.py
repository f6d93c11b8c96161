"""API keys: made once, shown once, and worth nothing after they end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncRawCursor
from sqlalchemy import event, func, select, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.fakes.clock import StoppedClock
from billing.customers.errors import ApiKeyInvalid, ApiKeyLimitReached, ApiKeyNotFound, Forbidden
from billing.customers.models import ApiKeyRow, AuditEntryRow
from billing.customers.repository import _BY_DIGEST
from billing.customers.rules import AccountKind, OperatorRole, Role, Scope, digest_of_secret
from billing.customers.service import NewApiKey
from billing.customers.settings import CustomersSettings
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin


async def new_key(town: Town, owner: Customer, *, scope: Scope = Scope.CHAT) -> NewApiKey:
    """A key of this customer's account."""
    return await town.service.create_api_key(owner.principal, "laptop", scopes=[scope], request_id="req_1")


class TestANewKey:
    async def test_it_acts_for_the_account_as_far_as_its_scopes_reach(self, town: Town) -> None:
        ada = await town.customer(time_zone="Europe/Berlin")
        key = await new_key(town, ada)

        principal = await town.service.principal_of_api_key(key.secret)

        assert principal.account_id == ada.account.id
        assert principal.person_id == ada.principal.person_id
        assert principal.api_key_id == key.id
        assert principal.scopes == {"chat"}
        assert principal.time_zone == "Europe/Berlin"

    async def test_an_operators_key_is_no_operator(self, town: Town) -> None:
        operator = await town.customer(operator_role=OperatorRole.SUPER_ADMIN)
        key = await new_key(town, operator)

        assert (await town.service.principal_of_api_key(key.secret)).operator_role is None

    async def test_the_secret_is_stored_and_shown_nowhere(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()
        key = await new_key(town, ada)

        async with begin() as uow:
            stored = (await uow.connection.execute(select(ApiKeyRow.__table__).where(ApiKeyRow.id == key.id))).one()
            trail = (
                await uow.connection.execute(select(AuditEntryRow.__table__).where(AuditEntryRow.target == key.id))
            ).one()

        assert stored.digest == digest_of_secret(key.secret)
        assert key.secret not in repr(stored) + repr(trail) + repr(key)
        assert key.secret.startswith(stored.prefix)

    async def test_making_it_leaves_one_entry_in_the_audit_trail(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()

        key = await new_key(town, ada)

        async with begin() as uow:
            entry = (
                await uow.connection.execute(
                    select(AuditEntryRow.__table__).where(AuditEntryRow.account_id == ada.account.id)
                )
            ).one()
        assert (entry.action, entry.target, entry.request_id) == ("api_key.created", key.id, "req_1")
        assert entry.actor_person_id == ada.principal.person_id
        assert entry.before is None
        assert entry.after == {"name": "laptop", "scopes": ["chat"], "expires_at": None, "models": None}


class TestWhoMayMakeKeys:
    @pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR])
    async def test_members_and_auditors_may_not(self, town: Town, begin: Begin, role: Role) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION)
        colleague = await town.colleague(firm.account, role)

        with pytest.raises(Forbidden):
            await new_key(town, colleague)

        assert await rows_of(begin, firm) == (0, 0)

    async def test_a_key_may_not_make_its_own_successor(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()
        key = await new_key(town, ada, scope=Scope.BILLING_WRITE)
        as_key = await town.service.principal_of_api_key(key.secret)

        with pytest.raises(Forbidden):
            await town.service.create_api_key(as_key, "more", scopes=["chat"], request_id="req_2")
        with pytest.raises(Forbidden):
            await town.service.revoke_api_key(as_key, key.id, request_id="req_2")

        assert await rows_of(begin, ada) == (1, 1)

    @pytest.mark.parametrize(
        "wrong", [{"name": ""}, {"scopes": ["everything"]}, {"scopes": []}, {"models": []}, {"models": [""]}]
    )
    async def test_a_refused_key_leaves_neither_key_nor_audit_entry(
        self, town: Town, begin: Begin, wrong: dict[str, object]
    ) -> None:
        ada = await town.customer()
        request: dict[str, object] = {"name": "laptop", "scopes": ["chat"], **wrong}

        with pytest.raises(InvalidInput):
            await town.service.create_api_key(ada.principal, **request, request_id="req_1")  # type: ignore[arg-type]  # any of the fields may be the wrong one

        assert await rows_of(begin, ada) == (0, 0)

    async def test_the_last_allowed_key_is_given_out_once(self, begin: Begin, clock: StoppedClock, ids: Ids) -> None:
        two = CustomersSettings.model_validate({"BILLING_API_KEYS_MAX": 2})
        town = Town(customers_service(begin, clock, ids, settings=two), begin)
        ada = await town.customer()

        outcomes = await asyncio.gather(*(new_key(town, ada) for _ in range(6)), return_exceptions=True)

        refusals = [outcome for outcome in outcomes if isinstance(outcome, ApiKeyLimitReached)]
        assert [refusal.facts for refusal in refusals] == [{"limit": 2}] * 4
        assert await rows_of(begin, ada) == (2, 2)

    async def test_a_key_that_has_ended_makes_room(self, begin: Begin, clock: StoppedClock, ids: Ids) -> None:
        one = CustomersSettings.model_validate({"BILLING_API_KEYS_MAX": 1})
        town = Town(customers_service(begin, clock, ids, settings=one), begin)
        ada = await town.customer()
        key = await new_key(town, ada)

        await town.service.revoke_api_key(ada.principal, key.id, request_id="req_2")

        assert (await new_key(town, ada)).id != key.id


class TestTheEndOfAKey:
    async def test_a_revoked_key_opens_nothing(self, town: Town) -> None:
        ada = await town.customer()
        key = await new_key(town, ada)

        await town.service.revoke_api_key(ada.principal, key.id, request_id="req_2")

        with pytest.raises(ApiKeyInvalid):
            await town.service.principal_of_api_key(key.secret)

    async def test_revoking_twice_and_at_once_is_one_change_and_one_audit_entry(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()
        key = await new_key(town, ada)

        await asyncio.gather(
            *(town.service.revoke_api_key(ada.principal, key.id, request_id=f"req_{turn}") for turn in range(5))
        )

        async with begin() as uow:
            revocations = await uow.connection.execute(
                select(AuditEntryRow.before).where(
                    AuditEntryRow.target == key.id, AuditEntryRow.action == "api_key.revoked"
                )
            )
        assert revocations.scalars().all() == [{"revoked_at": None}]

    async def test_a_key_ends_at_its_moment_and_not_before(self, town: Town, clock: StoppedClock) -> None:
        ada = await town.customer()
        key = await town.service.create_api_key(
            ada.principal, "short", scopes=["chat"], expires_at=clock.now() + timedelta(days=1), request_id="req_1"
        )

        clock.move(timedelta(days=1) - timedelta(microseconds=1))
        assert (await town.service.principal_of_api_key(key.secret)).api_key_id == key.id

        clock.move(timedelta(microseconds=1))
        with pytest.raises(ApiKeyInvalid):
            await town.service.principal_of_api_key(key.secret)

    async def test_a_key_never_outranks_or_outlives_its_makers_membership(
        self, town: Town, begin_as_owner: Begin
    ) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION)
        grace = await town.colleague(firm.account, Role.ADMIN)
        key = await new_key(town, grace)

        async with begin_as_owner() as uow:
            await uow.connection.execute(
                text("UPDATE members SET role = 'auditor' WHERE person_id = :id"), {"id": grace.principal.person_id}
            )
        assert (await town.service.principal_of_api_key(key.secret)).role is Role.AUDITOR

        async with begin_as_owner() as uow:
            await uow.connection.execute(
                text("DELETE FROM members WHERE person_id = :id"), {"id": grace.principal.person_id}
            )
        with pytest.raises(ApiKeyInvalid):
            await town.service.principal_of_api_key(key.secret)

    @pytest.mark.parametrize("secret", ["", "bk_", "bk_" + "a" * 54, "é" * 57, "bk_" + "\x00" * 54])
    async def test_what_is_no_key_is_refused(self, town: Town, secret: str) -> None:
        with pytest.raises(ApiKeyInvalid):
            await town.service.principal_of_api_key(secret)

    async def test_the_applications_own_role_cannot_bring_a_key_back(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()
        key = await new_key(town, ada)

        for change in ("digest = ''", "expires_at = NULL", "account_id = 'acc_1'", "scopes = '{chat}'"):
            with pytest.raises(ProgrammingError, match="permission denied"):
                async with begin() as uow:
                    await uow.connection.execute(
                        text(f"UPDATE api_keys SET {change} WHERE id = :id"),  # noqa: S608 - columns of ours
                        {"id": key.id},
                    )


class TestAnotherAccountsKey:
    async def test_it_is_not_found_and_stays_as_it_is(self, town: Town, begin: Begin) -> None:
        ada, eve = await town.customer(), await town.customer()
        key = await new_key(town, ada)
        before = await key_row(begin, key.id)

        with pytest.raises(ApiKeyNotFound) as foreign:
            await town.service.revoke_api_key(eve.principal, key.id, request_id="req_2")
        with pytest.raises(ApiKeyNotFound) as missing:
            await town.service.revoke_api_key(eve.principal, "key_nobody", request_id="req_2")

        assert foreign.value.sentence == missing.value.sentence
        assert await key_row(begin, key.id) == before
        assert await rows_of(begin, eve) == (0, 0)

    async def test_it_is_not_listed(self, town: Town) -> None:
        ada, eve = await town.customer(), await town.customer()
        await new_key(town, ada)

        page = await town.service.api_keys(eve.principal, cursor=None, limit=10)

        assert page.rows == ()


class TestListingKeys:
    async def test_pages_show_every_key_once_newest_first_while_keys_are_added(
        self, town: Town, clock: StoppedClock
    ) -> None:
        ada, keys = await town.customer(), []
        for _ in range(5):
            clock.move(timedelta(seconds=1))
            keys.append((await new_key(town, ada)).id)

        first = await town.service.api_keys(ada.principal, cursor=None, limit=2)
        clock.move(timedelta(seconds=1))
        await new_key(town, ada)
        second = await town.service.api_keys(ada.principal, cursor=first.next_cursor, limit=2)
        third = await town.service.api_keys(ada.principal, cursor=second.next_cursor, limit=2)

        assert [key.id for page in (first, second, third) for key in page.rows] == keys[::-1]
        assert third.next_cursor is None

    async def test_a_full_last_page_has_no_next(self, town: Town) -> None:
        ada = await town.customer()
        await new_key(town, ada)

        assert (await town.service.api_keys(ada.principal, cursor=None, limit=1)).next_cursor is None

    async def test_a_cursor_that_is_none_is_refused(self, town: Town) -> None:
        ada = await town.customer()

        with pytest.raises(InvalidInput):
            await town.service.api_keys(ada.principal, cursor="nonsense", limit=1)

    async def test_a_key_for_chat_may_not_list_keys(self, town: Town) -> None:
        ada = await town.customer()
        key = await new_key(town, ada)

        with pytest.raises(Forbidden):
            await town.service.api_keys(await town.service.principal_of_api_key(key.secret), cursor=None, limit=1)


class TestTheCostOfAKey:
    async def test_finding_its_principal_is_one_query(self, town: Town, engine: AsyncEngine) -> None:
        key = await new_key(town, await town.customer())

        with waits_of(engine) as waits:
            await town.service.principal_of_api_key(key.secret)

        assert len(waits) == 2  # for the query, and for the end of the transaction that the builders put around it

    async def test_that_query_reads_nothing_but_indexes(self, begin: Begin) -> None:
        query = _BY_DIGEST.filled(digest=b"-", at=datetime.now(UTC))

        async with begin() as uow:
            # On tables this small PostgreSQL would rather read them whole; this asks what it can do on large ones.
            await uow.connection.execute(text("SET LOCAL enable_seqscan = off"))
            explaining = AsyncRawCursor(uow.driver)
            await explaining.execute(b"EXPLAIN " + query.statement.text, query.values)
            lines = "\n".join([line for (line,) in await explaining.fetchall()])

        assert "Seq Scan" not in lines
        assert "uq_api_keys_digest" in lines


@contextmanager
def waits_of(engine: AsyncEngine) -> Iterator[list[object]]:
    """Each exchange with the server that the engine's driver has to wait for meanwhile."""
    waits: list[object] = []

    def watched(exchange: Any) -> Any:
        try:
            wanted = next(exchange)
            waits.append(wanted)
            while True:
                wanted = exchange.send((yield wanted))
        except StopIteration as end:
            return end.value

    def note(connection: Any, *_more: object) -> None:
        driver = connection.driver_connection
        noted.append(driver)
        driver.wait = lambda exchange, **how: type(driver).wait(driver, watched(exchange), **how)

    noted: list[Any] = []
    event.listen(engine.sync_engine, "checkout", note)
    try:
        yield waits
    finally:
        event.remove(engine.sync_engine, "checkout", note)
        for driver in noted:
            del driver.wait


async def rows_of(begin: Begin, customer: Customer) -> tuple[int, int]:
    """How many keys and audit entries the customer's account has."""
    async with begin() as uow:
        keys = select(func.count()).select_from(ApiKeyRow).where(ApiKeyRow.account_id == customer.account.id)
        entries = select(func.count()).select_from(AuditEntryRow).where(AuditEntryRow.account_id == customer.account.id)
        return (
            (await uow.connection.execute(keys)).scalar_one(),
            (await uow.connection.execute(entries)).scalar_one(),
        )


async def key_row(begin: Begin, key_id: str) -> tuple[object, ...]:
    """The key's row as it stands in the database."""
    async with begin() as uow:
        return tuple((await uow.connection.execute(select(ApiKeyRow.__table__).where(ApiKeyRow.id == key_id))).one())
