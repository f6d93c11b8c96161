"""Who may do what, and what names, e-mails, time zones and secrets look like; no database, no clock, no chance."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from billing.customers.errors import Forbidden
from billing.kit.client_address import network_of
from billing.kit.errors import InvalidInput

AccountId = NewType("AccountId", str)
PersonId = NewType("PersonId", str)

API_KEY_PREFIX = "bk_"
API_KEY_BYTES = 40
_API_KEY_SHOWN = len(API_KEY_PREFIX) + 6  # of 320 bits, 284 stay hidden
_API_KEY = re.compile(r"bk_[A-Za-z0-9_-]{54}", re.ASCII)

EMAIL_LENGTH_MAX = 254
NAME_LENGTH_MAX = 200
REASON_LENGTH_MAX = 500
_KEY_MODELS_MAX = 100
_MODEL_NAME_LENGTH_MAX = 200
PASSWORD_LENGTH_MIN = 8
PASSWORD_LENGTH_MAX = 200
_USER_AGENT_LENGTH_MAX = 200
_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]+)*", re.ASCII)
_TIME_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", re.ASCII)
# These files lie in many machines' zone folders and mean something else on each of them.
_MACHINE_ZONES = frozenset({"localtime", "posixrules", "Factory"})


class AccountKind(StrEnum):
    """Whose account it is."""

    PERSONAL = "personal"
    ORGANISATION = "organisation"


class Role(StrEnum):
    """What a person is in one account."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    AUDITOR = "auditor"


class OperatorRole(StrEnum):
    """What a person is to the company that runs this installation; super admins and finance write, the others read."""

    SUPER_ADMIN = "super_admin"
    FINANCE = "finance"
    SUPPORT = "support"
    AUDITOR = "auditor"


class Scope(StrEnum):
    """How far an API key reaches."""

    CHAT = "chat"
    BILLING_READ = "billing:read"
    BILLING_WRITE = "billing:write"


class Permission(StrEnum):
    """What somebody can be allowed to do in an account."""

    CALL_MODELS = "models:call"
    READ_BILLING = "billing:read"
    MANAGE_BILLING = "organization:billing"
    MANAGE_API_KEYS = "api_keys:manage"
    CLOSE_ACCOUNT = "account:close"


_ROLES_WITH: Mapping[Permission, frozenset[Role]] = {
    Permission.CALL_MODELS: frozenset({Role.OWNER, Role.ADMIN, Role.MEMBER}),
    Permission.READ_BILLING: frozenset(Role),
    Permission.MANAGE_BILLING: frozenset({Role.OWNER, Role.ADMIN}),
    Permission.MANAGE_API_KEYS: frozenset({Role.OWNER, Role.ADMIN}),
    Permission.CLOSE_ACCOUNT: frozenset({Role.OWNER}),
}
_WRITING_OPERATORS = frozenset({OperatorRole.SUPER_ADMIN, OperatorRole.FINANCE})
# What is missing here no key can do: a stolen key must not be able to make itself a successor.
_SCOPE_FOR: Mapping[Permission, Scope] = {
    Permission.CALL_MODELS: Scope.CHAT,
    Permission.READ_BILLING: Scope.BILLING_READ,
    Permission.MANAGE_BILLING: Scope.BILLING_WRITE,
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who acts, for which account, and how far that reaches; everything in it comes from our own rows.

    A key acts as the person who made it, never further than its scopes, and never as an operator. `models` are those
    that it may call, by their public names; None is all of them.
    """

    account_id: AccountId
    person_id: PersonId | None
    role: Role
    api_key_id: str | None
    scopes: frozenset[str]
    operator_role: OperatorRole | None
    time_zone: str
    models: frozenset[str] | None = None

    def may_call(self, model: str) -> bool:
        """Whether the key is for this model; the permission to call any is another question."""
        return self.models is None or model in self.models

    def may(self, permission: Permission) -> bool:
        """Whether the role, and for a key also its scopes, allow this."""
        if self.role not in _ROLES_WITH[permission]:
            return False
        return self.api_key_id is None or _SCOPE_FOR.get(permission) in self.scopes


def require(principal: Principal, permission: Permission) -> None:
    """Lets the caller go on.

    Raises:
        Forbidden: the role or the key's scopes do not allow this.
    """
    if not principal.may(permission):
        raise Forbidden(permission.value)


def require_person(principal: Principal, permission: Permission) -> None:
    """Lets a signed-in person go on; a stolen API key must reach neither a saved card nor what outlives the key.

    Raises:
        Forbidden: the role does not allow this, or the caller is an API key.
    """
    require(principal, permission)
    if principal.api_key_id is not None:
        raise Forbidden(permission.value)


def require_operator(principal: Principal, *, may_write: bool) -> None:
    """Lets an operator go on: any of them to read, super admins and finance to write.

    Raises:
        Forbidden: the caller is no operator, or one that only reads.
    """
    role = principal.operator_role
    if role is None or (may_write and role not in _WRITING_OPERATORS):
        raise Forbidden("operator:write" if may_write else "operator:read")


@dataclass(frozen=True, slots=True)
class Account:
    """Who pays: one person, or an organisation."""

    id: AccountId
    kind: AccountKind
    name: str
    time_zone: str
    created_at: datetime
    closed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as its account sees it: never the secret, only how it begins."""

    id: str
    name: str
    prefix: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    models: frozenset[str] | None = None


def normalise_email(text: str) -> str:
    """The one spelling under which an e-mail is stored and looked up: trimmed, lower case.

    Addresses beyond ASCII are refused: two that look alike must not be two people.

    Raises:
        InvalidInput: not of the form name@host, or longer than 254 characters.
    """
    email = text.strip().lower()
    if len(email) > EMAIL_LENGTH_MAX or not _EMAIL.fullmatch(email):
        raise InvalidInput("email", "This is not an e-mail address that we can write to.")
    return email


def check_password(password: str) -> str:
    """A password that may be chosen.

    Raises:
        InvalidInput: shorter than 8 or longer than 200 characters.
    """
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise InvalidInput("password", f"A password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters.")
    return password


def check_name(text: str) -> str:
    """A name for people to read, trimmed.

    Raises:
        InvalidInput: empty, longer than 200 characters, or with control characters in it.
    """
    name = text.strip()
    if not (1 <= len(name) <= NAME_LENGTH_MAX and name.isprintable()):
        raise InvalidInput("name", f"A name has 1 to {NAME_LENGTH_MAX} printable characters.")
    return name


def check_reason(text: str) -> str:
    """Why an operator changes something, for whoever reads the audit trail, trimmed.

    Raises:
        InvalidInput: empty, longer than 500 characters, or with control characters in it.
    """
    reason = text.strip()
    if not (1 <= len(reason) <= REASON_LENGTH_MAX and reason.isprintable()):
        raise InvalidInput("reason", f"A reason has 1 to {REASON_LENGTH_MAX} printable characters.")
    return reason


def check_time_zone(name: str) -> str:
    """A time zone of the IANA database.

    Raises:
        InvalidInput: the database does not know it.
    """
    if not _is_time_zone(name):
        raise InvalidInput("time_zone", "A time zone is an IANA name such as Europe/Berlin.")
    return name


def check_scopes(scopes: Iterable[str]) -> frozenset[Scope]:
    """The scopes of a new key.

    Raises:
        InvalidInput: none at all, or one that we do not know.
    """
    try:
        known = frozenset(Scope(scope) for scope in scopes)
    except ValueError as error:
        raise InvalidInput("scopes", f"A scope is one of {', '.join(Scope)}.") from error
    if not known:
        raise InvalidInput("scopes", "A key needs at least one scope.")
    return known


def check_models(models: Iterable[str] | None) -> frozenset[str] | None:
    """The models that a new key may call; None for all. They need not be served yet.

    Raises:
        InvalidInput: an empty list, too many, or something that is no model's name.
    """
    if models is None:
        return None
    names = frozenset(models)
    if not 1 <= len(names) <= _KEY_MODELS_MAX:
        raise InvalidInput("models", f"A key is for all models, or for 1 to {_KEY_MODELS_MAX}.")
    if not all(1 <= len(name) <= _MODEL_NAME_LENGTH_MAX and name.isprintable() for name in names):
        raise InvalidInput("models", f"A model's name has 1 to {_MODEL_NAME_LENGTH_MAX} printable characters.")
    return names


def check_expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    """When a new key ends; None for never.

    Raises:
        InvalidInput: not in the future, or without a time zone.
    """
    if expires_at is not None and (expires_at.tzinfo is None or expires_at <= now):
        raise InvalidInput("expires_at", "A key ends at a future moment with a time zone.")
    return expires_at


def is_api_key(secret: str) -> bool:
    """Whether this can be a key of ours at all."""
    return _API_KEY.fullmatch(secret) is not None


def shown_part(secret: str) -> str:
    """How a key begins, for people to tell their keys apart."""
    return secret[:_API_KEY_SHOWN]


def digest_of_secret(secret: str) -> bytes:
    """What is stored of a session token or key; they carry 256 bits of chance and more, so one SHA-256 is enough."""
    return hashlib.sha256(secret.encode()).digest()


def csrf_token_of(session_token: str) -> str:
    """The token that forms of this session carry; only who holds the session's token can make it."""
    return hmac.new(session_token.encode(), b"billing csrf token", hashlib.sha256).hexdigest()


def is_csrf_token_of(session_token: str, given: str) -> bool:
    """Whether a form carried this session's CSRF token; takes the same time for every wrong one."""
    return hmac.compare_digest(csrf_token_of(session_token).encode(), given.encode())


def attempt_subjects(email: str, address: str) -> tuple[str, str]:
    """Under which names failed sign-ins are counted: the address's and the e-mail's, always in this order.

    The e-mail is kept as a digest (it may be a stranger's); an IPv6 address counts as its /64, which is what one
    customer of a provider gets.
    """
    return f"address:{network_of(address)}", f"email:{hashlib.sha256(email.encode()).hexdigest()}"


def printable_user_agent(text: str) -> str:
    """The client's own name for itself, short and harmless to show."""
    return "".join(letter for letter in text if letter.isprintable())[:_USER_AGENT_LENGTH_MAX]


def _is_time_zone(name: str) -> bool:
    if not _TIME_ZONE.fullmatch(name) or name in _MACHINE_ZONES:
        return False
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # "Europe" is a folder
        return False
    return True
