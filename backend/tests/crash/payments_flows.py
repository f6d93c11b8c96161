"""What a customer's payment has come to before each script, and what must come of it in the end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from backend.tests.builders.subscriptions import terms
from backend.tests.builders.wallets import RUB, rub
from backend.tests.crash.payments_scripts import Names
from backend.tests.crash.payments_street import End, Street
from billing.customers.rules import OperatorRole
from billing.payments.auto_topups_rules import AutoTopupTerms
from billing.payments.comparison import Window
from billing.payments.rules import ProviderPaymentId
from billing.subscriptions.service import Order
from billing.wallets.rules import OperationId
from billing.webhooks.service import HAND_OVER_JOB

_REQUEST = "req_0"
About = dict[str, str]


@dataclass(frozen=True)
class Flow:
    """A situation, the script that is killed in it, and its one end.

    `forgotten` is at how many of the first deaths nothing had been written yet, so that nothing happens where nobody
    asks again; None where only somebody who asks again can end it. `is_alone` says that the script works for whoever is
    due: each death is recovered from before the next.
    """

    script: str
    given: Callable[[Street, Names], Awaitable[About]]
    steps_min: int
    forgotten: int | None
    at_provider: Mapping[str, int]
    available: str
    ours: Mapping[str, Mapping[str, int]]
    kind: str = "yookassa"
    is_alone: bool = False

    def promises(self, end: End) -> bool:
        """The end is this flow's."""
        ours = {table: end.says(table) for table in self.ours}
        return (dict(end.at_provider), end.available, ours) == (self.at_provider, self.available, self.ours)


async def somebody(street: Street, flow: Flow) -> Names:
    """A customer in the flow's situation."""
    customer = await street.town.customer()
    names = Names(customer.account.id, str(customer.principal.person_id))
    return replace(names, about=await flow.given(street, names))


async def nothing_yet(street: Street, names: Names) -> About:
    """The customer has only an account."""
    del street, names
    return {}


async def begun(street: Street, names: Names, *, saves_method: bool = False) -> About:
    """A top-up of 500 roubles waits to be paid."""
    topup = await street.house.takings.topups.start(
        names.principal(),
        amount=rub("500"),
        saves_method=saves_method,
        idempotency_key="given",
        request_id=_REQUEST,
    )
    return {"payment": topup.payment_id}


async def paid(street: Street, names: Names) -> About:
    """It is paid, and we have not heard of that; the provider's notification is on its way."""
    about = await begun(street, names)
    return {**about, **await _notification(street, await street.pay(about["payment"]))}


async def credited(street: Street, names: Names) -> About:
    """It is paid and credited."""
    about = await paid(street, names)
    await street.house.takings.topups.reconcile(names.principal(), about["payment"])
    return about


async def given_back_in_cabinet(street: Street, names: Names) -> About:
    """It was credited, and somebody gave 200 of it back at the provider, of which a notification tells."""
    since = datetime.now(UTC)
    about = await credited(street, names)
    provider_id = await street.provider_id(about["payment"])
    await street.backstage.refund_in_cabinet(provider_id, rub("200"))
    return {**about, **await _notification(street, provider_id), "since": since.isoformat()}


async def disputed(street: Street, names: Names) -> About:
    """It was credited, and the customer's bank wants it back, of which a notification tells."""
    about = await credited(street, names)
    provider_id = await street.provider_id(about["payment"])
    await street.backstage.open_dispute(provider_id)
    return {**about, **await _notification(street, provider_id)}


async def won(street: Street, names: Names) -> About:
    """We have heard of the dispute; then the bank decided for us, of which a notification tells."""
    about = await disputed(street, names)
    last = await street.house.last_job()
    await street.house.inbox.receive(street.kind, about["notification"].encode())
    await street.house.work_on(HAND_OVER_JOB, after=last)
    provider_id = await street.provider_id(about["payment"])
    await street.backstage.close_dispute(provider_id, is_won=True)
    return {**about, **await _notification(street, provider_id)}


async def lost(street: Street, names: Names) -> About:
    """A paid top-up whose row is gone, as after the restore of a backup; the comparison has listed it."""
    since = datetime.now(UTC)
    about = await paid(street, names)
    provider_id = await street.provider_id(about["payment"])
    await street.as_owner("DELETE FROM payments WHERE id = :id", id=about["payment"])
    reconciliation = street.house.takings.upkeep.reconciliation
    await reconciliation.run(Window(since, since + timedelta(hours=1)))
    (found,) = [one for one in await reconciliation.differences() if one.difference.object_id == provider_id]
    return {"difference": found.id}


async def saved(street: Street, names: Names) -> About:
    """A top-up was credited, and what it was paid with is kept."""
    about = await begun(street, names, saves_method=True)
    await street.pay(about["payment"])
    await street.house.takings.topups.reconcile(names.principal(), about["payment"])
    (method,) = await street.house.takings.methods.methods_of(names.principal())
    return {"method": method.id}


async def low(street: Street, names: Names) -> About:
    """The customer agreed to be charged 500 below 100, and has 50 left."""
    about = await saved(street, names)
    house, principal = street.house, names.principal()
    agreed = AutoTopupTerms(rub("100"), rub("500"), rub("2000"))
    await house.takings.auto_topups.set(
        principal, agreed, method_id=about["method"], has_consented=True, request_id=_REQUEST
    )
    operation = OperationId(house.ground.ids.new("opr"))
    async with house.ground.begin() as uow:
        wallet_id = await house.wallets.of_account(uow, principal.account_id, RUB)
        await house.wallets.hold(uow, wallet_id, rub("450"), operation)
        await house.wallets.settle(uow, wallet_id, operation, rub("450"))
    return about


async def on_offer(street: Street, names: Names) -> About:
    """There is a plan of 300 roubles a month with 100 roubles of credit."""
    operator = names.principal(OperatorRole.FINANCE)
    desk = street.house.takings.plans.desk
    plan = await desk.create(operator, terms(), reason="a test", request_id=_REQUEST)
    return {"plan": plan.terms.code}


async def paid_plan(street: Street, names: Names) -> About:
    """A plan is paid for, and we have not heard of that."""
    about = await on_offer(street, names)
    bought = await street.house.takings.plans.subscriptions.buy(
        names.principal(), about["plan"], Order(), idempotency_key="given", request_id=_REQUEST
    )
    return {"payment": bought.payment_id, **await _notification(street, await street.pay(bought.payment_id))}


async def on_offer_with_method(street: Street, names: Names) -> About:
    """The same for somebody who has paid before."""
    return {**await saved(street, names), **await on_offer(street, names)}


async def renewing(street: Street, names: Names) -> About:
    """A plan that renews itself is about to end; nobody else's is."""
    await street.as_owner("UPDATE plan_subscriptions SET will_renew = false")
    about = await on_offer(street, names)
    plans = street.house.takings.plans.subscriptions
    bought = await plans.buy(
        names.principal(), about["plan"], Order(renews=True), idempotency_key="given", request_id=_REQUEST
    )
    await street.pay(bought.payment_id)
    await plans.reconcile(names.principal(), bought.payment_id)
    (ends_at,) = await street.words("SELECT ends_at AS word FROM plan_grants WHERE account_id = :id", names.account_id)
    street.house.clock.move(ends_at - timedelta(days=1) - street.house.clock.now())
    return about


async def _notification(street: Street, provider_id: ProviderPaymentId) -> About:
    return {"notification": (await street.backstage.events(provider_id))[-1]}


_TOPUP = {"topup succeeded 500.00": 1}
_CREDITED = {"payments": {"topup succeeded": 1}, "told": {"topup.credited": 1}}
_STARTED = {"audited": {"topup.started": 1}}
_TWO_HUNDRED_BACK = {
    "payments": {"topup partially_refunded": 1},
    "refunds": {"succeeded": 1},
    "told": {"topup.credited": 1, "refund.succeeded": 1},
}

FLOWS = {
    "a top-up": Flow("topup", nothing_yet, 4, 2, _TOPUP, "500.00", {**_CREDITED, **_STARTED}),
    "a return": Flow("come_back", paid, 3, 0, _TOPUP, "500.00", {**_CREDITED, **_STARTED}),
    "a notification": Flow("be_notified", paid, 5, 0, _TOPUP, "500.00", {**_CREDITED, **_STARTED}),
    "a check": Flow("check", paid, 5, 0, _TOPUP, "500.00", {**_CREDITED, **_STARTED}, is_alone=True),
    "a refund": Flow(
        "refund",
        credited,
        3,
        1,
        _TOPUP,
        "300.00",
        {**_TWO_HUNDRED_BACK, "audited": {"topup.started": 1, "payment.refund_begun": 1}},
    ),
    "news of a refund": Flow(
        "be_notified", given_back_in_cabinet, 6, 1, _TOPUP, "300.00", {**_TWO_HUNDRED_BACK, **_STARTED}
    ),
    "news of a dispute": Flow(
        "be_notified",
        disputed,
        6,
        1,
        _TOPUP,
        "0.00",
        {"payments": {"topup disputed": 1}, "disputes": {"open": 1}, **_STARTED},
        kind="stripe",
    ),
    "news of a dispute's end": Flow(
        "be_notified",
        won,
        6,
        1,
        _TOPUP,
        "500.00",
        {"payments": {"topup succeeded": 1}, "disputes": {"won": 1}, **_STARTED},
        kind="stripe",
    ),
    "an automatic top-up": Flow(
        "auto_topup",
        low,
        5,
        0,
        {**_TOPUP, "auto_topup succeeded 500.00": 1},
        "550.00",
        {"payments": {"topup succeeded": 1, "auto_topup succeeded": 1}},
        is_alone=True,
    ),
    "a plan": Flow(
        "buy",
        on_offer,
        6,
        4,
        {"subscription succeeded 300.00": 1},
        "100.00",
        {"payments": {"subscription succeeded": 1}, "grants": {"paid period": 1}},
    ),
    "a return with a plan": Flow(
        "come_back_with_plan",
        paid_plan,
        3,
        0,
        {"subscription succeeded 300.00": 1},
        "100.00",
        {"payments": {"subscription succeeded": 1}, "grants": {"paid period": 1}},
    ),
    "a plan by a saved method": Flow(
        "buy_by_saved_method",
        on_offer_with_method,
        6,
        4,
        {**_TOPUP, "subscription succeeded 300.00": 1},
        "600.00",
        {"payments": {"topup succeeded": 1, "subscription succeeded": 1}, "grants": {"paid period": 1}},
    ),
    "a renewal": Flow(
        "renew",
        renewing,
        6,
        0,
        {"subscription succeeded 300.00": 2},
        "100.00",
        {"payments": {"subscription succeeded": 2}, "grants": {"paid period": 2}},
        is_alone=True,
    ),
    "an adoption": Flow(
        "adopt",
        lost,
        5,
        None,
        _TOPUP,
        "500.00",
        {**_CREDITED, "audited": {"topup.started": 1, "difference.adopted": 1}},
    ),
    "a comparison": Flow(
        "reconcile", given_back_in_cabinet, 12, None, _TOPUP, "300.00", {**_TWO_HUNDRED_BACK, **_STARTED}
    ),
}

ASKED_AGAIN = ("a top-up", "a refund", "a plan by a saved method", "an adoption", "a comparison")
"""Where a person, or the next day's run, does the same again; the other scripts are done by ticks and jobs anyway."""
