"""What every service of one process stands on."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from billing.customers.audit import AuditTrail
from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin


@dataclass(frozen=True, slots=True)
class Ground:
    """The database, time and chance, and the audit trail."""

    engine: AsyncEngine
    begin: Begin
    clock: Clock
    ids: Ids
    audit: AuditTrail
