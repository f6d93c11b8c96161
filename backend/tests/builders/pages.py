"""The whole application behind real HTTP, its simulated outside parties, and browsers without scripts."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy.engine import URL

from backend.tests.builders.customers import PASSWORD, Town, customers_service, fresh_email
from backend.tests.builders.gateway import NOT_FREE
from backend.tests.builders.wallets import RUB, rub
from backend.tests.builders.yookassa import SECRET_KEY, SHOP_ID, SimulatedYookassa, simulated_yookassa
from backend.tests.fakes.http_server import serving
from billing.customers.rules import Account, Principal, Role
from billing.ledger.chart_of_accounts import PROMOTIONS, provider_account
from billing.main import create_app
from billing.pricing.seed import DEMO_FREE, DEMO_LARGE, DEMO_SMALL, seed_demo_rates
from billing.quotas.rules import Amounts, FreeTerms
from billing.usage.rules import UsageEvent
from billing.wallets.models import LotSource
from billing.wallets.rules import OperationId
from billing.wiring.services import Services, services
from billing.wiring.settings import read_settings
from testkit.loopback import NO_TLS

_ROUTES = """
[upstreams.simulator]
base_url = "{url}/v1"
api_key = "sk-simulated-upstream"
[models.{small}]
upstream = "simulator"
upstream_model = "gpt-4o-mini"
[models.{large}]
upstream = "simulator"
upstream_model = "gpt-4o"
[models.{free}]
upstream = "simulator"
upstream_model = "free-chat"
"""

_ANSWER_SECONDS_MAX = 30.0  # a page whose services all fail writes long traces, slowly while coverage is measured


class Html(HTMLParser):
    """A page as a person or a form sees it: its words, its links, its fields, its figures."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: dict[str, str] = {}
        self.inputs: list[dict[str, str | None]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.figures: dict[str, str] = {}
        self._words: list[str] = []
        self._open: dict[str, int] = {}
        self._hrefs: list[str] = []
        self._term = ""
        self.feed(text)
        self.text = _joined(self._words)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remembers where an element's words begin."""
        given = dict(attrs)
        self.tags.append((tag, given))
        self._open[tag] = len(self._words)
        if tag == "input":
            self.inputs.append(given)
        if tag == "a":
            self._hrefs.append(given.get("href") or "")

    def handle_endtag(self, tag: str) -> None:
        """Takes an element's words: a link's name, a figure's name, its first value."""
        words = _joined(self._words[self._open.get(tag, 0) :])
        if tag == "a":
            self.links[words] = self._hrefs.pop()
        if tag == "dt":
            self._term = words
        if tag == "dd":
            self.figures.setdefault(self._term, words)

    def handle_data(self, data: str) -> None:
        """Words."""
        self._words.append(data)

    def hidden(self, name: str) -> str:
        """A hidden field's value."""
        return next(str(field["value"]) for field in self.inputs if field.get("name") == name)

    def chosen(self) -> str | None:
        """The value of the radio button that is chosen."""
        return next((field.get("value") for field in self.inputs if "checked" in field), None)

    def addresses(self) -> list[str]:
        """Every address in the page that a browser would follow or fetch."""
        names = ("href", "src", "action", "data-src")
        found = [value for _, given in self.tags for name in names if (value := given.get(name))]
        return [address for address in found if not address.startswith("#")]


def _joined(words: list[str]) -> str:
    return " ".join(" ".join(words).split())


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody in front of a browser without scripts; signed in unless said otherwise."""

    browser: httpx.AsyncClient
    account: Account
    principal: Principal
    email: str

    async def see(self, path: str, *, status: int = 200) -> Html:
        """Opens a page."""
        answer = await self.browser.get(path)
        assert answer.status_code == status, answer.text
        return Html(answer.text)

    async def send(self, path: str, fields: dict[str, str], **more: Any) -> httpx.Response:
        """Sends a form with the session's CSRF token."""
        page = await self.see("/billing/balance")
        return await self.browser.post(path, data={"csrf_token": page.hidden("csrf_token"), **fields}, **more)

    async def sign_in(self, form_path: str = "/sign-in", *, password: str = PASSWORD, **fields: str) -> httpx.Response:
        """Opens the sign-in form and sends it."""
        page = await self.see(form_path)
        given = {str(field["name"]): field.get("value") or "" for field in page.inputs}
        (action,) = [str(attributes["action"]) for tag, attributes in page.tags if tag == "form"]
        return await self.browser.post(action, data={**given, "email": self.email, "password": password, **fields})

    async def top_up(self, choice: str = "500.00", **fields: str) -> httpx.Response:
        """Sends the top-up form as the page offers it, with another choice."""
        page = await self.see("/billing/balance")
        given = {name: page.hidden(name) for name in ("csrf_token", "intent")}
        action = next(str(form["action"]) for _, form in page.tags if "topup-form" in str(form.get("class")))
        return await self.browser.post(action, data={**given, "choice": choice, **fields})


@dataclass(frozen=True, slots=True)
class Shop:
    """The application with its outside parties."""

    url: str
    services: Services
    yookassa: SimulatedYookassa
    model_url: str
    town: Town

    @asynccontextmanager
    async def visitor(self, *, paid: str | None = None, role: Role = Role.OWNER) -> AsyncIterator[Visitor]:
        """Somebody new with this much paid credit, signed in."""
        customer = await self.town.customer(time_zone="Europe/Moscow")
        if role is not Role.OWNER:
            customer = await self.town.colleague(customer.account, role)
        if paid is not None:
            await self.credit(customer.principal, paid)
        cookies = {"billing_session": customer.session.token}
        async with httpx.AsyncClient(
            verify=NO_TLS,
            timeout=_ANSWER_SECONDS_MAX,
            base_url=self.url,
            cookies=cookies,
            headers={"Accept": "text/html"},
        ) as browser:
            yield Visitor(browser, customer.account, customer.principal, customer.email)

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Visitor]:
        """Somebody who has an account and is not signed in."""
        email = fresh_email()
        async with self.services.begin() as uow:
            account = await self.services.customers.open_account(uow, name="Ada", email=email, password=PASSWORD)
        session = await self.town.sign_in(email)
        async with httpx.AsyncClient(
            verify=NO_TLS, timeout=_ANSWER_SECONDS_MAX, base_url=self.url, headers={"Accept": "text/html"}
        ) as browser:
            yield Visitor(browser, account, session.principal, email)

    async def credit(self, principal: Principal, amount: str, source: LotSource = LotSource.TOPUP, **more: Any) -> None:
        """Puts credit into the caller's wallet."""
        counter = PROMOTIONS if source.is_granted else provider_account("yookassa")
        ids = self.services.ids
        async with self.services.begin() as uow:
            await self.services.wallets.credit(
                uow,
                await self.services.wallets.of_account(uow, principal.account_id, RUB),
                rub(amount),
                source=source,
                transfer_id=ids.new("trf"),
                counter_account=counter,
                origin=ids.new("grt" if source.is_granted else "pay"),
                **more,
            )

    async def hold(self, principal: Principal, amount: str) -> None:
        """A call of the caller's is on its way."""
        operation_id = OperationId(self.services.ids.new("opr"))
        async with self.services.begin() as uow:
            wallet_id = await self.services.wallets.of_account(uow, principal.account_id, RUB)
            await self.services.wallets.hold(uow, wallet_id, rub(amount), operation_id)

    async def events_of(self, principal: Principal) -> tuple[UsageEvent, ...]:
        """The caller's calls as they are recorded, newest first."""
        async with self.services.begin() as uow:
            return await self.services.usage.recent(uow, principal.account_id, 50)

    async def offer_free_use(self, *models: str, tokens: int = 100_000) -> None:
        """So many tokens of these models are free for everybody."""
        await self._set_terms(FreeTerms(True, 30, Amounts(tokens, tokens), frozenset(models or {DEMO_FREE})))

    async def offer_nothing_free(self) -> None:
        """Every call is paid."""
        await self._set_terms(NOT_FREE)

    async def provider_id_of(self, payment_id: str) -> str:
        """The simulator's id of one of our payments."""
        payments = await self.yookassa.payments()
        return next(str(p["id"]) for p in payments if p["metadata"]["payment_id"] == payment_id)

    async def amount_of(self, payment_id: str) -> str:
        """What the provider asks the customer for, for one of our payments."""
        payments = await self.yookassa.payments()
        return next(str(p["amount"]["value"]) for p in payments if p["metadata"]["payment_id"] == payment_id)

    async def forget_faults(self) -> None:
        """The payment provider works again."""
        (await self.yookassa.control.delete("faults")).raise_for_status()

    async def _set_terms(self, terms: FreeTerms) -> None:
        async with self.services.begin() as uow:
            await self.services.quotas.set_terms(uow, terms)


@asynccontextmanager
async def open_shop(
    database_url: URL,
    model_url: str,
    folder: Path,
    *,
    base_path: str = "",
    alter: Callable[[Services], Services] = lambda built: built,
    **environ: str,
) -> AsyncIterator[Shop]:
    """The application as the wiring builds it; `alter` puts other services in place, such as one that fails.

    `environ` are further settings.
    """
    routes = folder / f"routes-{secrets.token_hex(4)}.toml"
    routes.write_text(_ROUTES.format(url=model_url, small=DEMO_SMALL, large=DEMO_LARGE, free=DEMO_FREE))
    async with simulated_yookassa() as yookassa:
        settings = read_settings(
            {
                "BILLING_PUBLIC_BASE_URL": f"http://shop.example{base_path}",
                "BILLING_MODEL_ROUTES_FILE": str(routes),
                "IDENTITY_PAYMENT_PROVIDER": "simulator",
                "YOOKASSA_SHOP_ID": SHOP_ID,
                "YOOKASSA_SECRET_KEY": SECRET_KEY,
                "YOOKASSA_API_URL": yookassa.api_url,
                **environ,
            }
        )
        async with services(settings, database_url) as built:
            customers = customers_service(built.begin, built.clock, built.ids)
            changed = alter(replace(built, customers=customers))
            async with built.begin() as uow:
                await seed_demo_rates(uow, built.pricing, built.clock.now())
            async with serving(create_app(changed)) as url:
                yield Shop(url, changed, yookassa, model_url, Town(customers, built.begin))
