"""A customer who uses the API like anybody else: signs in, tops up, calls models, looks at the wallet."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from html.parser import HTMLParser
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from testkit.loopback import NO_TLS
from testkit.simulators.faults import Fault, FaultKind
from testkit.simulators.remote import ModelRemote, ProviderRemote
from testkit.stack.site import Site
from testkit.stack.stack import Login

SESSION_COOKIE = "billing_session"
_ANSWER_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class CallOutcome:
    """What came of one call to the gateway."""

    status: int
    body: Mapping[str, Any]
    operation_id: str | None
    charged: Decimal | None
    """Of the wallet's currency; None where nothing could have been charged."""
    available: Decimal | None
    """What was left in the wallet right after the call."""
    source: str | None
    """Who paid: `wallet`, `lead_magnet`, …"""

    @property
    def error_code(self) -> str | None:
        """The refusal's stable code."""
        error = self.body.get("error")
        return str(error["code"]) if isinstance(error, dict) else None


@dataclass(frozen=True, slots=True)
class WalletFigures:
    """The wallet as its card on the balance page shows it, exact."""

    available: Decimal
    paid: Decimal
    granted: Decimal
    held: Decimal
    debt: Decimal


class Customer:
    """One person at one site. Close it, or use it as a context manager."""

    def __init__(self, site: Site, login: Login, provider: ProviderRemote) -> None:
        self.site = site
        self.login = login
        self._provider = provider
        self._http = httpx.Client(verify=NO_TLS, base_url=site.url, timeout=_ANSWER_SECONDS_MAX, trust_env=False)
        self._csrf_token: str | None = None
        self._api_key: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the connection back."""
        self._http.close()

    def sign_in(self) -> None:
        """Opens a session; once is enough, every other method does it when it is needed."""
        if self._csrf_token is None:
            credentials = {"email": self.login.email, "password": self.login.password}
            answer = self._http.post("/api/v1/session", json=credentials)
            answer.raise_for_status()
            self._csrf_token = answer.json()["csrf_token"]

    def session_cookie(self) -> str:
        """The token with which a browser is this customer."""
        self.sign_in()
        return str(self._http.cookies[SESSION_COOKIE])

    def start_topup(self, amount: str, *, return_to: str | None = None, key: str | None = None) -> dict[str, Any]:
        """Begins a top-up and answers it as the API shows it, with its `payment_id` and `confirmation_url`."""
        body = {"amount": amount, "currency": "RUB", "return_to": return_to}
        return self._post("/api/v1/billing/topups", body, {"Idempotency-Key": key or secrets.token_hex(16)})

    def top_up(self, amount: str = "500.00") -> str:
        """Tops up as fast as it can be done: pays at the provider and has the payment reconciled; answers its id."""
        topup = self.start_topup(amount)
        self._provider.pay_at(topup["confirmation_url"])
        done = self.reconcile(topup["payment_id"])
        assert done["status"] == "succeeded", f"the top-up is {done['status']}"
        return str(topup["payment_id"])

    def reconcile(self, payment_id: str) -> dict[str, Any]:
        """Has the product ask the provider about this payment; answers it."""
        return self._post(f"/api/v1/billing/topups/{payment_id}/reconcile", None, {})

    def topup(self, payment_id: str) -> dict[str, Any]:
        """The payment as the product's books have it."""
        return self._get(f"/api/v1/billing/topups/{payment_id}")

    def api_key(self) -> str:
        """The customer's API key, made when it is first needed."""
        if self._api_key is None:
            self._api_key = str(self._post("/api/v1/api-keys", {"name": "rehearsal"}, {})["secret"])
        return self._api_key

    def call(
        self, model: str = "demo-small", prompt: str = "Hello", *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> CallOutcome:
        """Calls the gateway with the customer's API key; `more` are further members of the request."""
        request = {"model": model, "messages": [{"role": "user", "content": prompt}], **more}
        sent = {"Authorization": f"Bearer {self.api_key()}", **(headers or {})}
        answer = self._http.post("/v1/chat/completions", json=request, headers=sent)
        told = answer.headers
        return CallOutcome(
            status=answer.status_code,
            body=answer.json(),
            operation_id=told.get("X-Billing-Operation"),
            charged=_decimal(told.get("X-Billing-Charged")),
            available=_decimal(told.get("X-Billing-Balance")),
            source=told.get("X-Billing-Source"),
        )

    def stream(
        self, model: str = "demo-small", prompt: str = "Hello", **more: Any
    ) -> AbstractContextManager[httpx.Response]:
        """A streamed call with the customer's API key, open as long as the block; it ends with its usage and cost."""
        messages = [{"role": "user", "content": prompt}]
        options = {"stream": True, "stream_options": {"include_usage": True}}
        return self._http.stream(
            "POST",
            "/v1/chat/completions",
            json={"model": model, "messages": messages, **options, **more},
            headers={"Authorization": f"Bearer {self.api_key()}"},
        )

    def use(
        self, upstream: ModelRemote, *, model: str = "demo-small", input_tokens: int = 10, output_tokens: int = 10
    ) -> CallOutcome:
        """Calls the gateway, and has the provider count exactly so many tokens; nobody else may call meanwhile."""
        total = input_tokens + output_tokens
        usage = {"prompt_tokens": input_tokens, "completion_tokens": output_tokens, "total_tokens": total}
        upstream.plan(Fault(kind=FaultKind.ALTERED, operation="create_chat_completion", changes={"usage": usage}))
        return self.call(model)

    def spend_free_limits(self, upstream: ModelRemote, *, model: str = "demo-free") -> None:
        """Uses up everything that is free in this cycle."""
        left = {metric["metric"]: int(metric["left"]) for metric in self.free_limits()["metrics"]}
        done = self.use(upstream, model=model, input_tokens=left["input_tokens"], output_tokens=left["output_tokens"])
        assert done.source == "lead_magnet", f"the call was answered {done.status} and paid by {done.source}"

    def wallet(self) -> WalletFigures:
        """The wallet's figures, read from the card that people see."""
        self.sign_in()
        answer = self._http.get("/billing/balance/cards/balance")
        answer.raise_for_status()
        card = _Definitions()
        card.feed(answer.text)
        figures = {name: amount_in(card.texts[f"figure-{name}"]) for name in WalletFigures.__slots__}
        return WalletFigures(**figures)

    def available(self) -> Decimal:
        """What the wallet can still pay, as the API shows it."""
        return Decimal(self._get("/api/v1/billing/balance")["available"])

    def usage(self) -> list[dict[str, Any]]:
        """The record of the customer's usage, newest first, as the API shows it."""
        items = self._get("/api/v1/billing/usage")["items"]
        assert isinstance(items, list), "a page has items"
        return items

    def free_limits(self) -> dict[str, Any]:
        """What the customer may use for nothing, as the API shows it."""
        return self._get("/api/v1/billing/free-limits")

    def _get(self, path: str) -> dict[str, Any]:
        self.sign_in()
        return _object_in(self._http.get(path))

    def _post(self, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> dict[str, Any]:
        self.sign_in()
        assert self._csrf_token is not None, "signing in brings the token"
        return _object_in(self._http.post(path, json=body, headers={"X-CSRF-Token": self._csrf_token, **headers}))


def provider_payment_id(confirmation_url: str) -> str:
    """The provider's id of the payment that this page is for."""
    return parse_qs(urlsplit(confirmation_url).query)["orderId"][0]


def amount_in(text: str) -> Decimal:
    """The number in an amount as English pages show it, such as "RUB 1,000.50"."""
    digits = re.sub(r"[^\d.\N{MINUS SIGN}-]", "", text).replace("\N{MINUS SIGN}", "-")
    return Decimal(digits)


class _Definitions(HTMLParser):
    """The texts of `<dd aria-labelledby=…>`, by the id of what labels them."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: dict[str, str] = {}
        self._label: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._label = dict(attrs).get("aria-labelledby") if tag == "dd" else None

    def handle_data(self, data: str) -> None:
        if self._label is not None:
            self.texts[self._label] = self.texts.get(self._label, "") + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "dd":
            self._label = None


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _object_in(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    body = answer.json()
    assert isinstance(body, dict), "the API answers objects"
    return body
