"""What sessions, callers and API keys look like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, SecretStr

from billing.customers.rules import AccountKind, ApiKey, OperatorRole, Permission, Principal, Role, Scope
from billing.customers.service import NewApiKey, Profile

_TEXT_LENGTH_MAX = 1_000


class SignInRequest(BaseModel):
    """What somebody signs in with."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    email: str = Field(max_length=_TEXT_LENGTH_MAX)
    password: SecretStr = Field(max_length=_TEXT_LENGTH_MAX)


class AccountView(BaseModel):
    """The account for which the caller acts."""

    id: str
    kind: AccountKind
    name: str
    time_zone: str


class MeView(BaseModel):
    """Who the caller is and may do; `csrf_token` goes with every change that is sent with the session's cookie."""

    account: AccountView
    person_id: str | None
    email: str | None
    role: Role
    operator_role: OperatorRole | None
    permissions: list[Permission]
    api_key_id: str | None
    csrf_token: str | None

    @classmethod
    def of(cls, principal: Principal, profile: Profile, csrf_token: str | None) -> Self:
        """The caller as they see themselves."""
        account = profile.account
        return cls(
            account=AccountView(id=account.id, kind=account.kind, name=account.name, time_zone=account.time_zone),
            person_id=principal.person_id,
            email=profile.email,
            role=principal.role,
            operator_role=principal.operator_role,
            permissions=[permission for permission in Permission if principal.may(permission)],
            api_key_id=principal.api_key_id,
            csrf_token=csrf_token,
        )


class SessionView(BaseModel):
    """A session that has begun; its token is in the cookie only."""

    csrf_token: str
    expires_at: datetime


class NewApiKeyRequest(BaseModel):
    """What a new key is for."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=_TEXT_LENGTH_MAX)
    scopes: list[Scope] = Field(default=[Scope.CHAT], min_length=1, max_length=len(Scope))
    expires_at: AwareDatetime | None = None
    models: list[str] | None = None


class ApiKeyView(BaseModel):
    """A key without its secret."""

    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    models: list[str] | None

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        """The key as its account sees it."""
        return cls(
            id=key.id,
            name=key.name,
            prefix=key.prefix,
            scopes=sorted(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            models=None if key.models is None else sorted(key.models),
        )


class NewApiKeyView(BaseModel):
    """A new key, with its secret for the only time."""

    secret: str
    api_key: ApiKeyView

    @classmethod
    def of(cls, new: NewApiKey) -> Self:
        """The new key and its secret."""
        return cls(secret=new.secret, api_key=ApiKeyView.of(new.key))


class ApiKeyPage(BaseModel):
    """Some keys, newest first, and the cursor of the next page."""

    items: list[ApiKeyView]
    next_cursor: str | None
