"""The desk where operators end holds that nothing else has ended as it should."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from billing.admin.errors import HoldNotFound
from billing.admin.rules import (
    OPEN_FOR_LONG,
    Oddity,
    check_amount,
    event_by_operator,
    facts_of,
    oddities_of,
)
from billing.customers.audit import AuditTrail
from billing.customers.rules import AccountId, Principal, check_reason, require_operator
from billing.gateway.abandoned import AbandonedStreams
from billing.kit.clock import Clock
from billing.kit.errors import InvalidInput
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.usage.rules import UsageEvent
from billing.usage.service import UsageService
from billing.wallets.errors import OperationEnded
from billing.wallets.models import HoldStatus
from billing.wallets.oversight import HoldOversight, WatchedHold
from billing.wallets.service import Charge, WalletService

_LOOKS_BACK = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class OddHold:
    """A hold, what is odd about it, and whether it is a stream whose metered use waits to be booked."""

    hold: WatchedHold
    oddities: tuple[Oddity, ...]
    is_unfinished_stream: bool


class HoldDesk:
    """Lists the holds that are stuck or odd, and ends them: charge, usage event and audit row commit together."""

    def __init__(
        self,
        *,
        begin: Begin,
        clock: Clock,
        wallets: WalletService,
        usage: UsageService,
        streams: AbandonedStreams,
        audit: AuditTrail,
    ) -> None:
        self._begin = begin
        self._clock = clock
        self._oversight = HoldOversight()
        self._wallets = wallets
        self._usage = usage
        self._streams = streams
        self._audit = audit

    async def odd_holds(
        self, principal: Principal, *, oddity: Oddity | None = None, limit: int = 100
    ) -> tuple[OddHold, ...]:
        """Open holds first, the longest overdue before the others; then what ended oddly in the last thirty days.

        Of the first `limit` holds, 200 at the most; `oddity` leaves only those of them that are odd in this way.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        now = self._clock.now()
        async with self._begin() as uow:
            holds = await self._oversight.odd_holds(
                uow, now=now, open_for=OPEN_FOR_LONG, since=now - _LOOKS_BACK, limit=limit
            )
            unfinished = await self._streams.unfinished(uow, [hold.operation_id for hold in holds])
        odd = [OddHold(hold, oddities_of(hold, now), hold.operation_id in unfinished) for hold in holds]
        return tuple(one for one in odd if oddity is None or oddity in one.oddities)

    async def settle(
        self, principal: Principal, hold_id: str, amount: Money, *, reason: str, request_id: str
    ) -> Charge:
        """Charges the hold's operation this much, late if the hold has expired; the same again changes nothing.

        Raises:
            Forbidden: the caller is no operator who may write.
            HoldNotFound: there is no such hold.
            OperationEnded: the operation was released, or charged another amount.
            InvalidInput: the amount is negative or in another currency than the wallet, or there is no reason.
        """
        require_operator(principal, may_write=True)
        reason, amount = check_reason(reason), check_amount(amount, is_zero_allowed=True)
        async with self._begin() as uow:
            hold, metered = await self._taken_over(uow, hold_id)
            if amount.currency != hold.amount.currency:
                raise InvalidInput("currency", f"This wallet is in {hold.amount.currency}.")
            charge = await self._wallets.settle(uow, hold.wallet_id, hold.operation_id, amount)
            if hold.charged is None:
                await self._usage.record(uow, event_by_operator(hold, amount, metered, self._clock.now()))
                await self._record(uow, principal, "hold.settled", hold, reason=reason, request_id=request_id)
            return charge

    async def release(self, principal: Principal, hold_id: str, *, reason: str, request_id: str) -> None:
        """Gives the hold back uncharged; released before, nothing changes.

        Raises:
            Forbidden: the caller is no operator who may write.
            HoldNotFound: there is no such hold.
            OperationEnded: the operation was charged, or the hold has expired and keeps nothing any more.
            InvalidInput: there is no reason.
        """
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        async with self._begin() as uow:
            hold, _ = await self._taken_over(uow, hold_id)
            if hold.status is HoldStatus.EXPIRED:
                raise OperationEnded(hold.operation_id, "its hold has expired and keeps nothing")
            await self._wallets.release(uow, hold.wallet_id, hold.operation_id, reason="operator")
            if hold.status is HoldStatus.OPEN:
                await self._record(uow, principal, "hold.released", hold, reason=reason, request_id=request_id)

    async def _taken_over(self, uow: UnitOfWork, hold_id: str) -> tuple[WatchedHold, UsageEvent | None]:
        """The hold, locked, and what was metered of its stream, whose checkpoint ends with it.

        Checkpoint before wallet: that is the order in which streams lock them.
        """
        hold = await self._oversight.hold(uow, hold_id)
        if hold is None:
            raise HoldNotFound(hold_id)
        metered = await self._streams.hand_over(uow, hold.operation_id)
        return await self._locked(uow, hold_id), metered

    async def _locked(self, uow: UnitOfWork, hold_id: str) -> WatchedHold:
        hold = await self._oversight.hold(uow, hold_id, for_update=True)
        assert hold is not None, "holds are never deleted"
        return hold

    async def _record(
        self, uow: UnitOfWork, principal: Principal, action: str, before: WatchedHold, *, reason: str, request_id: str
    ) -> None:
        after: Mapping[str, object] = facts_of(await self._locked(uow, before.hold_id))
        await self._audit.record(
            uow,
            principal,
            action=action,
            target=before.hold_id,
            before=facts_of(before),
            after=after,
            reason=reason,
            request_id=request_id,
            account_id=AccountId(before.account_id),
        )
