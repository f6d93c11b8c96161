"""The audit trail: one entry per change, with it or not at all, and for ever."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError

from backend.tests.builders.customers import Customer, Town
from backend.tests.fakes.clock import StoppedClock
from billing.customers.audit import AuditTrail
from billing.customers.models import AuditEntryRow
from billing.customers.rules import AccountId, OperatorRole
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, UnitOfWork

CHANGES = (
    "UPDATE audit_entries SET reason = 'nothing to see' WHERE id = :id",
    "UPDATE audit_entries SET account_id = account_id WHERE id = :id",
    "DELETE FROM audit_entries WHERE id = :id",
)


@pytest.fixture
def audit(clock: StoppedClock, ids: Ids) -> AuditTrail:
    """The real trail."""
    return AuditTrail(clock, ids)


async def record(
    audit: AuditTrail, uow: UnitOfWork, actor: Customer, *, action: str = "limit.changed", of: AccountId | None = None
) -> str:
    """Records that the actor raised a limit."""
    return await audit.record(
        uow,
        actor.principal,
        action=action,
        target="lim_1",
        before={"limit": "10.00"},
        after={"limit": "20.00"},
        reason="asked by telephone",
        request_id="req_1",
        account_id=of,
    )


class TestAnEntry:
    async def test_it_says_who_changed_what_from_what_to_what_and_why(
        self, town: Town, audit: AuditTrail, begin: Begin, clock: StoppedClock
    ) -> None:
        ada = await town.customer()

        async with begin() as uow:
            entry_id = await record(audit, uow, ada)

        async with begin() as uow:
            query = select(AuditEntryRow.__table__).where(AuditEntryRow.id == entry_id)
            entry = (await uow.connection.execute(query)).one()._asdict()
        assert entry == {
            "id": entry_id,
            "account_id": ada.account.id,
            "actor_account_id": ada.account.id,
            "actor_person_id": ada.principal.person_id,
            "actor_api_key_id": None,
            "actor_operator_role": None,
            "action": "limit.changed",
            "target": "lim_1",
            "before": {"limit": "10.00"},
            "after": {"limit": "20.00"},
            "reason": "asked by telephone",
            "request_id": "req_1",
            "recorded_at": clock.now(),
        }

    async def test_an_operators_change_stands_in_the_customers_trail_under_the_operators_name(
        self, town: Town, audit: AuditTrail, begin: Begin
    ) -> None:
        customer, operator = await town.customer(), await town.customer(operator_role=OperatorRole.FINANCE)

        async with begin() as uow:
            await record(audit, uow, operator, of=customer.account.id)

        (entry,) = await entries_of(begin, customer)
        assert entry == (operator.account.id, operator.principal.person_id, "finance")
        assert await entries_of(begin, operator) == []

    async def test_a_change_that_is_rolled_back_leaves_none(self, town: Town, audit: AuditTrail, begin: Begin) -> None:
        ada = await town.customer()

        with pytest.raises(LookupError):
            async with begin() as uow:
                await record(audit, uow, ada)
                raise LookupError

        assert await entries_of(begin, ada) == []

    @pytest.mark.parametrize("action", ["", "changed", "Limit.Changed", "limit changed"])
    async def test_an_action_without_a_dotted_name_is_a_bug(
        self, town: Town, audit: AuditTrail, begin: Begin, action: str
    ) -> None:
        ada = await town.customer()

        with pytest.raises(IntegrityError, match="ck_audit_entries_action"):
            async with begin() as uow:
                await record(audit, uow, ada, action=action)


class TestAppendOnly:
    @pytest.mark.parametrize("change", [*CHANGES, "TRUNCATE audit_entries"])
    async def test_the_applications_own_role_is_refused(
        self, town: Town, audit: AuditTrail, begin: Begin, change: str
    ) -> None:
        entry_id = await an_entry(town, audit, begin)

        with pytest.raises(ProgrammingError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(text(change), {"id": entry_id} if ":id" in change else {})

    @pytest.mark.parametrize("change", [*CHANGES, "TRUNCATE audit_entries"])
    async def test_even_the_owner_of_the_schema_is_refused(
        self, town: Town, audit: AuditTrail, begin: Begin, begin_as_owner: Begin, change: str
    ) -> None:
        entry_id = await an_entry(town, audit, begin)

        with pytest.raises(ProgrammingError, match="append-only"):
            async with begin_as_owner() as uow:
                await uow.connection.execute(text(change), {"id": entry_id} if ":id" in change else {})


async def an_entry(town: Town, audit: AuditTrail, begin: Begin) -> str:
    """Some entry that stands."""
    ada = await town.customer()
    async with begin() as uow:
        return await record(audit, uow, ada)


async def entries_of(begin: Begin, customer: Customer) -> list[tuple[str, str | None, str | None]]:
    """Whose hands changed something of this customer: account, person, operator role."""
    async with begin() as uow:
        rows = await uow.connection.execute(
            select(
                AuditEntryRow.actor_account_id, AuditEntryRow.actor_person_id, AuditEntryRow.actor_operator_role
            ).where(AuditEntryRow.account_id == customer.account.id)
        )
        return [(row[0], row[1], row[2]) for row in rows]
