"""What must come of payments, as the provider itself has them in the end, and how the account stands in our books."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text

from backend.tests.builders.wallets import RUB, rub
from billing.customers.rules import AccountId
from billing.kit.money import Money
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import provider_account
from billing.payments.provider_states import Picture
from billing.payments.refunds import PaymentFile
from billing.payments.rules import DisputeStatus, ProviderStatus, RefundState, RefundStatus, paid_state

NOTHING = rub("0")

_LEDGER = text(
    """
    SELECT account, coalesce(sum(amount_micros), 0)::bigint AS micros, count(*) AS entries
    FROM ledger_entries AS entry JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    WHERE transfer.reference = ANY(:ids) AND transfer.kind <> 'provider_fee' GROUP BY account
    """
)
_EVENTS = text("SELECT kind, subject FROM billing_events WHERE account_id = :id")


@dataclass
class Truth:
    """What the provider says in the end about one payment."""

    picture: Picture
    amount: Money

    @property
    def is_paid(self) -> bool:
        """The customer's money came."""
        return self.picture.payment.status is ProviderStatus.SUCCEEDED

    @property
    def refunds(self) -> set[str]:
        """The refunds that have given something back."""
        return {one.id for one in self.picture.refunds or () if one.status is RefundStatus.SUCCEEDED}

    @property
    def refunded(self) -> Money:
        """What they have given back together."""
        return self.picture.refunds_listed

    def disputed(self, *statuses: DisputeStatus) -> Money:
        """What disputes that stand so are about."""
        return sum((one.amount for one in self.picture.disputes or () if one.status in statuses), NOTHING)

    @property
    def state(self) -> str:
        """Where our payment must stand; what was not paid stands as the provider has it."""
        if not self.is_paid:
            return self.picture.payment.status.value
        standing = self.disputed(DisputeStatus.OPEN, DisputeStatus.LOST)
        return paid_state(self.amount, refunded=self.refunded, is_disputed=standing != NOTHING).value


@dataclass(frozen=True)
class Standing:
    """How the account stands in our books, and what it was told."""

    states: list[str]
    worth: Money
    clearing: Money
    disputes: Money
    refunds: set[str]
    told: Counter[str]
    entries: dict[str, int]

    @property
    def came_back(self) -> int:
        """How many refunds we had booked as given back, and do not any more."""
        return self.told["refund.succeeded"] - len(self.refunds)

    def require(self, truths: Sequence[Truth], *, spent: Money) -> None:
        """Fails where the books are not what the provider's word and what was spent add up to."""
        kept = sum((truth.amount - truth.refunded for truth in truths if truth.is_paid), NOTHING)
        disputed = sum((truth.disputed(DisputeStatus.OPEN) for truth in truths), NOTHING)
        gone = sum((truth.disputed(DisputeStatus.LOST) for truth in truths), NOTHING)
        assert self.states == [truth.state for truth in truths]
        assert self.worth == kept - disputed - gone - spent
        assert self.clearing == -(kept - gone)
        assert self.disputes == disputed
        assert self.refunds == set().union(*(truth.refunds for truth in truths))
        assert self.told["topup.credited"] == sum(truth.is_paid for truth in truths)
        assert self.came_back >= 0


async def standing_of(
    uow: UnitOfWork, account_id: AccountId, files: Sequence[PaymentFile], *, worth: Money
) -> Standing:
    """How the account stands with these payments, all of one provider; `worth` is its wallet's credit without debt."""
    ids = [file.payment.id for file in files]
    ledger = {row.account: row for row in await uow.connection.execute(_LEDGER, {"ids": ids})}
    told = await uow.connection.execute(_EVENTS, {"id": account_id})

    def stands(account: str) -> Money:
        return Money(ledger[account].micros, RUB) if account in ledger else NOTHING

    return Standing(
        states=[file.payment.state.value for file in files],
        worth=worth,
        clearing=stands(provider_account(files[0].payment.provider)),
        disputes=stands("disputes"),
        refunds={
            str(one.provider_refund_id) for file in files for one in file.refunds if one.state is RefundState.SUCCEEDED
        },
        told=Counter(row.kind for row in told),
        entries={account: row.entries for account, row in ledger.items()},
    )
