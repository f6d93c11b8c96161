"""Where operators put plans on offer and take them off; each change leaves one audit entry."""

from __future__ import annotations

from billing.customers.audit import AuditTrail
from billing.customers.rules import Principal, check_reason, require_operator
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.money import Currency
from billing.kit.unit_of_work import Begin
from billing.subscriptions import repository
from billing.subscriptions.errors import PlanExists, PlanNotFound
from billing.subscriptions.rules import Plan, PlanId, PlanTerms, require_meaningful


class PlanDesk:
    """Creates and retires plans. A plan's terms never change: another price is another plan."""

    def __init__(self, *, begin: Begin, clock: Clock, ids: Ids, audit: AuditTrail, currency: Currency) -> None:
        self._begin = begin
        self._clock = clock
        self._ids = ids
        self._audit = audit
        self._currency = currency

    @property
    def currency(self) -> Currency:
        """In which plans are sold here."""
        return self._currency

    async def plans(self, principal: Principal) -> tuple[Plan, ...]:
        """Every plan, retired ones too, 200 at the most.

        Raises:
            Forbidden: the caller is no operator.
        """
        require_operator(principal, may_write=False)
        async with self._begin() as uow:
            return await repository.plans(uow, with_retired=True)

    async def create(self, principal: Principal, terms: PlanTerms, *, reason: str, request_id: str) -> Plan:
        """Puts a plan on offer.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: there is no reason.
            PlanRefused: the plan cannot be meant.
            PlanExists: one of this code is on offer.
        """
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        require_meaningful(terms, currency=self._currency)
        plan = Plan(PlanId(self._ids.new("pln")), terms, self._clock.now())
        async with self._begin() as uow:
            if not await repository.insert_plan(uow, plan):
                raise PlanExists(terms.code)
            await self._audit.record(
                uow,
                principal,
                action="plan.created",
                target=plan.id,
                before=None,
                after=terms.to_json(),
                reason=reason,
                request_id=request_id,
            )
        return plan

    async def retire(self, principal: Principal, code: str, *, reason: str, request_id: str) -> Plan:
        """Takes the plan of this code off the offer. Who has it keeps it, and may renew it at its price.

        Raises:
            Forbidden: the caller is no operator who may write.
            InvalidInput: there is no reason.
            PlanNotFound: no plan of this code is on offer.
        """
        require_operator(principal, may_write=True)
        reason = check_reason(reason)
        async with self._begin() as uow:
            plan = await repository.plan_on_offer(uow, code, for_update=True)
            if plan is None:
                raise PlanNotFound(code)
            now = self._clock.now()
            await repository.retire_plan(uow, plan.id, now)
            await self._audit.record(
                uow,
                principal,
                action="plan.retired",
                target=plan.id,
                before={"code": code, "retired_at": None},
                after={"code": code, "retired_at": now.isoformat()},
                reason=reason,
                request_id=request_id,
            )
        return plan
