"""What the capability asks of its tables; every statement that can meet many rows has an order and a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    DateTime,
    Row,
    Select,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from billing.customers.models import AccountRow, ApiKeyRow, MemberRow, PersonRow, SessionRow, SignInAttemptRow
from billing.customers.rules import (
    Account,
    AccountId,
    AccountKind,
    ApiKey,
    OperatorRole,
    PersonId,
    Principal,
    Role,
    Scope,
)
from billing.kit.statements import DriverStatement
from billing.kit.unit_of_work import UnitOfWork

_SWEPT_AT_ONCE = 1_000


@dataclass(frozen=True, slots=True)
class SignInCandidate:
    """Somebody with this e-mail, the hash of the password, and the account to act for."""

    person_id: PersonId
    account_id: AccountId
    password_hash: str


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session that has not ended, and who acts in it."""

    principal: Principal
    last_seen_at: datetime


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """How many sign-ins were tried for a subject, this one included, and until when they are remembered."""

    attempts: int
    window_ends_at: datetime


async def insert_person(
    uow: UnitOfWork,
    person_id: PersonId,
    *,
    email: str,
    password_hash: str,
    operator_role: OperatorRole | None,
    is_email_verified: bool,
    at: datetime,
) -> bool:
    """Whether the e-mail was free; waits for a concurrent transaction that takes the same one."""
    inserted = await uow.connection.execute(
        insert(PersonRow)
        .values(
            id=person_id,
            email=email,
            password_hash=password_hash,
            operator_role=operator_role,
            created_at=at,
            email_verified_at=at if is_email_verified else None,
        )
        .on_conflict_do_nothing()
        .returning(PersonRow.id),
    )
    return inserted.one_or_none() is not None


async def insert_account(uow: UnitOfWork, account: Account) -> None:
    """Writes the account."""
    await uow.connection.execute(
        insert(AccountRow).values(
            id=account.id,
            kind=account.kind,
            name=account.name,
            time_zone=account.time_zone,
            created_at=account.created_at,
        ),
    )


async def insert_member(
    uow: UnitOfWork, account_id: AccountId, person_id: PersonId, *, role: Role, at: datetime
) -> None:
    """Makes the person a member of the account."""
    await uow.connection.execute(
        insert(MemberRow).values(account_id=account_id, person_id=person_id, role=role, created_at=at),
    )


async def account_of(uow: UnitOfWork, account_id: AccountId, *, for_update: bool = False) -> Account | None:
    """The account, or None; with `for_update` nobody else changes or locks it until the transaction ends."""
    query = select(AccountRow.__table__).where(AccountRow.id == account_id)
    if for_update:
        query = query.with_for_update(key_share=True)  # rows that refer to the account can still be written
    row = (await uow.connection.execute(query)).one_or_none()
    if row is None:
        return None
    return Account(
        id=AccountId(row.id),
        kind=AccountKind(row.kind),
        name=row.name,
        time_zone=row.time_zone,
        created_at=row.created_at,
        closed_at=row.closed_at,
    )


async def owner_email_of(uow: UnitOfWork, account_id: AccountId) -> tuple[str, bool] | None:
    """The e-mail of the account's first owner, and whether it was verified; None for an account without people."""
    row = (
        await uow.connection.execute(
            select(PersonRow.email, PersonRow.email_verified_at)
            .join(MemberRow, MemberRow.person_id == PersonRow.id)
            .where(MemberRow.account_id == account_id, MemberRow.role == Role.OWNER)
            .order_by(MemberRow.created_at, PersonRow.id)
            .limit(1),
        )
    ).one_or_none()
    return None if row is None else (row.email, row.email_verified_at is not None)


async def mark_email_verified(uow: UnitOfWork, person_id: PersonId, *, at: datetime) -> None:
    """Notes when the person showed that the e-mail is theirs; the first time counts."""
    await uow.connection.execute(
        update(PersonRow)
        .where(PersonRow.id == person_id, PersonRow.email_verified_at.is_(None))
        .values(email_verified_at=at),
    )


async def close_account(uow: UnitOfWork, account_id: AccountId, *, name: str, at: datetime) -> None:
    """Nobody acts for the account any more: its keys end, its members leave, and with them their sessions."""
    await uow.connection.execute(update(AccountRow).where(AccountRow.id == account_id).values(name=name, closed_at=at))
    await uow.connection.execute(
        update(ApiKeyRow)
        .where(ApiKeyRow.account_id == account_id, ApiKeyRow.revoked_at.is_(None))
        .values(revoked_at=at)
    )
    await uow.connection.execute(delete(MemberRow).where(MemberRow.account_id == account_id))


async def members_of(uow: UnitOfWork, account_id: AccountId) -> tuple[PersonId, ...]:
    """Whoever is a member of the account."""
    query = select(MemberRow.person_id).where(MemberRow.account_id == account_id).order_by(MemberRow.person_id)
    return tuple(PersonId(person_id) for person_id in await uow.connection.scalars(query))


async def forget_people(uow: UnitOfWork, person_ids: Sequence[PersonId]) -> None:
    """Overwrites what those of them sign in with who belong to no account, so that their rows name nobody.

    The application's own role may not write these columns: a function of the schema does exactly this and no more.
    """
    query = text("SELECT forget_person(id) FROM unnest(CAST(:ids AS text[])) AS id ORDER BY id")
    await uow.connection.execute(query, {"ids": list(person_ids)})


async def operator_with_email(uow: UnitOfWork, email: str) -> Principal | None:
    """The operator with this e-mail, acting for the account that they joined first."""
    row = (
        await uow.connection.execute(
            select(PersonRow.id, PersonRow.operator_role, MemberRow.account_id, MemberRow.role, AccountRow.time_zone)
            .join(MemberRow, MemberRow.person_id == PersonRow.id)
            .join(AccountRow, AccountRow.id == MemberRow.account_id)
            .where(PersonRow.email == email, PersonRow.operator_role.is_not(None))
            .order_by(MemberRow.created_at, MemberRow.account_id)
            .limit(1),
        )
    ).one_or_none()
    if row is None:
        return None
    return Principal(
        account_id=AccountId(row.account_id),
        person_id=PersonId(row.id),
        role=Role(row.role),
        api_key_id=None,
        scopes=frozenset(Scope),
        operator_role=OperatorRole(row.operator_role),
        time_zone=row.time_zone,
    )


async def email_of(uow: UnitOfWork, person_id: PersonId) -> str:
    """The person's e-mail."""
    return (await uow.connection.execute(select(PersonRow.email).where(PersonRow.id == person_id))).scalar_one()


async def candidate_with_email(uow: UnitOfWork, email: str) -> SignInCandidate | None:
    """Who signs in with this e-mail, for the account that they joined first."""
    row = (
        await uow.connection.execute(
            select(PersonRow.id, PersonRow.password_hash, MemberRow.account_id)
            .join(MemberRow, MemberRow.person_id == PersonRow.id)
            .where(PersonRow.email == email)
            .order_by(MemberRow.created_at, MemberRow.account_id)
            .limit(1),
        )
    ).one_or_none()
    if row is None:
        return None
    return SignInCandidate(PersonId(row.id), AccountId(row.account_id), row.password_hash)


async def count_attempts(
    uow: UnitOfWork, subjects: Sequence[str], *, window: timedelta, at: datetime
) -> dict[str, AttemptCount]:
    """Counts one more attempt for each subject; a window that is over starts anew.

    The rows stay locked until the transaction ends, in the order of `subjects`, which must be the same everywhere.
    """
    is_over = SignInAttemptRow.window_ends_at <= at
    statement = insert(SignInAttemptRow).values(
        [{"subject": subject, "attempts": 1, "window_ends_at": at + window} for subject in subjects],
    )
    counted = await uow.connection.execute(
        statement.on_conflict_do_update(
            index_elements=[SignInAttemptRow.subject],
            set_={
                "attempts": case((is_over, 1), else_=SignInAttemptRow.attempts + 1),
                "window_ends_at": case((is_over, at + window), else_=SignInAttemptRow.window_ends_at),
            },
        ).returning(SignInAttemptRow.subject, SignInAttemptRow.attempts, SignInAttemptRow.window_ends_at),
    )
    return {row.subject: AttemptCount(row.attempts, row.window_ends_at) for row in counted}


async def forgive_attempts(uow: UnitOfWork, *, address_subject: str, email_subject: str) -> None:
    """After a success: the e-mail starts anew, the address gets this one attempt back (it may guess others too)."""
    await uow.connection.execute(
        update(SignInAttemptRow)
        .where(SignInAttemptRow.subject == address_subject, SignInAttemptRow.attempts > 0)
        .values(attempts=SignInAttemptRow.attempts - 1),
    )
    await uow.connection.execute(delete(SignInAttemptRow).where(SignInAttemptRow.subject == email_subject))


async def insert_session(
    uow: UnitOfWork,
    digest: bytes,
    candidate: SignInCandidate,
    *,
    user_agent: str,
    at: datetime,
    expires_at: datetime,
) -> None:
    """Opens a session."""
    await uow.connection.execute(
        insert(SessionRow).values(
            digest=digest,
            account_id=candidate.account_id,
            person_id=candidate.person_id,
            user_agent=user_agent,
            created_at=at,
            last_seen_at=at,
            expires_at=expires_at,
        ),
    )


async def open_session(uow: UnitOfWork, digest: bytes, *, at: datetime, idle: timedelta) -> OpenSession | None:
    """The session with this digest, if it has not ended; role and operator role as they are now."""
    row = (
        await uow.connection.execute(
            select(
                SessionRow.account_id,
                SessionRow.person_id,
                SessionRow.last_seen_at,
                MemberRow.role,
                PersonRow.operator_role,
                AccountRow.time_zone,
            )
            .join(
                MemberRow,
                (MemberRow.account_id == SessionRow.account_id) & (MemberRow.person_id == SessionRow.person_id),
            )
            .join(PersonRow, PersonRow.id == SessionRow.person_id)
            .join(AccountRow, AccountRow.id == SessionRow.account_id)
            .where(SessionRow.digest == digest, SessionRow.expires_at > at, SessionRow.last_seen_at > at - idle),
        )
    ).one_or_none()
    if row is None:
        return None
    principal = Principal(
        account_id=AccountId(row.account_id),
        person_id=PersonId(row.person_id),
        role=Role(row.role),
        api_key_id=None,
        scopes=frozenset(Scope),
        operator_role=None if row.operator_role is None else OperatorRole(row.operator_role),
        time_zone=row.time_zone,
    )
    return OpenSession(principal, row.last_seen_at)


async def mark_session_seen(uow: UnitOfWork, digest: bytes, *, at: datetime) -> None:
    """Notes that the session is in use; never earlier than was noted before."""
    await uow.connection.execute(
        update(SessionRow).where(SessionRow.digest == digest, SessionRow.last_seen_at < at).values(last_seen_at=at),
    )


async def delete_session(uow: UnitOfWork, digest: bytes) -> None:
    """Ends the session; nothing happens where there is none."""
    await uow.connection.execute(delete(SessionRow).where(SessionRow.digest == digest))


async def delete_ended_sessions(uow: UnitOfWork, *, at: datetime, idle: timedelta) -> int:
    """Removes some sessions that have ended; says how many."""
    ended = (
        select(SessionRow.digest)
        .where(or_(SessionRow.expires_at <= at, SessionRow.last_seen_at <= at - idle))
        .order_by(SessionRow.last_seen_at)
        .limit(_SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return (await uow.connection.execute(delete(SessionRow).where(SessionRow.digest.in_(ended)))).rowcount


async def delete_forgotten_attempts(uow: UnitOfWork, *, at: datetime) -> int:
    """Removes some counters whose window is over; says how many."""
    forgotten = (
        select(SignInAttemptRow.subject)
        .where(SignInAttemptRow.window_ends_at <= at)
        .order_by(SignInAttemptRow.window_ends_at)
        .limit(_SWEPT_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    return (
        await uow.connection.execute(delete(SignInAttemptRow).where(SignInAttemptRow.subject.in_(forgotten)))
    ).rowcount


async def insert_api_key(uow: UnitOfWork, principal: Principal, key: ApiKey, *, digest: bytes) -> None:
    """Writes the key for the principal's account, made by the principal's person."""
    await uow.connection.execute(
        insert(ApiKeyRow).values(
            id=key.id,
            account_id=principal.account_id,
            person_id=principal.person_id,
            name=key.name,
            digest=digest,
            prefix=key.prefix,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            models=None if key.models is None else sorted(key.models),
        ),
    )


async def count_live_api_keys(uow: UnitOfWork, account_id: AccountId, *, at: datetime) -> int:
    """How many keys of the account still open something."""
    query = select(func.count()).select_from(ApiKeyRow).where(ApiKeyRow.account_id == account_id, _is_live(at))
    return (await uow.connection.execute(query)).scalar_one()


async def api_keys_of(uow: UnitOfWork, account_id: AccountId, *, after: str | None, limit: int) -> tuple[ApiKey, ...]:
    """The account's keys, newest first, from after this id on."""
    query = _api_keys_of(account_id).order_by(ApiKeyRow.id.desc()).limit(limit)
    if after is not None:
        query = query.where(ApiKeyRow.id < after)
    return tuple(_api_key(row) for row in await uow.connection.execute(query))


async def api_key_of(uow: UnitOfWork, account_id: AccountId, api_key_id: str) -> ApiKey | None:
    """The account's key with this id, locked until the transaction ends; None also for another account's."""
    query = _api_keys_of(account_id).where(ApiKeyRow.id == api_key_id).with_for_update()
    row = (await uow.connection.execute(query)).one_or_none()
    return None if row is None else _api_key(row)


async def mark_api_key_revoked(uow: UnitOfWork, account_id: AccountId, api_key_id: str, *, at: datetime) -> None:
    """From now on the key opens nothing."""
    await uow.connection.execute(
        update(ApiKeyRow).where(ApiKeyRow.account_id == account_id, ApiKeyRow.id == api_key_id).values(revoked_at=at),
    )


def _is_live(at: datetime | BindParameter[datetime]) -> ColumnElement[bool]:
    return ApiKeyRow.revoked_at.is_(None) & or_(ApiKeyRow.expires_at.is_(None), ApiKeyRow.expires_at > at)


_BY_DIGEST = DriverStatement(
    select(
        ApiKeyRow.id,
        ApiKeyRow.account_id,
        ApiKeyRow.person_id,
        ApiKeyRow.scopes,
        ApiKeyRow.models,
        MemberRow.role,
        AccountRow.time_zone,
    )
    .join(MemberRow, (MemberRow.account_id == ApiKeyRow.account_id) & (MemberRow.person_id == ApiKeyRow.person_id))
    .join(AccountRow, AccountRow.id == ApiKeyRow.account_id)
    .where(ApiKeyRow.digest == bindparam("digest"), _is_live(bindparam("at", type_=DateTime(timezone=True)))),
)


async def principal_with_api_key(uow: UnitOfWork, digest: bytes, *, at: datetime) -> Principal | None:
    """Who acts with the key, if it is live and whoever made it is still a member; one query, by unique index."""
    row = await _BY_DIGEST.row(uow, digest=digest, at=at)
    if row is None:
        return None
    return Principal(
        account_id=AccountId(row.account_id),
        person_id=PersonId(row.person_id),
        role=Role(row.role),
        api_key_id=row.id,
        scopes=frozenset(row.scopes),
        operator_role=None,
        time_zone=row.time_zone,
        models=None if row.models is None else frozenset(row.models),
    )


def _api_keys_of(account_id: AccountId) -> Select[*tuple[Any, ...]]:
    return select(
        ApiKeyRow.id,
        ApiKeyRow.name,
        ApiKeyRow.prefix,
        ApiKeyRow.scopes,
        ApiKeyRow.created_at,
        ApiKeyRow.expires_at,
        ApiKeyRow.revoked_at,
        ApiKeyRow.models,
    ).where(ApiKeyRow.account_id == account_id)


def _api_key(row: Row[*tuple[Any, ...]]) -> ApiKey:
    return ApiKey(
        id=row.id,
        name=row.name,
        prefix=row.prefix,
        scopes=frozenset(row.scopes),
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        models=None if row.models is None else frozenset(row.models),
    )
