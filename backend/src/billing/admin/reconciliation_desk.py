"""The desk where operators look at what differs between a provider's books and ours, and decide about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from billing.customers.audit import AuditTrail
from billing.customers.rules import Principal, check_reason, require_operator
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.payments.adoption import Adoption
from billing.payments.comparison import DifferenceKind, RecordedDifference, Resolution, StuckObject
from billing.payments.janitor import PaymentJanitor
from billing.payments.reconciliation import Reconciliation
from billing.payments.records import Payment


class ReconciliationDesk:
    """Each decision ends one difference, with its reason in the audit trail; adopting makes the row and credits it."""

    def __init__(
        self,
        *,
        begin: Begin,
        reconciliation: Reconciliation,
        adoption: Adoption,
        janitor: PaymentJanitor,
        audit: AuditTrail,
    ) -> None:
        self._begin = begin
        self._reconciliation = reconciliation
        self._adoption = adoption
        self._janitor = janitor
        self._audit = audit

    async def differences(
        self, principal: Principal, *, kind: DifferenceKind | None = None, is_open: bool = True, limit: int = 100
    ) -> tuple[RecordedDifference, ...]:
        """What nobody has decided about, or what has been decided; newest first, 200 at the most.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        return await self._reconciliation.differences(kind=kind, is_open=is_open, limit=limit)

    async def stuck(self, principal: Principal, *, limit: int = 100) -> tuple[StuckObject, ...]:
        """The payments and refunds that nothing finishes any more without a person, oldest first, 200 at the most.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        return await self._janitor.stuck(limit=limit)

    async def adopt(
        self, principal: Principal, difference_id: str, *, subject: str | None = None, reason: str, request_id: str
    ) -> Payment:
        """Makes our row of a payment that is missing here, and books what follows from it, once.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: there is no reason, or the subject is nothing that a payment can have.
            DifferenceNotFound, DifferenceResolved: there is nothing to decide.
            DifferenceNotAdoptable, AccountNotFound: it cannot be a payment of ours.
            TransferIdReused: it was credited before; only its row was lost.
            PaymentsNotConfigured, ProviderFailure: the provider could not be asked; nothing was decided.
        """
        require_operator(principal, may_write=True)
        decision = _Decision(principal, Resolution.ADOPTED, check_reason(reason), request_id)
        found = await self._reconciliation.open_difference(difference_id)
        picture = await self._adoption.look(found.difference)
        async with self._begin() as uow:
            found = await self._reconciliation.resolve(uow, difference_id, Resolution.ADOPTED)
            payment = await self._adoption.adopt(uow, picture, subject=subject)
            await self._record(uow, decision, found, payment)
        return payment

    async def accept(self, principal: Principal, difference_id: str, *, reason: str, request_id: str) -> None:
        """Lets it stand as both sides say now; when either says something else, it is told again.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: there is no reason.
            DifferenceNotFound, DifferenceResolved: there is nothing to decide.
        """
        require_operator(principal, may_write=True)
        await self._decide(difference_id, _Decision(principal, Resolution.ACCEPTED, check_reason(reason), request_id))

    async def ignore(self, principal: Principal, difference_id: str, *, reason: str, request_id: str) -> None:
        """Declares its object none of our business, whatever becomes of it.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: there is no reason.
            DifferenceNotFound, DifferenceResolved: there is nothing to decide.
        """
        require_operator(principal, may_write=True)
        await self._decide(difference_id, _Decision(principal, Resolution.IGNORED, check_reason(reason), request_id))

    async def _decide(self, difference_id: str, decision: _Decision) -> None:
        async with self._begin() as uow:
            found = await self._reconciliation.resolve(uow, difference_id, decision.resolution)
            await self._record(uow, decision, found, None)

    async def _record(
        self, uow: UnitOfWork, decision: _Decision, found: RecordedDifference, payment: Payment | None
    ) -> None:
        resolution = decision.resolution.value
        await self._audit.record(
            uow,
            decision.principal,
            action=f"difference.{resolution}",
            target=found.id,
            before=_facts_of(found),
            after={"resolution": resolution, **({} if payment is None else _facts_of_payment(payment))},
            reason=decision.reason,
            request_id=decision.request_id,
            account_id=None if payment is None else payment.account_id,
        )


@dataclass(frozen=True, slots=True)
class _Decision:
    principal: Principal
    resolution: Resolution
    reason: str
    request_id: str


def _facts_of(found: RecordedDifference) -> Mapping[str, object]:
    difference = found.difference
    return {
        "kind": difference.kind.value,
        "object_id": difference.object_id,
        "payment_id": difference.payment_id,
        "ours": dict(difference.ours),
        "theirs": dict(difference.theirs),
    }


def _facts_of_payment(payment: Payment) -> Mapping[str, object]:
    return {"payment_id": payment.id, "state": payment.state.value, "amount": str(payment.amount)}
