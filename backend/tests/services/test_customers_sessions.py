"""Signing in and out, and how long a session lasts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Literal

import argon2
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.engine import URL

from backend.tests.builders.customers import CHEAP_HASHER, PASSWORD, Town, customers_service, fresh_address, fresh_email
from backend.tests.fakes.clock import StoppedClock
from billing.customers.adapters.argon2_passwords import Argon2Passwords
from billing.customers.errors import CredentialsWrong, NotSignedIn, TooManyAttempts
from billing.customers.models import PersonRow, SessionRow, SignInAttemptRow
from billing.customers.rules import AccountKind, Role, Scope, attempt_subjects, digest_of_secret
from billing.customers.settings import CustomersSettings
from billing.kit.errors import InvalidInput
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin
from billing.wiring.services import services
from billing.wiring.settings import read_settings

pytestmark = pytest.mark.trust

SETTINGS = CustomersSettings()


class CountingHasher(argon2.PasswordHasher):
    """Argon2 that remembers against which hashes it checked."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.checked: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 - the library's name
        """Checks as argon2 does."""
        self.checked.append(str(hash))
        return super().verify(hash, password)


class TestSigningIn:
    async def test_the_session_acts_for_the_persons_account(self, town: Town) -> None:
        ada = await town.customer()

        found = await town.service.principal_of_session(ada.session.token)

        assert found == ada.principal
        assert found.account_id == ada.account.id
        assert found.api_key_id is None
        assert found.scopes == frozenset(Scope)

    async def test_the_e_mail_may_be_typed_in_capitals(self, town: Town) -> None:
        ada = await town.customer()

        again = await town.sign_in(ada.email.upper())

        assert again.principal == ada.principal

    async def test_only_a_digest_of_the_token_is_stored(self, town: Town, begin: Begin) -> None:
        ada = await town.customer()

        async with begin() as uow:
            row = (
                await uow.connection.execute(
                    select(SessionRow.__table__).where(SessionRow.account_id == ada.account.id)
                )
            ).one()

        assert row.digest == digest_of_secret(ada.session.token)
        assert ada.session.token not in repr(row)
        assert ada.session.csrf_token not in repr(row)

    async def test_neither_token_stands_in_the_sessions_repr(self, town: Town) -> None:
        ada = await town.customer()

        assert ada.session.token not in repr(ada.session)
        assert ada.session.csrf_token not in repr(ada.session)

    async def test_what_is_no_e_mail_is_refused_as_such(self, town: Town) -> None:
        with pytest.raises(InvalidInput):
            await town.sign_in("not an address")

    async def test_hashing_leaves_the_event_loop_to_others(self) -> None:
        passwords = Argon2Passwords(argon2.PasswordHasher())
        turns = 0

        hashing = asyncio.create_task(passwords.hashed(PASSWORD))
        while not hashing.done():
            await asyncio.sleep(0)
            turns += 1

        assert await passwords.is_right(PASSWORD, await hashing)
        assert turns > 10

    async def test_the_product_hashes_at_full_strength(
        self, database_url: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("billing.wiring.services.PasswordHasher", argon2.PasswordHasher)  # tests have a cheap one
        email = fresh_email()

        async with services(read_settings({}), database_url) as product, product.begin() as uow:
            await product.customers.open_account(uow, name="Ada", email=email, password=PASSWORD)
            stored = await uow.connection.scalar(select(PersonRow.password_hash).where(PersonRow.email == email))

        assert argon2.extract_parameters(str(stored)) == argon2.profiles.RFC_9106_LOW_MEMORY


class TestWrongCredentials:
    async def test_a_wrong_password_and_an_unknown_e_mail_are_refused_in_the_same_words(self, town: Town) -> None:
        ada = await town.customer()

        with pytest.raises(CredentialsWrong) as wrong:
            await town.sign_in(ada.email, "not the password")
        with pytest.raises(CredentialsWrong) as unknown:
            await town.sign_in(fresh_email())

        assert wrong.value.sentence == unknown.value.sentence
        assert wrong.value.facts == unknown.value.facts == {}

    async def test_an_unknown_e_mail_costs_the_same_work(self, begin: Begin, clock: StoppedClock, ids: Ids) -> None:
        hasher = CountingHasher()
        town = Town(customers_service(begin, clock, ids, passwords=Argon2Passwords(hasher)), begin)
        ada = await town.customer()
        hasher.checked.clear()

        for email in (ada.email, fresh_email()):
            with pytest.raises(CredentialsWrong):
                await town.sign_in(email, "not the password")

        known, unknown = hasher.checked
        assert argon2.extract_parameters(known) == argon2.extract_parameters(unknown)

    async def test_nobodys_password_opens_nothing(self) -> None:
        passwords = Argon2Passwords(CHEAP_HASHER)

        assert not await passwords.is_right("", None)

    async def test_an_empty_password_is_wrong(self, town: Town) -> None:
        ada = await town.customer()

        with pytest.raises(CredentialsWrong):
            await town.sign_in(ada.email, "")


class TestGuessing:
    async def test_after_ten_failures_even_the_right_password_waits(self, town: Town) -> None:
        ada = await town.customer()
        await fail(town, ada.email, times=SETTINGS.sign_in_attempts_per_email)

        with pytest.raises(TooManyAttempts) as refusal:
            await town.sign_in(ada.email)

        assert refusal.value.retry_after_seconds == SETTINGS.sign_in_window.total_seconds()
        assert refusal.value.facts == {"retry_after_seconds": refusal.value.retry_after_seconds}

    async def test_an_unknown_e_mail_is_limited_just_the_same(self, town: Town) -> None:
        stranger = fresh_email()
        await fail(town, stranger, times=SETTINGS.sign_in_attempts_per_email)

        with pytest.raises(TooManyAttempts):
            await town.sign_in(stranger)

    async def test_who_waits_as_told_is_let_in(self, town: Town, clock: StoppedClock) -> None:
        ada = await town.customer()
        await fail(town, ada.email, times=SETTINGS.sign_in_attempts_per_email)
        clock.move(timedelta(seconds=30))
        with pytest.raises(TooManyAttempts) as refusal:
            await town.sign_in(ada.email)

        clock.move(timedelta(seconds=refusal.value.retry_after_seconds))
        session = await town.sign_in(ada.email)

        assert session.principal == ada.principal

    async def test_a_moment_before_that_they_are_not(self, town: Town, clock: StoppedClock) -> None:
        ada = await town.customer()
        await fail(town, ada.email, times=SETTINGS.sign_in_attempts_per_email)

        clock.move(SETTINGS.sign_in_window - timedelta(microseconds=1))

        with pytest.raises(TooManyAttempts) as refusal:
            await town.sign_in(ada.email)
        assert refusal.value.retry_after_seconds == 1

    async def test_a_success_starts_the_e_mail_anew(self, town: Town) -> None:
        ada = await town.customer()
        await fail(town, ada.email, times=SETTINGS.sign_in_attempts_per_email - 1)
        await town.sign_in(ada.email)

        await fail(town, ada.email, times=SETTINGS.sign_in_attempts_per_email)

        with pytest.raises(TooManyAttempts):
            await town.sign_in(ada.email)

    async def test_one_address_that_tries_many_e_mails_is_stopped(
        self, begin: Begin, clock: StoppedClock, ids: Ids
    ) -> None:
        few = CustomersSettings.model_validate({"BILLING_SIGN_IN_ATTEMPTS_PER_ADDRESS": 3})
        town = Town(customers_service(begin, clock, ids, settings=few), begin)
        ada, address = await town.customer(), fresh_address()
        for _ in range(3):
            await fail(town, fresh_email(), address=address)

        with pytest.raises(TooManyAttempts):
            await town.sign_in(ada.email, address=address)

        assert (await town.sign_in(ada.email, address=fresh_address())).principal == ada.principal

    async def test_signing_in_to_an_own_account_wins_no_further_guesses(
        self, begin: Begin, clock: StoppedClock, ids: Ids
    ) -> None:
        few = CustomersSettings.model_validate({"BILLING_SIGN_IN_ATTEMPTS_PER_ADDRESS": 3})
        town = Town(customers_service(begin, clock, ids, settings=few), begin)
        eve, address = await town.customer(), fresh_address()

        for _ in range(2):
            await fail(town, fresh_email(), address=address)
            await town.sign_in(eve.email, address=address)
        await fail(town, fresh_email(), address=address)

        with pytest.raises(TooManyAttempts):
            await town.sign_in(eve.email, address=address)

    async def test_an_office_behind_one_address_signs_in_without_end(
        self, begin: Begin, clock: StoppedClock, ids: Ids
    ) -> None:
        few = CustomersSettings.model_validate({"BILLING_SIGN_IN_ATTEMPTS_PER_ADDRESS": 3})
        town = Town(customers_service(begin, clock, ids, settings=few), begin)
        ada, address = await town.customer(), fresh_address()

        sessions = [await town.sign_in(ada.email, address=address) for _ in range(5)]

        assert len({session.token for session in sessions}) == 5

    async def test_guesses_at_the_same_moment_through_two_replicas_are_counted_together(
        self, begin: Begin, clock: StoppedClock, ids: Ids
    ) -> None:
        replicas = [Town(customers_service(begin, clock, ids), begin) for _ in range(2)]
        ada = await replicas[0].customer()

        outcomes = await asyncio.gather(
            *(replicas[turn % 2].sign_in(ada.email, "not the password") for turn in range(20)), return_exceptions=True
        )

        kinds = [type(outcome).__name__ for outcome in outcomes]
        assert kinds.count("CredentialsWrong") == SETTINGS.sign_in_attempts_per_email
        assert kinds.count("TooManyAttempts") == 20 - SETTINGS.sign_in_attempts_per_email


class TestRotation:
    async def test_the_session_that_the_browser_had_ends_when_somebody_signs_in(self, town: Town) -> None:
        ada = await town.customer()

        fresh = await town.service.sign_in(
            ada.email, PASSWORD, user_agent="tests", address=fresh_address(), replaces=ada.session.token
        )

        assert fresh.token != ada.session.token
        assert fresh.csrf_token != ada.session.csrf_token
        with pytest.raises(NotSignedIn):
            await town.service.principal_of_session(ada.session.token)

    async def test_a_failed_sign_in_ends_nothing(self, town: Town) -> None:
        ada = await town.customer()

        with pytest.raises(CredentialsWrong):
            await town.service.sign_in(
                ada.email, "wrong", user_agent="tests", address=fresh_address(), replaces=ada.session.token
            )

        assert await town.service.principal_of_session(ada.session.token) == ada.principal


class TestTheEndOfASession:
    async def test_signing_out_ends_it_at_once(self, town: Town) -> None:
        ada = await town.customer()

        await town.service.sign_out(ada.session.token)

        with pytest.raises(NotSignedIn):
            await town.service.principal_of_session(ada.session.token)

    async def test_signing_out_twice_is_boring_and_ends_only_this_session(self, town: Town) -> None:
        ada = await town.customer()
        laptop = await town.sign_in(ada.email)

        await town.service.sign_out(ada.session.token)
        await town.service.sign_out(ada.session.token)

        assert await town.service.principal_of_session(laptop.token) == ada.principal

    async def test_it_ends_when_it_was_idle_too_long(self, town: Town, clock: StoppedClock) -> None:
        ada = await town.customer()

        clock.move(SETTINGS.session_idle)

        with pytest.raises(NotSignedIn):
            await town.service.principal_of_session(ada.session.token)

    async def test_use_keeps_it_from_idling_out(self, town: Town, clock: StoppedClock) -> None:
        ada = await town.customer()

        for _ in range(3):
            clock.move(SETTINGS.session_idle - timedelta(minutes=1))
            assert await town.service.principal_of_session(ada.session.token) == ada.principal

    async def test_it_ends_after_its_lifetime_however_busy(self, town: Town, clock: StoppedClock) -> None:
        ada = await town.customer()
        step = SETTINGS.session_idle / 2
        while clock.now() + step < ada.session.expires_at:
            clock.move(step)
            await town.service.principal_of_session(ada.session.token)

        clock.move(ada.session.expires_at - clock.now())

        with pytest.raises(NotSignedIn):
            await town.service.principal_of_session(ada.session.token)

    async def test_a_busy_session_writes_once_a_minute(self, town: Town, clock: StoppedClock, begin: Begin) -> None:
        ada = await town.customer()
        began = clock.now()

        clock.move(timedelta(seconds=59))
        await town.service.principal_of_session(ada.session.token)
        assert await last_seen(begin, ada.session.token) == began

        clock.move(timedelta(seconds=1))
        await town.service.principal_of_session(ada.session.token)
        assert await last_seen(begin, ada.session.token) == clock.now()

    @pytest.mark.parametrize("token", ["", "nonsense", "é\x00", "a" * 10_000])
    async def test_a_token_that_is_none_is_refused(self, town: Town, token: str) -> None:
        with pytest.raises(NotSignedIn):
            await town.service.principal_of_session(token)


class TestARoleThatChanges:
    async def test_a_running_session_has_the_new_role_at_its_next_request(
        self, town: Town, begin_as_owner: Begin
    ) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION)
        grace = await town.colleague(firm.account, Role.ADMIN)

        await as_owner(
            begin_as_owner, "UPDATE members SET role = 'auditor' WHERE person_id = :id", grace.principal.person_id
        )

        assert (await town.service.principal_of_session(grace.session.token)).role is Role.AUDITOR

    async def test_who_leaves_the_account_is_signed_out_of_it(self, town: Town, begin_as_owner: Begin) -> None:
        firm = await town.customer(kind=AccountKind.ORGANISATION)
        grace = await town.colleague(firm.account, Role.ADMIN)

        await as_owner(begin_as_owner, "DELETE FROM members WHERE person_id = :id", grace.principal.person_id)

        with pytest.raises(NotSignedIn):
            await town.service.principal_of_session(grace.session.token)
        with pytest.raises(CredentialsWrong):
            await town.sign_in(grace.email)


class TestSweeping:
    async def test_what_has_ended_goes_and_what_lives_stays(
        self, town: Town, clock: StoppedClock, begin: Begin
    ) -> None:
        idle, email = await town.customer(), fresh_email()
        await fail(town, email)
        clock.move(SETTINGS.session_idle)
        live = await town.customer()

        removed = await town.service.sweep()

        assert removed >= 2
        assert await last_seen(begin, idle.session.token) is None
        assert await last_seen(begin, live.session.token) == clock.now()
        async with begin() as uow:
            _, subject = attempt_subjects(email, "192.0.2.1")
            remembered = select(func.count()).where(SignInAttemptRow.subject == subject)
            assert (await uow.connection.execute(remembered)).scalar_one() == 0

    async def test_the_second_sweep_finds_nothing(self, town: Town) -> None:
        await town.service.sweep()

        assert await town.service.sweep() == 0


async def fail(town: Town, email: str, *, times: int = 1, address: str | None = None) -> None:
    """Tries a wrong password."""
    for _ in range(times):
        with pytest.raises(CredentialsWrong):
            await town.sign_in(email, "not the password", address=address)


async def last_seen(begin: Begin, token: str) -> object:
    """When the session was last noted in use; None when it is gone."""
    async with begin() as uow:
        query = select(SessionRow.last_seen_at).where(SessionRow.digest == digest_of_secret(token))
        return (await uow.connection.execute(query)).scalar_one_or_none()


async def as_owner(begin_as_owner: Begin, statement: str, person_id: str | None) -> None:
    """What another process with more rights does meanwhile."""
    async with begin_as_owner() as uow:
        await uow.connection.execute(text(statement), {"id": person_id})
