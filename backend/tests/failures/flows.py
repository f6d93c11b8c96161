"""The flows in which a provider is called: what is there before, the call that goes wrong, and what follows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backend.tests.builders.failures import API, Answer, Scene
from backend.tests.builders.subscriptions import terms
from backend.tests.builders.wallets import rub
from billing.kit.errors import BillingError
from billing.payments.auto_topups_rules import AutoTopupTerms
from billing.payments.comparison import Window
from billing.wiring.services import Services

TOPUP = {"amount": "500", "currency": "RUB"}

Step = Callable[[Scene], Awaitable[None]]
Act = Callable[[Scene, Services], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Play:
    """How a flow is played around one of its calls."""

    act: Act
    """What whoever begins it does while the provider's calls go wrong."""
    before: Step
    after: Step
    """What happens when they do not any more."""


async def nothing(scene: Scene) -> None:
    """A flow that begins with its first call."""
    del scene


async def top_up(scene: Scene, services: Services) -> Answer:
    """The customer wants to top up; a second time with the same key it is the same wish."""
    answer, _ = await scene.told(services, "POST", f"{API}/topups", json=TOPUP, headers={"Idempotency-Key": "wish"})
    return answer


async def top_up_and_keep(scene: Scene, services: Services) -> Answer:
    """The customer wants to top up, and lets be kept what they pay with."""
    headers = {"Idempotency-Key": "wish"}
    body = {**TOPUP, "saves_method": True}
    answer, _ = await scene.told(services, "POST", f"{API}/topups", json=body, headers=headers)
    return answer


async def top_up_again(scene: Scene, services: Services) -> Answer:
    """The customer clicks once more, which is the same intent under another key."""
    answer, _ = await scene.told(services, "POST", f"{API}/topups", json=TOPUP, headers={"Idempotency-Key": "again"})
    return answer


async def begun(scene: Scene) -> None:
    """A top-up that waits to be paid."""
    await top_up(scene, scene.services)


async def paid_unheard(scene: Scene) -> None:
    """A top-up that is paid, and nobody has told us."""
    await begun(scene)
    await scene.pay(await newest(scene))


async def paid_and_partly_refunded_unheard(scene: Scene) -> None:
    """The same, of which a part was given back in the provider's cabinet."""
    await paid_unheard(scene)
    await scene.backstage.refund_in_cabinet(await scene.named(await newest(scene)), rub("200"))


async def credited(scene: Scene) -> None:
    """A top-up that is paid and credited."""
    await paid_unheard(scene)
    await reconcile(scene, scene.services)


async def old_payment_refunded_unheard(scene: Scene) -> None:
    """A part of a top-up of which the daily reconciliation asks no more was given back in the provider's cabinet."""
    await credited(scene)
    await scene.wait(10)
    await scene.backstage.refund_in_cabinet(await scene.named(await newest(scene)), rub("200"))


async def reconcile(scene: Scene, services: Services) -> Answer:
    """The customer, or the page that they came back to, asks what has become of the top-up."""
    answer, _ = await scene.told(services, "POST", f"{API}/topups/{await newest(scene)}/reconcile")
    return answer


async def plan_on_offer(scene: Scene) -> None:
    """A plan of 300 roubles a month that includes 100 roubles of credit."""
    operator = scene.premises.operator
    plan = await scene.services.plan_desk.create(operator.principal, terms(), reason="a test", request_id="req_tests")
    scene.kept["plan"] = plan.terms.code


async def buy(scene: Scene, services: Services) -> Answer:
    """The customer buys the plan, with the saved method where there is one."""
    body = {"plan": scene.kept["plan"], "method_id": scene.kept.get("method")}
    answer, _ = await scene.told(
        services, "POST", f"{API}/subscription", json=body, headers={"Idempotency-Key": "wish"}
    )
    return answer


async def plan_paid_unheard(scene: Scene) -> None:
    """A plan that is paid, and nobody has told us."""
    await plan_on_offer(scene)
    await buy(scene, scene.services)
    await scene.pay(await newest(scene))


async def reconcile_plan(scene: Scene, services: Services) -> Answer:
    """The customer asks what has become of the plan's payment."""
    path = f"{API}/subscription/payments/{await newest(scene)}/reconcile"
    answer, _ = await scene.told(services, "POST", path)
    return answer


async def method_kept(scene: Scene) -> None:
    """A top-up of 500 roubles that left a saved method."""
    await top_up_and_keep(scene, scene.services)
    await scene.pay(await newest(scene))
    await reconcile(scene, scene.services)
    (method,) = await scene.services.methods.methods_of(scene.customer.principal)
    scene.kept["method"] = method.id
    await scene.wait(1)


async def plan_for_the_method(scene: Scene) -> None:
    """A saved method, and a plan to be paid with it."""
    await method_kept(scene)
    await plan_on_offer(scene)


async def low(scene: Scene) -> None:
    """A wallet below the threshold of its automatic top-up."""
    await method_kept(scene)
    agreed = AutoTopupTerms(rub("100"), rub("500"), rub("2000"))
    await scene.services.auto_topups.set(
        scene.customer.principal,
        agreed,
        method_id=scene.kept["method"],
        has_consented=True,
        request_id="req_tests",
    )
    await scene.spend("450")


async def top_up_automatically(scene: Scene, services: Services) -> Answer:
    """The tick finds the wallet, and its job runs."""
    await services.auto_topup_runs.enqueue_due()
    (job,) = await scene.rows(
        "SELECT args ->> 'leased_until' AS leased_until FROM procrastinate_jobs WHERE args ->> 'account_id' = :id",
        id=scene.customer.account.id,
    )
    leased_until = datetime.fromisoformat(job["leased_until"])
    return await ended(services.auto_topup_runs.run(scene.customer.account.id, leased_until))


async def refund(scene: Scene, services: Services) -> Answer:
    """An operator gives 200 roubles back."""
    answer, _ = await scene.told(
        services,
        "POST",
        f"/admin/billing/payments/{await newest(scene)}/refunds",
        who=scene.premises.operator,
        json={"amount": "200", "currency": "RUB", "reason": "asked for it"},
    )
    return answer


async def compare(scene: Scene, services: Services) -> Answer:
    """The daily reconciliation of the time in which this customer came."""
    now = scene.clock.now()
    window = Window(now - timedelta(seconds=1), now + timedelta(minutes=1))
    return await ended(services.payment_upkeep.reconciliation.run(window))


async def check(scene: Scene, services: Services) -> Answer:
    """The janitor's round, when the next check is due."""
    done = await scene.check(services)
    return Answer(None, "put off" if done.put_off else "checked")


async def left_unbegun(scene: Scene) -> None:
    """A top-up of which the provider has not heard."""
    await scene.backstage.go_wrong("reset", "create_payment", times=10)
    await begun(scene)
    await scene.simulated.heal()


async def left_unnamed_for_a_day(scene: Scene) -> None:
    """A top-up whose beginning was not answered, so long ago that its key may be forgotten."""
    await scene.backstage.go_wrong("reset", "create_payment", effect="done", times=10)
    await begun(scene)
    await scene.simulated.heal()
    scene.clock.move(timedelta(hours=23, minutes=30))


async def refund_left_unbegun(scene: Scene) -> None:
    """A refund of which the provider has not heard."""
    await credited(scene)
    await scene.backstage.go_wrong("reset", "refund", times=10)
    await refund(scene, scene.services)
    await scene.simulated.heal()


async def refund_left_pending(scene: Scene) -> None:
    """A refund that took its time at the provider, and is made by now."""
    await credited(scene)
    await scene.backstage.hold_refunds()
    _, body = await scene.told(
        scene.services,
        "POST",
        f"/admin/billing/payments/{await newest(scene)}/refunds",
        who=scene.premises.operator,
        json={"amount": "200", "currency": "RUB", "reason": "asked for it"},
    )
    await scene.backstage.end_refund(body["provider_refund_id"], is_good=True)


async def checked(scene: Scene) -> None:
    """The janitor makes its next round."""
    await scene.check()


async def checked_and_paid(scene: Scene) -> None:
    """The janitor finishes the beginning, the customer comes back and pays, and the janitor hears of it."""
    await scene.check()
    await scene.pay(await newest(scene))
    await scene.check()


async def paid_and_checked(scene: Scene) -> None:
    """The customer pays, and the janitor hears of it."""
    await scene.pay(await newest(scene))
    await scene.check()


async def compared(scene: Scene) -> None:
    """The daily reconciliation runs again."""
    await compare(scene, scene.services)


async def newest(scene: Scene) -> str:
    """Our id of the customer's newest payment."""
    rows = await scene.rows(
        "SELECT id FROM payments WHERE account_id = :id ORDER BY created_at DESC, id DESC LIMIT 1",
        id=scene.customer.account.id,
    )
    return str(rows[0]["id"])


async def ended(job: Awaitable[Any]) -> Answer:
    """How a job ended: well, or with the code of what went wrong."""
    try:
        await job
    except BillingError as error:
        return Answer(None, error.code)
    return Answer(None, "done")
