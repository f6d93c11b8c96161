"""Opening accounts, and the people in them."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from backend.tests.builders.customers import PASSWORD, Town, fresh_email
from billing.customers.errors import AccountNotFound, EmailTaken
from billing.customers.models import AccountRow, MemberRow, PersonRow
from billing.customers.rules import Account, AccountId, AccountKind, OperatorRole, Role
from billing.customers.service import CustomersService
from billing.kit.errors import InvalidInput
from billing.kit.unit_of_work import Begin


async def open_account(service: CustomersService, begin: Begin, email: str, **more: str) -> Account:
    """Opens a personal account in a transaction of its own."""
    async with begin() as uow:
        return await service.open_account(
            uow, name=more.get("name", "Ada"), email=email, password=more.get("password", PASSWORD)
        )


class TestOpeningAnAccount:
    async def test_its_first_person_owns_it(self, town: Town, begin: Begin) -> None:
        ada = await town.customer(kind=AccountKind.ORGANISATION, time_zone="Asia/Kathmandu")

        async with begin() as uow:
            account = await town.service.account(uow, ada.account.id)

        assert account == ada.account
        assert account.kind is AccountKind.ORGANISATION
        assert ada.principal.role is Role.OWNER
        assert ada.principal.time_zone == "Asia/Kathmandu"

    async def test_the_password_is_kept_only_as_an_argon2_hash(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()

        async with begin() as uow:
            stored = (
                await uow.connection.execute(select(PersonRow.password_hash).where(PersonRow.email == ada.email))
            ).scalar_one()

        assert stored.startswith("$argon2id$")
        assert PASSWORD not in stored

    @pytest.mark.parametrize("wrong", [{"name": ""}, {"password": "short"}])
    async def test_a_refused_account_leaves_nothing(
        self, customers: CustomersService, begin: Begin, wrong: dict[str, str]
    ) -> None:
        email = fresh_email()

        with pytest.raises(InvalidInput):
            await open_account(customers, begin, email, **wrong)

        assert await people_with(begin, email) == 0

    async def test_an_unknown_time_zone_is_refused(self, town: Town) -> None:
        with pytest.raises(InvalidInput) as refusal:
            await town.customer(time_zone="Mars/Olympus")

        assert refusal.value.field == "time_zone"

    async def test_a_caller_that_fails_later_takes_everything_back(
        self, customers: CustomersService, begin: Begin
    ) -> None:
        email, opened = fresh_email(), []

        async def open_and_fail() -> None:
            async with begin() as uow:
                opened.append(
                    await customers.open_account(uow, name="Ada", email=email, password=PASSWORD),
                )
                raise LookupError

        with pytest.raises(LookupError):
            await open_and_fail()

        assert await people_with(begin, email) == 0
        async with begin() as uow:
            with pytest.raises(AccountNotFound):
                await customers.account(uow, opened[0].id)

    async def test_an_account_that_is_not_there_is_refused(self, customers: CustomersService, begin: Begin) -> None:
        async with begin() as uow:
            with pytest.raises(AccountNotFound):
                await customers.account(uow, AccountId("acc_nobody"))


class TestOneEmailOnePerson:
    async def test_the_same_e_mail_in_capitals_is_taken(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()

        with pytest.raises(EmailTaken):
            await open_account(town.service, begin, f"  {ada.email.upper()}")

    async def test_a_taken_e_mail_opens_no_second_account(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()

        with pytest.raises(EmailTaken):
            await open_account(town.service, begin, ada.email, name="Eve was here")

        async with begin() as uow:
            eves = await uow.connection.execute(select(AccountRow.id).where(AccountRow.name == "Eve was here"))
        assert eves.all() == []

    async def test_of_five_at_once_one_gets_it(self, customers: CustomersService, begin: Begin) -> None:
        email = fresh_email()

        outcomes = await asyncio.gather(
            *(open_account(customers, begin, email) for _ in range(5)), return_exceptions=True
        )

        assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Account", *["EmailTaken"] * 4]
        assert await people_with(begin, email) == 1


class TestMembers:
    @pytest.mark.parametrize("role", list(Role))
    async def test_a_member_signs_in_with_the_role_they_were_given(self, town: Town, role: Role) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION)

        grace = await town.colleague(firm.account, role)

        assert grace.principal.role is role
        assert grace.principal.account_id == firm.account.id
        assert grace.principal.operator_role is None

    async def test_nobody_becomes_a_member_of_no_account(self, town: Town, begin: Begin) -> None:
        email = fresh_email()

        with pytest.raises(AccountNotFound):
            async with begin() as uow:
                await town.service.add_member(
                    uow, AccountId("acc_nobody"), email=email, password=PASSWORD, role=Role.ADMIN
                )

        assert await people_with(begin, email) == 0

    async def test_a_person_is_a_member_of_an_account_once(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()

        async with begin() as uow:
            memberships = await uow.connection.execute(
                select(MemberRow.role).where(MemberRow.person_id == ada.principal.person_id)
            )

        assert memberships.scalars().all() == ["owner"]


class TestOperators:
    async def test_an_operator_is_whoever_our_row_says(self, town: Town) -> None:
        operator = await town.customer(operator_role=OperatorRole.FINANCE)
        plain = await town.customer()

        assert operator.principal.operator_role is OperatorRole.FINANCE
        assert plain.principal.operator_role is None

    @pytest.mark.parametrize("column", ["operator_role", "password_hash", "email"])
    async def test_the_applications_own_role_cannot_promote_anybody(
        self, town: Town, begin: Begin, column: str
    ) -> None:
        ada = await town.customer()

        with pytest.raises(ProgrammingError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(
                    text(f"UPDATE people SET {column} = 'super_admin' WHERE id = :id"),  # noqa: S608 - a name of ours
                    {"id": ada.principal.person_id},
                )

    async def test_the_applications_own_role_cannot_change_a_membership(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()

        with pytest.raises(ProgrammingError, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(
                    text("UPDATE members SET role = 'owner' WHERE person_id = :id"), {"id": ada.principal.person_id}
                )


async def people_with(begin: Begin, email: str) -> int:
    """How many people have this e-mail."""
    async with begin() as uow:
        return len((await uow.connection.execute(select(PersonRow.id).where(PersonRow.email == email))).all())
