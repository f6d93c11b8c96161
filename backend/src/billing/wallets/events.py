"""Where any capability records what an account is told about its money, in the transaction that caused it."""

from __future__ import annotations

from collections.abc import Mapping

from billing.kit.clock import Clock
from billing.kit.ids import Ids
from billing.kit.unit_of_work import UnitOfWork
from billing.wallets import repository
from billing.wallets.alerts import Alert, EventKind
from billing.wallets.rules import WalletId


class BillingEvents:
    """Records events beside those that wallets record themselves; readers and outbound webhooks see them all."""

    def __init__(self, *, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids

    async def record(
        self, uow: UnitOfWork, wallet_id: WalletId, kind: EventKind, *, subject: str, payload: Mapping[str, object]
    ) -> None:
        """Tells the owner of the wallet, once per kind and subject.

        `subject` is the id of what the event is about, `payload` JSON without personal data, amounts as decimal
        strings beside their currency.
        """
        event = Alert(kind=kind, subject=subject, crossing=f"{kind} {subject}", payload=payload)
        await repository.insert_events(uow, wallet_id, [(self._ids.new("evt"), event)], at=self._clock.now())
