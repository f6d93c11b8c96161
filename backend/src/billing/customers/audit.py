"""The audit trail: each change that a person makes to money or configuration leaves exactly one entry (G14)."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.dialects.postgresql import insert

from billing.customers.models import AuditEntryRow
from billing.customers.rules import AccountId, Principal
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import UnitOfWork


class AuditTrail:
    """Writes entries that nobody can change or delete; reading them is for the operators' console."""

    def __init__(self, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    async def record(
        self,
        uow: UnitOfWork,
        principal: Principal,
        *,
        action: str,
        target: str,
        before: Mapping[str, object] | None,
        after: Mapping[str, object] | None,
        reason: str,
        request_id: str,
        account_id: AccountId | None = None,
    ) -> str:
        """Writes one entry in the caller's transaction, so that it stands exactly if the change does; says its id.

        `action` is dotted (`api_key.revoked`), `target` the id of what was changed, `before` and `after` are JSON
        without secrets. `account_id` is whose thing was changed, where an operator changes another account's.
        """
        entry_id = self._ids.new("aud")
        await uow.connection.execute(
            insert(AuditEntryRow).values(
                id=entry_id,
                account_id=account_id or principal.account_id,
                actor_account_id=principal.account_id,
                actor_person_id=principal.person_id,
                actor_api_key_id=principal.api_key_id,
                actor_operator_role=principal.operator_role,
                action=action,
                target=target,
                before=None if before is None else dict(before),
                after=None if after is None else dict(after),
                reason=reason,
                request_id=request_id,
                recorded_at=self._clock.now(),
            ),
        )
        return entry_id
