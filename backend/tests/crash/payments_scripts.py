"""What is done about one payment up to each step at which a process is killed, and again by whoever asks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from backend.tests.builders.wallets import rub
from backend.tests.crash.payments_house import House
from billing.customers.rules import AccountId, OperatorRole, PersonId, Principal, Role, Scope
from billing.payments.auto_topups_runs import JOB as AUTO_TOPUP_JOB
from billing.payments.comparison import Window
from billing.payments.errors import DifferenceResolved
from billing.payments.janitor import CHECK_JOB
from billing.subscriptions.renewals import JOB as RENEWAL_JOB
from billing.subscriptions.service import Order
from billing.webhooks.service import HAND_OVER_JOB

_KEY = "click"
_REQUEST = "req_1"


@dataclass(frozen=True, slots=True)
class Names:
    """Whose payment it is, and what it is about, by names that the script's steps ask for."""

    account_id: str
    person_id: str
    about: dict[str, str] = field(default_factory=dict)

    def principal(self, role: OperatorRole | None = None) -> Principal:
        """The account's owner; with a role, one who is an operator too."""
        return Principal(
            account_id=AccountId(self.account_id),
            person_id=PersonId(self.person_id),
            role=Role.OWNER,
            api_key_id=None,
            scopes=frozenset(Scope),
            operator_role=role,
            time_zone="UTC",
        )


async def topup(house: House, names: Names) -> None:
    """The customer begins a top-up."""
    await house.takings.topups.start(names.principal(), amount=rub("500"), idempotency_key=_KEY, request_id=_REQUEST)


async def come_back(house: House, names: Names) -> None:
    """The customer has paid and comes to the return page."""
    await house.takings.topups.reconcile(names.principal(), names.about["payment"])


async def come_back_with_plan(house: House, names: Names) -> None:
    """The customer has paid for a plan and comes to its return page."""
    await house.takings.plans.subscriptions.reconcile(names.principal(), names.about["payment"])


async def be_notified(house: House, names: Names) -> None:
    """The provider tells, and a worker looks."""
    last = await house.last_job()
    await house.inbox.receive(house.provider.name, names.about["notification"].encode())
    await house.work_on(HAND_OVER_JOB, after=last)


async def be_told(house: House, names: Names) -> None:
    """The provider tells; whoever works on the queue looks."""
    await house.inbox.receive(house.provider.name, names.about["notification"].encode())


async def check(house: House, names: Names) -> None:
    """A minute later the scheduler's tick and the worker look what has become of the payment."""
    assert names.about["payment"]
    house.clock.move(timedelta(minutes=1))
    last = await house.last_job()
    await house.takings.upkeep.janitor.enqueue_due()
    await house.work_on(CHECK_JOB, after=last)


async def refund(house: House, names: Names) -> None:
    """An operator gives two of five hundred roubles back."""
    operator = names.principal(OperatorRole.FINANCE)
    await house.payments.refund(
        operator, names.about["payment"], rub("200"), reason="asked for it", request_id=_REQUEST, key=_KEY
    )


async def auto_topup(house: House, names: Names) -> None:
    """The scheduler's tick finds a low wallet, and a worker charges what its owner agreed to."""
    assert names.about["method"]
    last = await house.last_job()
    await house.takings.auto_topup_runs.enqueue_due()
    await house.work_on(AUTO_TOPUP_JOB, after=last)


async def buy(house: House, names: Names) -> None:
    """The customer buys a plan on the provider's page."""
    await _buy(house, names, Order())


async def buy_by_saved_method(house: House, names: Names) -> None:
    """The customer buys a plan, and what was paid with before is charged."""
    await _buy(house, names, Order(method_id=names.about["method"]))


async def renew(house: House, names: Names) -> None:
    """The scheduler's tick finds a plan that ends, and a worker charges its next period."""
    assert names.about["plan"]
    last = await house.last_job()
    await house.takings.plans.renewals.enqueue_due()
    await house.work_on(RENEWAL_JOB, after=last)


async def adopt(house: House, names: Names) -> None:
    """An operator makes the row of a payment that we lost."""
    operator = names.principal(OperatorRole.FINANCE)
    with suppress(DifferenceResolved):  # whoever asks again after the end hears so
        await house.reconciliation.adopt(
            operator, names.about["difference"], reason="a backup was restored", request_id=_REQUEST
        )


async def reconcile(house: House, names: Names) -> None:
    """The provider's list is compared with ours, and what we had not heard of is booked."""
    since = datetime.fromisoformat(names.about["since"])
    await house.takings.upkeep.reconciliation.run(Window(since, since + timedelta(hours=1)))


async def _buy(house: House, names: Names, order: Order) -> None:
    await house.takings.plans.subscriptions.buy(
        names.principal(), names.about["plan"], order, idempotency_key=_KEY, request_id=_REQUEST
    )


Script = Callable[[House, Names], Awaitable[None]]
SCRIPTS: dict[str, Script] = {
    script.__name__: script
    for script in (
        topup,
        come_back,
        come_back_with_plan,
        be_notified,
        be_told,
        check,
        refund,
        auto_topup,
        buy,
        buy_by_saved_method,
        renew,
        adopt,
        reconcile,
    )
}
