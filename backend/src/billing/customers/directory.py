"""Who belongs to an account: members and API keys whose ids a client tells, and whom we write to about it."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from billing.customers import repository
from billing.customers.models import ApiKeyRow, MemberRow
from billing.customers.rules import AccountId
from billing.kit.errors import InvalidInput
from billing.kit.unit_of_work import UnitOfWork


class AccountDirectory:
    """Answers for one account at a time; whether a stranger's id exists elsewhere stays unsaid (G13)."""

    async def require_members(self, uow: UnitOfWork, account_id: AccountId, person_ids: Collection[str]) -> None:
        """Lets pass ids that are all members of the account.

        Raises:
            InvalidInput: one is not.
        """
        query = select(MemberRow.person_id).where(
            MemberRow.account_id == account_id, MemberRow.person_id.in_(person_ids)
        )
        if set(person_ids) - set(await uow.connection.scalars(query)):
            raise InvalidInput("members", "Somebody named here is not a member of this account.")

    async def require_api_keys(self, uow: UnitOfWork, account_id: AccountId, api_key_ids: Collection[str]) -> None:
        """Lets pass ids that are all keys of the account, revoked ones too.

        Raises:
            InvalidInput: one is not.
        """
        query = select(ApiKeyRow.id).where(ApiKeyRow.account_id == account_id, ApiKeyRow.id.in_(api_key_ids))
        if set(api_key_ids) - set(await uow.connection.scalars(query)):
            raise InvalidInput("api_keys", "A key named here is not one of this account's.")

    async def owner_email(self, uow: UnitOfWork, account_id: AccountId) -> str | None:
        """The e-mail of the account's first owner, verified or not; None for an account without people."""
        owner = await repository.owner_email_of(uow, account_id)
        return None if owner is None else owner[0]
