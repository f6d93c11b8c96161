"""The customers' pages over HTTP: the balance with its cards and top-ups, and the playground."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, FastAPI, Form, Query, Request, Response

from billing.customers.access import Caller, request_id
from billing.customers.errors import Forbidden
from billing.customers.rules import Principal
from billing.kit.errors import BillingError
from billing.kit.money import Currency, Money
from billing.pages import plan_endpoints, price_endpoints, sign_in_endpoints
from billing.pages.access import (
    HOME_PATH,
    Html,
    PageRoute,
    Pages,
    Playground,
    Topups,
    app_path_of,
    frame_of,
)
from billing.pages.errors import AmountNotChosen
from billing.pages.playground import PROMPT_LENGTH_MAX
from billing.pages.rendering import STATIC_PATH, Renderer, context_of
from billing.pages.rules import read_amount
from billing.pages.service import PagesService
from billing.pages.static_files import PageFiles
from billing.pages.views import CUSTOM, OutcomeView, Section, TopupDraft
from billing.payments.service import TopupStatus

router = APIRouter(route_class=PageRoute, include_in_schema=False)
router.include_router(sign_in_endpoints.router)
router.include_router(price_endpoints.router)
router.include_router(plan_endpoints.router)

_TYPED_LENGTH_MAX = 40

Field = Annotated[str, Form()]


def mount_static_files(app: FastAPI, renderer: Renderer) -> None:
    """Serves stylesheet and scripts at the addresses that this renderer writes into pages."""
    app.mount(f"{STATIC_PATH}/{{version}}", PageFiles(renderer.static_version), name="static")


@router.get("/")
async def home(html: Html) -> Response:
    """The first page is the balance."""
    return html.see_other(HOME_PATH)


@router.get("/billing/balance")
async def balance_page(
    request: Request,
    caller: Caller,
    html: Html,
    pages: Pages,
    topup: str | None = None,
    choice: str | None = None,
    custom_amount: str = "",
    missing: str | None = None,
    return_to: str | None = None,
    error: str | None = None,
) -> Response:
    """The wallet; `topup` names the payment that the customer comes back from, `missing` what a blocked call lacked.

    The other parameters bring back a top-up form that was refused, so that neither reloading nor going back sends it.
    """
    draft = TopupDraft(choice, custom_amount, missing, app_path_of(return_to), error)
    page = await pages.balance_page(caller, draft=draft, topup_id=topup)
    frame = frame_of(request, caller, section=Section.BALANCE, chip=pages.chip(page.balance))
    return html.page("balance.html", frame=frame, **context_of(page))


@router.get("/billing/balance/cards/balance")
async def balance_card(request: Request, caller: Caller, html: Html, pages: Pages) -> Response:
    """The wallet's figures alone."""
    frame = frame_of(request, caller, section=None)
    return html.page("cards/balance.html", frame=frame, balance=await pages.balance(caller))


@router.get("/billing/balance/cards/activity")
async def activity_card(request: Request, caller: Caller, html: Html, pages: Pages) -> Response:
    """The latest activity alone."""
    frame = frame_of(request, caller, section=None)
    return html.page("cards/activity.html", frame=frame, activity=await pages.activity(caller))


@router.get("/billing/balance/cards/free-limits")
async def free_limits_card(request: Request, caller: Caller, html: Html, pages: Pages) -> Response:
    """The free limits alone."""
    frame = frame_of(request, caller, section=None)
    return html.page("cards/free_limits.html", frame=frame, free_limits=await pages.free_limits(caller))


@router.get("/billing/balance/cards/notice")
async def notice_card(caller: Caller, html: Html, pages: Pages) -> Response:
    """The low-balance notice alone; empty where there is nothing to say."""
    return html.page("cards/notice.html", notice=await pages.notice(caller))


@router.get("/billing/balance/cards/chip")
async def chip_card(request: Request, caller: Caller, html: Html, pages: Pages) -> Response:
    """The balance in the header alone."""
    chip = pages.chip(await pages.balance(caller))
    return html.page("cards/chip.html", frame=frame_of(request, caller, section=None, chip=chip))


@router.get("/billing/balance/cards/topup")
async def topup_card(caller: Caller, html: Html, pages: Pages, topup: Annotated[str, Query()] = "") -> Response:
    """Where exactly this payment stands, after asking the provider."""
    return html.page("cards/topup.html", topup=await pages.topup(caller, topup), topup_id=topup)


@router.post("/billing/topups")
async def start_topup(
    request: Request,
    caller: Caller,
    html: Html,
    topups: Topups,
    choice: Field = "",
    custom_amount: Field = "",
    intent: Field = "",
    missing: Field = "",
    return_to: Field = "",
) -> Response:
    """Begins a payment and leads to the payment page; the same form with the same amount is the same payment."""
    draft = TopupDraft(choice, custom_amount[:_TYPED_LENGTH_MAX], missing, app_path_of(return_to))
    try:
        amount = _chosen_amount(draft, topups.offer.currency)
        topup = await topups.start(
            caller,
            amount=amount,
            return_to=draft.return_to,
            # Going back and choosing another amount is another intent.
            idempotency_key=f"{intent}:{amount.to_decimal()}",
            request_id=request_id(request),
        )
    except Forbidden:
        raise
    except BillingError as refusal:
        return html.see_other(_draft_path(replace(draft, error_code=refusal.code)), refusal=refusal)
    if topup.status is TopupStatus.PENDING:
        return html.see_other(f"/billing/topups/{topup.payment_id}/pay")
    return html.see_other(_balance_path(topup.payment_id))


@router.get("/billing/topups/{payment_id}/pay")
async def payment_page(request: Request, caller: Caller, html: Html, topups: Topups, payment_id: str) -> Response:
    """Moves on to the provider's payment page, while the payment waits to be paid."""
    topup = await topups.get(caller, payment_id)
    if topup.confirmation_url is None:
        return html.see_other(_balance_path(topup.payment_id))
    frame = frame_of(request, caller, section=None)
    return html.page("payment_page.html", frame=frame, topup=topup, confirmation_url=topup.confirmation_url)


@router.get("/billing/topups/{payment_id}/return")
async def return_from_payment(caller: Caller, html: Html, pages: Pages, payment_id: str) -> Response:
    """Asks the provider about exactly this payment, then shows the wallet with what came of it."""
    await pages.topup(caller, payment_id)
    return html.see_other(_balance_path(payment_id))


@router.get("/billing/playground")
async def playground_page(
    request: Request,
    caller: Caller,
    html: Html,
    pages: Pages,
    playground: Playground,
    model: str = "",
    prompt: str = "",
) -> Response:
    """The playground, with the prompt that a link carries; nothing is sent before the customer sends it."""
    context = await _playground_context(request, caller, pages, playground, model, prompt)
    return html.page("playground.html", **context, **context_of(OutcomeView()))


@router.post("/billing/playground")
async def ask(
    request: Request,
    caller: Caller,
    html: Html,
    pages: Pages,
    playground: Playground,
    model: Field = "",
    prompt: Field = "",
) -> Response:
    """Sends the prompt; answers the whole page, or only the answer to a script that asks for `X-Fragment: answer`."""
    outcome = await playground.ask(caller, model=model, prompt=prompt)
    template, context = "cards/answer.html", context_of(outcome.view)
    if request.headers.get("X-Fragment") != "answer":
        template = "playground.html"
        context |= await _playground_context(request, caller, pages, playground, model, prompt)
    if outcome.refusal is not None:
        return html.refused(template, outcome.refusal, **context)
    return html.page(template, **context)


async def _playground_context(
    request: Request, caller: Principal, pages: PagesService, playground: Playground, model: str, prompt: str
) -> dict[str, object]:
    chip = pages.chip(await pages.balance(caller))
    return {
        "frame": frame_of(request, caller, section=Section.PLAYGROUND, chip=chip),
        "models": await playground.models(),
        "chosen_model": model,
        "prompt": prompt[:PROMPT_LENGTH_MAX],
        "prompt_length_max": PROMPT_LENGTH_MAX,
    }


def _chosen_amount(draft: TopupDraft, currency: Currency) -> Money:
    """The amount that the chosen button stands for; what is typed counts only where "Other amount" is chosen."""
    if not draft.choice:
        raise AmountNotChosen
    return read_amount(draft.custom_typed if draft.choice == CUSTOM else draft.choice, currency)


def _balance_path(payment_id: str) -> str:
    return f"{HOME_PATH}?{urlencode({'topup': payment_id})}"


def _draft_path(draft: TopupDraft) -> str:
    fields = {
        "error": draft.error_code,
        "choice": draft.choice,
        "custom_amount": draft.custom_typed,
        "missing": draft.missing,
        "return_to": draft.return_to,
    }
    # The field that is to be mended takes the focus, which a fragment would prevent.
    fragment = "" if draft.choice == CUSTOM else "#top-up"
    return f"{HOME_PATH}?{urlencode({name: value for name, value in fields.items() if value})}{fragment}"
