"""Opens accounts, signs people in and out, gives out API keys and takes them back."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from billing.customers import repository, rules
from billing.customers.audit import AuditTrail
from billing.customers.errors import (
    AccountNotFound,
    ApiKeyInvalid,
    ApiKeyLimitReached,
    ApiKeyNotFound,
    CredentialsWrong,
    EmailTaken,
    Forbidden,
    NotSignedIn,
    TooManyAttempts,
)
from billing.customers.identities import PersonIdentity, identity_digest
from billing.customers.ports import Passwords
from billing.customers.rules import (
    Account,
    AccountId,
    AccountKind,
    ApiKey,
    OperatorRole,
    Permission,
    PersonId,
    Principal,
    Role,
)
from billing.customers.settings import CustomersSettings
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.pagination import PAGE_SIZE_MAX, Page, decode_cursor, encode_cursor
from billing.kit.unit_of_work import Begin, UnitOfWork, refuse_open_transaction

_SESSION_TOKEN_BYTES = 32
# A busy session writes once a minute, not once a request.
_SEEN_EVERY = timedelta(minutes=1)
_SWEEPS_MAX = 100
_CLOSED_NAME = "Closed account"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session: its token goes into the browser's cookie and nowhere else, the CSRF token into forms."""

    token: str = field(repr=False)
    csrf_token: str = field(repr=False)
    principal: Principal
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A new key; this is the only moment at which anybody sees its secret."""

    secret: str = field(repr=False)
    key: ApiKey

    @property
    def id(self) -> str:
        """The key's id, by which it is listed and revoked."""
        return self.key.id


@dataclass(frozen=True, slots=True)
class Profile:
    """Who is signed in, as they see themselves; no e-mail where no person stands behind the principal."""

    account: Account
    email: str | None


class CustomersService:
    """Everything about who acts for which account."""

    def __init__(
        self,
        begin: Begin,
        clock: Clock,
        ids: Ids,
        passwords: Passwords,
        settings: CustomersSettings,
        audit: AuditTrail,
        *,
        single_read: Begin | None = None,
    ) -> None:
        """`single_read` opens what one reading statement needs, where that is less than a transaction."""
        self._begin = begin
        self._single_read = single_read or begin
        self._clock = clock
        self._ids = ids
        self._passwords = passwords
        self._settings = settings
        self._audit = audit

    async def open_account(
        self,
        uow: UnitOfWork,
        *,
        name: str,
        email: str,
        password: str,
        kind: AccountKind = AccountKind.PERSONAL,
        time_zone: str = "UTC",
        operator_role: OperatorRole | None = None,
        is_email_verified: bool = True,
    ) -> Account:
        """Opens an account with a first person, its owner.

        The password is hashed (a tenth of a second) before the first row is written and locked. Whoever opens accounts
        for others vouches for their e-mails; where people do it themselves, `is_email_verified` is False until
        `confirm_email`.

        Raises:
            InvalidInput: name, e-mail, password or time zone cannot be what they claim to be.
            EmailTaken: another person signs in with this e-mail.
        """
        account = Account(
            id=AccountId(self._ids.new("acc")),
            kind=kind,
            name=rules.check_name(name),
            time_zone=rules.check_time_zone(time_zone),
            created_at=self._clock.now(),
        )
        person_id = await self._new_person(
            uow,
            email=email,
            password=password,
            operator_role=operator_role,
            is_email_verified=is_email_verified,
        )
        await repository.insert_account(uow, account)
        await repository.insert_member(uow, account.id, person_id, role=Role.OWNER, at=account.created_at)
        return account

    async def add_member(
        self, uow: UnitOfWork, account_id: AccountId, *, email: str, password: str, role: Role
    ) -> PersonId:
        """Makes a new person a member of an account.

        Raises:
            InvalidInput: e-mail or password cannot be what they claim to be.
            EmailTaken: another person signs in with this e-mail.
            AccountNotFound: there is no such account.
        """
        await self.account(uow, account_id)
        person_id = await self._new_person(
            uow, email=email, password=password, operator_role=None, is_email_verified=True
        )
        await repository.insert_member(uow, account_id, person_id, role=role, at=self._clock.now())
        return person_id

    async def account(self, uow: UnitOfWork, account_id: AccountId) -> Account:
        """The account.

        Raises:
            AccountNotFound: there is none with this id.
        """
        account = await repository.account_of(uow, account_id)
        if account is None:
            raise AccountNotFound(account_id)
        return account

    async def confirm_email(self, uow: UnitOfWork, person_id: PersonId) -> None:
        """Notes that the person has shown to read what is sent to the e-mail; the second time changes nothing."""
        await repository.mark_email_verified(uow, person_id, at=self._clock.now())

    async def identity_of(self, uow: UnitOfWork, account_id: AccountId) -> PersonIdentity | None:
        """Which person the account stands for: its first owner, also where it is an organisation.

        None for an account without people. The digests tell apart and together, and nothing else.
        """
        owner = await repository.owner_email_of(uow, account_id)
        if owner is None:
            return None
        email, is_verified = owner
        digests = tuple(identity_digest(email, key) for key in self._settings.identity_keys)
        return PersonIdentity(digests, is_verified)

    async def close_account(self, principal: Principal, *, reason: str, request_id: str) -> None:
        """Nobody acts for the account any more, and whoever belonged to no other one is forgotten by name and e-mail.

        Ids, books, usage and audit trail stay, because they are owed to others; so does the digest of a person who has
        used the free quota, which does not lead back to the address. The e-mail can open a new account afterwards.

        Raises:
            Forbidden: only an owner closes an account, and never a key.
        """
        rules.require(principal, Permission.CLOSE_ACCOUNT)
        async with self._begin() as uow:
            account = await repository.account_of(uow, principal.account_id, for_update=True)
            if account is None or account.closed_at is not None:
                return
            now = self._clock.now()
            members = await repository.members_of(uow, account.id)
            await repository.close_account(uow, account.id, name=_CLOSED_NAME, at=now)
            await repository.forget_people(uow, members)
            await self._audit.record(
                uow,
                principal,
                action="account.closed",
                target=account.id,
                before={"closed_at": None},
                after={"closed_at": _moment(now)},
                reason=reason,
                request_id=request_id,
            )

    async def operator_with_email(self, uow: UnitOfWork, email: str) -> Principal:
        """The operator in whose name a command changes something.

        Raises:
            InvalidInput: this is no e-mail address.
            Forbidden: nobody with this e-mail is an operator.
        """
        principal = await repository.operator_with_email(uow, rules.normalise_email(email))
        if principal is None:
            raise Forbidden("operator:read")
        return principal

    async def sign_in(
        self, email: str, password: str, *, user_agent: str, address: str, replaces: str | None = None
    ) -> SignedIn:
        """Opens a session, and ends the one that the browser had (`replaces`), so that no token outlives a sign-in.

        The attempt is counted before the password is looked at, so that parallel guesses are counted too; a success
        takes the count back. Known and unknown e-mails are refused alike and after the same work.

        Raises:
            InvalidInput: this is no e-mail address.
            TooManyAttempts: too many failed for this e-mail or from this address; carries the seconds to wait.
            CredentialsWrong: e-mail and password do not belong together.
        """
        address_subject, email_subject = rules.attempt_subjects(rules.normalise_email(email), address)
        async with self._begin() as uow:
            await self._count_attempt(uow, address_subject=address_subject, email_subject=email_subject)
            candidate = await repository.candidate_with_email(uow, rules.normalise_email(email))

        # A hash takes a tenth of a second: no transaction is open meanwhile.
        refuse_open_transaction()
        is_right = await self._passwords.is_right(password, candidate.password_hash if candidate else None)
        if candidate is None or not is_right:
            raise CredentialsWrong

        async with self._begin() as uow:
            await repository.forgive_attempts(uow, address_subject=address_subject, email_subject=email_subject)
            if replaces is not None:
                await repository.delete_session(uow, rules.digest_of_secret(replaces))
            return await self._open_session(uow, candidate, user_agent=user_agent)

    async def principal_of_session(self, token: str) -> Principal:
        """Who acts in this session, with the role that they have now; keeps the session from idling out.

        Raises:
            NotSignedIn: no such session, or it has ended.
        """
        digest, now = rules.digest_of_secret(token), self._clock.now()
        async with self._begin() as uow:
            session = await repository.open_session(uow, digest, at=now, idle=self._settings.session_idle)
            if session is None:
                raise NotSignedIn
            if now - session.last_seen_at >= _SEEN_EVERY:
                await repository.mark_session_seen(uow, digest, at=now)
        return session.principal

    async def sign_out(self, token: str) -> None:
        """Ends the session at once; the second time changes nothing."""
        async with self._begin() as uow:
            await repository.delete_session(uow, rules.digest_of_secret(token))

    async def profile(self, principal: Principal) -> Profile:
        """The principal's account, and the person's e-mail."""
        async with self._begin() as uow:
            account = await self.account(uow, principal.account_id)
            if principal.person_id is None:
                return Profile(account, None)
            return Profile(account, await repository.email_of(uow, principal.person_id))

    async def create_api_key(
        self,
        principal: Principal,
        name: str,
        *,
        scopes: Iterable[str],
        expires_at: datetime | None = None,
        models: Iterable[str] | None = None,
        request_id: str,
    ) -> NewApiKey:
        """Makes a key that acts as the principal's person, as far as its scopes reach and for `models` only, if given.

        Raises:
            Forbidden: the role may not make keys, or the caller is itself a key.
            InvalidInput: name, scopes, expiry or models cannot be what they claim to be.
            ApiKeyLimitReached: the account has as many live keys as it may.
        """
        rules.require(principal, Permission.MANAGE_API_KEYS)
        now = self._clock.now()
        secret = rules.API_KEY_PREFIX + secrets.token_urlsafe(rules.API_KEY_BYTES)
        key = ApiKey(
            id=self._ids.new("key"),
            name=rules.check_name(name),
            prefix=rules.shown_part(secret),
            scopes=rules.check_scopes(scopes),
            created_at=now,
            expires_at=rules.check_expiry(expires_at, now),
            revoked_at=None,
            models=rules.check_models(models),
        )
        async with self._begin() as uow:
            # Two that make the last allowed key at once wait for each other here.
            await repository.account_of(uow, principal.account_id, for_update=True)
            if await repository.count_live_api_keys(uow, principal.account_id, at=now) >= self._settings.api_keys_max:
                raise ApiKeyLimitReached(self._settings.api_keys_max)
            await repository.insert_api_key(uow, principal, key, digest=rules.digest_of_secret(secret))
            await self._audit.record(
                uow,
                principal,
                action="api_key.created",
                target=key.id,
                before=None,
                after={
                    "name": key.name,
                    "scopes": sorted(key.scopes),
                    "expires_at": _moment(key.expires_at),
                    "models": None if key.models is None else sorted(key.models),
                },
                reason="",
                request_id=request_id,
            )
        return NewApiKey(secret, key)

    async def api_keys(self, principal: Principal, *, cursor: str | None, limit: int) -> Page[ApiKey]:
        """The account's keys, newest first, revoked and expired ones included; at most 200 a page.

        Raises:
            Forbidden: the caller may not read the account's billing.
            InvalidInput: the cursor is not one of ours.
        """
        rules.require(principal, Permission.READ_BILLING)
        size = max(1, min(limit, PAGE_SIZE_MAX))
        async with self._begin() as uow:
            keys = await repository.api_keys_of(uow, principal.account_id, after=decode_cursor(cursor), limit=size + 1)
        return Page(keys[:size], encode_cursor(keys[size - 1].id) if len(keys) > size else None)

    async def revoke_api_key(self, principal: Principal, api_key_id: str, *, request_id: str) -> None:
        """From its commit on the key opens nothing; the second time changes nothing.

        Raises:
            Forbidden: the role may not revoke keys, or the caller is itself a key.
            ApiKeyNotFound: the account has no such key.
        """
        rules.require(principal, Permission.MANAGE_API_KEYS)
        async with self._begin() as uow:
            key = await repository.api_key_of(uow, principal.account_id, api_key_id)
            if key is None:
                raise ApiKeyNotFound(api_key_id)
            if key.revoked_at is not None:
                return
            now = self._clock.now()
            await repository.mark_api_key_revoked(uow, principal.account_id, api_key_id, at=now)
            await self._audit.record(
                uow,
                principal,
                action="api_key.revoked",
                target=key.id,
                before={"revoked_at": None},
                after={"revoked_at": _moment(now)},
                reason="",
                request_id=request_id,
            )

    async def principal_of_api_key(self, secret: str) -> Principal:
        """Who acts with this key: one query, by the unique index on the digest.

        Raises:
            ApiKeyInvalid: unknown, revoked or expired, or its maker is no member any more; which of these is not said.
        """
        if not rules.is_api_key(secret):
            raise ApiKeyInvalid
        async with self._single_read() as uow:
            principal = await repository.principal_with_api_key(
                uow, rules.digest_of_secret(secret), at=self._clock.now()
            )
        if principal is None:
            raise ApiKeyInvalid
        return principal

    async def sweep(self) -> int:
        """Removes ended sessions and forgotten attempts; says how many rows went. Missing it costs only space."""
        removed = 0
        for _ in range(_SWEEPS_MAX):
            now = self._clock.now()
            async with self._begin() as uow:
                sessions = await repository.delete_ended_sessions(uow, at=now, idle=self._settings.session_idle)
                attempts = await repository.delete_forgotten_attempts(uow, at=now)
            if sessions + attempts == 0:
                break
            removed += sessions + attempts
        return removed

    async def _new_person(
        self,
        uow: UnitOfWork,
        *,
        email: str,
        password: str,
        operator_role: OperatorRole | None,
        is_email_verified: bool,
    ) -> PersonId:
        person_id = PersonId(self._ids.new("per"))
        is_free = await repository.insert_person(
            uow,
            person_id,
            email=rules.normalise_email(email),
            password_hash=await self._passwords.hashed(rules.check_password(password)),
            operator_role=operator_role,
            is_email_verified=is_email_verified,
            at=self._clock.now(),
        )
        if not is_free:
            raise EmailTaken
        return person_id

    async def _count_attempt(self, uow: UnitOfWork, *, address_subject: str, email_subject: str) -> None:
        now = self._clock.now()
        counts = await repository.count_attempts(
            uow, (address_subject, email_subject), window=self._settings.sign_in_window, at=now
        )
        limits = {
            address_subject: self._settings.sign_in_attempts_per_address,
            email_subject: self._settings.sign_in_attempts_per_email,
        }
        waits = [
            math.ceil((counts[subject].window_ends_at - now).total_seconds())
            for subject, limit in limits.items()
            if counts[subject].attempts > limit
        ]
        if waits:
            # Leaving with an exception also takes this attempt back: who waits as told is let in.
            raise TooManyAttempts(max(waits))

    async def _open_session(
        self, uow: UnitOfWork, candidate: repository.SignInCandidate, *, user_agent: str
    ) -> SignedIn:
        token, now = secrets.token_urlsafe(_SESSION_TOKEN_BYTES), self._clock.now()
        digest, expires_at = rules.digest_of_secret(token), now + self._settings.session_lifetime
        await repository.insert_session(
            uow,
            digest,
            candidate,
            user_agent=rules.printable_user_agent(user_agent),
            at=now,
            expires_at=expires_at,
        )
        session = await repository.open_session(uow, digest, at=now, idle=self._settings.session_idle)
        assert session is not None
        return SignedIn(token, rules.csrf_token_of(token), session.principal, expires_at)


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
