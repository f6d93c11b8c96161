"""One free quota for each verified person, whatever accounts and spellings they have; a network brings only so many."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import PASSWORD, Customer, Town
from backend.tests.builders.jobs import Ticks
from backend.tests.builders.quotas import FREE_MODEL, quota_service
from backend.tests.builders.wallets import Wallets
from billing.customers.errors import CredentialsWrong, Forbidden, NotSignedIn
from billing.customers.rules import AccountId, AccountKind, OperatorRole, Role
from billing.kit.errors import BillingError
from billing.quotas import jobs
from billing.quotas.errors import FreeQuotaUnavailable
from billing.quotas.rules import Amounts, FreeTerms, NotAvailable, Reserved, Unavailable, neighbourhood_of
from billing.quotas.service import QuotaService

LIMITS = Amounts(100, 100)
ALL_OF_IT = Amounts(100, 100)


@pytest.fixture
async def quotas(wallets: Wallets, town: Town) -> QuotaService:
    """A hundred tokens each way for everybody who is somebody."""
    service = quota_service(wallets.begin, wallets.clock, wallets.ids, people=town.service)
    async with wallets.begin() as uow:
        await service.set_terms(uow, FreeTerms(True, 30, LIMITS, frozenset({FREE_MODEL})))
    return service


Open = Callable[..., Awaitable[AccountId]]
Use = Callable[..., Awaitable[Reserved | NotAvailable]]


@pytest.fixture
def open_account(town: Town) -> Open:
    """Opens an account for whoever has this e-mail."""

    async def opened(email: str, **more: object) -> AccountId:
        async with town.begin() as uow:
            kind = AccountKind(str(more.get("kind", "personal")))
            is_verified = more.get("is_email_verified", True) is True
            account = await town.service.open_account(
                uow, name="Ada", email=email, password=PASSWORD, kind=kind, is_email_verified=is_verified
            )
        return account.id

    return opened


@pytest.fixture
def use(quotas: QuotaService, wallets: Wallets) -> Use:
    """Tries to set something aside for an account, from a network."""

    async def tried(
        account_id: AccountId, estimate: Amounts = ALL_OF_IT, *, network: str | None = None, service: object = None
    ) -> Reserved | NotAvailable:
        who = service if isinstance(service, QuotaService) else quotas
        async with wallets.begin() as uow:
            outcome = await who.reserve(
                uow, account_id, wallets.operation(), estimate, model=FREE_MODEL, client_network=network
            )
        await who.record_refused_start(outcome)
        return outcome

    return tried


def limited(wallets: Wallets, town: Town, starts_per_network: int) -> QuotaService:
    """The service with so many first starts a day from one network."""
    return quota_service(
        wallets.begin, wallets.clock, wallets.ids, people=town.service, starts_per_network=starts_per_network
    )


def name() -> str:
    """A local part that nobody has yet, with letters before and after a dot."""
    return secrets.token_hex(6)


def network() -> str:
    """An address in a /64 of its own (RFC 3849)."""
    return f"2001:db8:{secrets.randbits(16):x}:{secrets.randbits(16):x}::1"


class TestOnePerson:
    async def test_uses_one_quota_under_all_spellings_of_the_e_mail(self, open_account: Open, use: Use) -> None:
        local = name()
        first = await open_account(f"{local}@gmail.com")
        second = await open_account(f"{local[:3]}.{local[3:]}+again@googlemail.com")

        begun, again = await use(first), await use(second, Amounts(1, 1))

        assert isinstance(begun, Reserved)
        assert isinstance(again, NotAvailable)
        assert (again.reason, again.used) == (Unavailable.EXHAUSTED, 100)

    async def test_sees_in_the_second_account_what_the_first_has_used(
        self, open_account: Open, use: Use, quotas: QuotaService, wallets: Wallets
    ) -> None:
        local = name()
        first, second = await open_account(f"{local}@gmail.com"), await open_account(f"{local}+2@gmail.com")
        await use(first, Amounts(60, 60))

        async with wallets.begin() as uow:
            standing = await quotas.standing(uow, second)

        assert [metric.left for metric in standing.metrics] == [40, 40]

    async def test_uses_one_quota_when_both_accounts_begin_at_once(self, open_account: Open, use: Use) -> None:
        local = name()
        accounts = [await open_account(f"{local}+{number}@gmail.com") for number in range(6)]

        outcomes = await asyncio.gather(*(use(account, Amounts(50, 50)) for account in accounts))

        assert sum(isinstance(outcome, Reserved) for outcome in outcomes) == 2

    async def test_stands_behind_the_organisation_that_they_own(self, open_account: Open, use: Use) -> None:
        local = name()
        person = await open_account(f"{local}@gmail.com")
        organisation = await open_account(f"{local}+work@gmail.com", kind="organisation")

        await use(person)

        assert isinstance(await use(organisation, Amounts(1, 1)), NotAvailable)

    async def test_is_another_than_somebody_else(self, open_account: Open, use: Use) -> None:
        one, other = await open_account(f"{name()}@gmail.com"), await open_account(f"{name()}@gmail.com")

        assert isinstance(await use(one), Reserved)
        assert isinstance(await use(other), Reserved)


class TestAnUnverifiedPerson:
    async def test_has_no_free_quota_until_the_e_mail_is_confirmed(
        self, open_account: Open, use: Use, town: Town, quotas: QuotaService
    ) -> None:
        email = f"{name()}@gmail.com"
        account = await open_account(email, is_email_verified=False)

        before = await use(account)
        async with town.begin() as uow:
            shown = await quotas.standing(uow, account)
        session = await town.sign_in(email)
        assert session.principal.person_id is not None
        async with town.begin() as uow:
            await town.service.confirm_email(uow, session.principal.person_id)

        assert isinstance(before, NotAvailable)
        assert before.reason is Unavailable.EMAIL_NOT_VERIFIED
        assert isinstance(before.refusal(), FreeQuotaUnavailable)
        assert not shown.has_free_model
        assert isinstance(await use(account), Reserved)

    async def test_is_what_an_account_without_people_is(self, use: Use, wallets: Wallets) -> None:
        outcome = await use(AccountId(await wallets.account()))

        assert isinstance(outcome, NotAvailable)
        assert outcome.reason is Unavailable.EMAIL_NOT_VERIFIED


class TestAClosedAccount:
    async def test_gives_nobody_a_second_quota(self, open_account: Open, use: Use, town: Town) -> None:
        email = f"{name()}@gmail.com"
        await use(await open_account(email))
        owner = (await town.sign_in(email)).principal

        await town.service.close_account(owner, reason="asked to", request_id="req_close")
        reopened = await open_account(email)

        outcome = await use(reopened, Amounts(1, 1))
        assert isinstance(outcome, NotAvailable)
        assert outcome.reason is Unavailable.EXHAUSTED

    async def test_lets_nobody_in_and_names_nobody(self, town: Town) -> None:
        ada = await town.customer()
        grace = await town.colleague(ada.account, Role.MEMBER)
        key = await town.service.create_api_key(ada.principal, "mine", scopes={"chat"}, request_id="req_key")

        await town.service.close_account(ada.principal, reason="asked to", request_id="req_close")
        await town.service.close_account(ada.principal, reason="asked twice", request_id="req_close")

        async with town.begin() as uow:
            account = await town.service.account(uow, ada.account.id)
        assert (account.name, account.closed_at is not None) == ("Closed account", True)
        for person in (ada, grace):
            with pytest.raises(CredentialsWrong):
                await town.sign_in(person.email)
            with pytest.raises(NotSignedIn):
                await town.service.principal_of_session(person.session.token)
        with pytest.raises(BillingError):
            await town.service.principal_of_api_key(key.secret)

    async def test_is_closed_by_an_owner_only(self, town: Town) -> None:
        ada = await town.customer()
        admin = await town.colleague(ada.account, Role.ADMIN)

        with pytest.raises(Forbidden):
            await town.service.close_account(admin.principal, reason="", request_id="req_close")

    async def test_keeps_the_application_from_forgetting_a_member(self, town: Town) -> None:
        ada = await town.customer()

        await forget(town, ada)

        assert (await town.sign_in(ada.email)).principal.person_id == ada.principal.person_id


class TestANetwork:
    async def test_brings_so_many_newcomers_a_day_and_no_more(
        self, open_account: Open, use: Use, wallets: Wallets, town: Town
    ) -> None:
        service = limited(wallets, town, 2)
        home = network()
        accounts = [await open_account(f"{name()}@gmail.com") for _ in range(3)]

        outcomes = [await use(account, network=home, service=service) for account in accounts]
        elsewhere = await use(accounts[2], network=network(), service=service)

        assert [isinstance(outcome, Reserved) for outcome in outcomes] == [True, True, False]
        assert isinstance(outcomes[2], NotAvailable)
        assert outcomes[2].reason is Unavailable.START_RATE
        assert isinstance(elsewhere, Reserved)

    async def test_counts_exactly_when_all_come_at_once(
        self, open_account: Open, use: Use, wallets: Wallets, town: Town
    ) -> None:
        service = limited(wallets, town, 3)
        home = network()
        accounts = [await open_account(f"{name()}@gmail.com") for _ in range(8)]

        outcomes = await asyncio.gather(*(use(account, network=home, service=service) for account in accounts))

        assert sum(isinstance(outcome, Reserved) for outcome in outcomes) == 3

    async def test_is_free_again_a_day_later_and_not_before(
        self, open_account: Open, use: Use, wallets: Wallets, town: Town
    ) -> None:
        service = limited(wallets, town, 1)
        home = network()
        first, second = await open_account(f"{name()}@gmail.com"), await open_account(f"{name()}@gmail.com")
        await use(first, network=home, service=service)

        wallets.clock.move(timedelta(days=1, microseconds=-1))
        early = await use(second, network=home, service=service)
        wallets.clock.move(timedelta(microseconds=1))
        later = await use(second, network=home, service=service)

        assert isinstance(early, NotAvailable)
        assert isinstance(later, Reserved)

    async def test_is_not_asked_for_somebody_who_has_begun_before(
        self, open_account: Open, use: Use, wallets: Wallets, town: Town
    ) -> None:
        service = limited(wallets, town, 1)
        home, local = network(), name()
        first, again = await open_account(f"{local}@gmail.com"), await open_account(f"{local}+2@gmail.com")
        await use(first, Amounts(1, 1), network=home, service=service)

        outcome = await use(again, Amounts(1, 1), network=home, service=service)

        assert isinstance(outcome, Reserved)

    async def test_with_a_rate_of_zero_brings_nobody(
        self, open_account: Open, use: Use, wallets: Wallets, town: Town
    ) -> None:
        service = limited(wallets, town, 0)
        account = await open_account(f"{name()}@gmail.com")

        assert isinstance(await use(account, network=network(), service=service), NotAvailable)
        assert isinstance(await use(account, service=service), Reserved)

    async def test_is_not_used_up_by_a_call_that_never_fits(
        self, open_account: Open, use: Use, wallets: Wallets, town: Town
    ) -> None:
        service = limited(wallets, town, 1)
        home = network()
        greedy, modest = await open_account(f"{name()}@gmail.com"), await open_account(f"{name()}@gmail.com")

        too_much = await use(greedy, Amounts(101, 1), network=home, service=service)

        assert isinstance(too_much, NotAvailable)
        assert isinstance(await use(modest, network=home, service=service), Reserved)


class TestTheReport:
    async def test_says_what_happened_and_guesses_about_nobody(
        self, open_account: Open, use: Use, wallets: Wallets, town: Town
    ) -> None:
        service = limited(wallets, town, 1)
        home = network()
        first, second = await open_account(f"{name()}@gmail.com"), await open_account(f"{name()}@gmail.com")
        await use(first, network=home, service=service)
        for _ in range(3):
            await use(second, network=home, service=service)

        operator = await town.customer(operator_role=OperatorRole.AUDITOR)
        report = await service.starts_report(operator.principal, days=1)

        (refused,) = [part for part in report.refusals if part.start.account_id == second]
        (here,) = [part for part in report.networks if part.network == refused.start.network]
        assert (refused.attempts, refused.first_at, refused.last_at) == (3, wallets.clock.now(), wallets.clock.now())
        assert (here.starts, here.refused_accounts, here.refused_attempts) == (1, 1, 3)

    async def test_is_for_operators(self, quotas: QuotaService, town: Town) -> None:
        plain = await town.customer()

        with pytest.raises(Forbidden):
            await quotas.starts_report(plain.principal, days=1)

    async def test_forgets_networks_after_a_month_and_no_person(
        self, open_account: Open, use: Use, quotas: QuotaService, wallets: Wallets, town: Town
    ) -> None:
        account, home = await open_account(f"{name()}@gmail.com"), network()
        await use(account, network=home)
        wallets.clock.move(timedelta(days=32))

        while await quotas.forget_networks():
            pass

        operator = await town.customer(operator_role=OperatorRole.AUDITOR)
        report = await quotas.starts_report(operator.principal, days=365)
        assert neighbourhood_of(home) not in {part.network for part in report.networks}
        assert isinstance(await use(account), Reserved)

    async def test_loses_old_networks_by_the_hourly_job(
        self, open_account: Open, use: Use, quotas: QuotaService, wallets: Wallets, town: Town
    ) -> None:
        ticks = Ticks()
        jobs.register(ticks, quotas)
        wallets.clock.move(timedelta(days=32))
        while await quotas.forget_networks():
            pass  # what other tests have left is out of the job's way, which forgets so many at a time
        home = network()
        await use(await open_account(f"{name()}@gmail.com"), network=home)
        operator = await town.customer(operator_role=OperatorRole.AUDITOR)

        seen = []
        for days in (29, 3):
            wallets.clock.move(timedelta(days=days))
            await ticks.work["quotas.forget_networks"]()
            report = await quotas.starts_report(operator.principal, days=365)
            seen.append(neighbourhood_of(home) in {part.network for part in report.networks})

        assert seen == [True, False]


async def forget(town: Town, customer: Customer) -> None:
    """What the application's role can ask of the schema about somebody who is still a member."""
    async with town.begin() as uow:
        await uow.connection.execute(text("SELECT forget_person(:id)"), {"id": customer.principal.person_id})
