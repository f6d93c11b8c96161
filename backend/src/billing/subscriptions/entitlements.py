"""What a paid period gives to each call while it runs: asked beside the gateway's other questions, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billing.kit.money import Currency
from billing.kit.statements import Question, only
from billing.quotas.rules import NOTHING, Amounts
from billing.subscriptions import repository
from billing.wallets.caps import CapScope


@dataclass(frozen=True, slots=True)
class Entitlement:
    """A discount in per cent, caps in micros on what the wallet spends, and what is added to the free quota."""

    discount_percent: int = 0
    caps: Mapping[CapScope, int] = field(default_factory=dict)
    quotas: Amounts = NOTHING


NO_PLAN = Entitlement()


class Entitlements:
    """Reads what runs at the very moment of a call, so that an expired plan gives nothing and needs no job for it."""

    def __init__(self, currency: Currency) -> None:
        self._currency = currency

    def of_account(self, account_id: str, now: datetime) -> Question[Entitlement]:
        """What does the account's plan give now?"""
        return Question(repository.running(account_id, self._currency, now), _as_entitlement)

    def quotas_of(self, account_id: str, now: datetime) -> Question[Amounts]:
        """What does the account's plan add to its free quota now?"""
        return Question(repository.running(account_id, self._currency, now), lambda rows: _as_entitlement(rows).quotas)


def _as_entitlement(rows: list[Any]) -> Entitlement:
    row = only(rows)
    if row is None:
        return NO_PLAN
    discount_percent, daily_cap, monthly_cap, *quotas = row
    caps = {CapScope.DAY: daily_cap, CapScope.MONTH: monthly_cap}
    return Entitlement(
        discount_percent=discount_percent,
        caps={scope: micros for scope, micros in caps.items() if micros is not None},
        quotas=Amounts(*quotas),
    )
