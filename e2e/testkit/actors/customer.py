"""A customer who uses the API like anybody else: signs in, tops up, calls models, looks at the wallet."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx

from testkit.actors.wallet_card import WalletFigures
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

    def start_topup(
        self, amount: str, *, return_to: str | None = None, key: str | None = None, saves_method: bool = False
    ) -> dict[str, Any]:
        """Begins a top-up and answers it as the API shows it, with its `payment_id` and `confirmation_url`."""
        body = {"amount": amount, "currency": "RUB", "return_to": return_to, "saves_method": saves_method}
        return self._post("/api/v1/billing/topups", body, {"Idempotency-Key": key or secrets.token_hex(16)})

    def top_up(self, amount: str = "500.00", *, saves_method: bool = False) -> str:
        """Tops up as fast as it can be done: pays at the provider and has the payment reconciled; answers its id."""
        topup = self.start_topup(amount, saves_method=saves_method)
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

    def saved_methods(self) -> list[dict[str, Any]]:
        """What the customer has let the provider keep, newest first."""
        return _items_of(self._get("/api/v1/billing/payment-methods"))

    def agree_to_auto_topup(self, *, threshold: str, amount: str, monthly_limit: str) -> dict[str, Any]:
        """Has the wallet top itself up with what was saved last; answers the automatic top-up as the API shows it."""
        terms = {"threshold": threshold, "amount": amount, "monthly_limit": monthly_limit, "currency": "RUB"}
        body = {**terms, "method_id": self.saved_methods()[0]["id"], "consent": True}
        return self._send("PUT", "/api/v1/billing/auto-topup", body)

    def auto_topup(self) -> dict[str, Any]:
        """The automatic top-up as the API shows it."""
        return self._get("/api/v1/billing/auto-topup")

    def plans(self) -> httpx.Response:
        """What is answered to the question which plans there are."""
        self.sign_in()
        return self._http.get("/api/v1/billing/plans")

    def buy_plan(self, code: str, *, renews: bool = False) -> dict[str, Any]:
        """Begins the payment for one period on the provider's page; answers it with its `confirmation_url`."""
        body = {"plan": code, "renews": renews}
        return self._post("/api/v1/billing/subscription", body, {"Idempotency-Key": secrets.token_hex(16)})

    def reconcile_plan(self, payment_id: str) -> dict[str, Any]:
        """Has the product ask the provider about this payment for a plan; answers it."""
        return self._post(f"/api/v1/billing/subscription/payments/{payment_id}/reconcile", None, {})

    def subscription(self) -> dict[str, Any]:
        """What is paid, and what becomes of it."""
        return self._get("/api/v1/billing/subscription")

    def cancel_plan(self, when: str) -> dict[str, Any]:
        """Ends the plan `now` or at `period_end`; answers what is paid, and what becomes of it."""
        return self._post("/api/v1/billing/subscription/cancel", {"when": when}, {})

    def resume_plan(self) -> dict[str, Any]:
        """Lets the plan renew itself again, with the method that it had."""
        return self._post("/api/v1/billing/subscription/resume", {}, {})

    def quote(self, model: str, prompt: str = "Hello") -> Decimal:
        """What a chat call would cost at most."""
        request = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": 1000}
        answer = self._http.post(
            "/v1/billing/quote",
            json={"route": "chat/completions", "request": request},
            headers={"Authorization": f"Bearer {self.api_key()}"},
        )
        return Decimal(_object_in(answer)["at_most"]["amount"])

    def receive_webhooks_at(self, url: str, *event_types: str) -> str:
        """Has the product tell this address of these events; answers the secret that its messages are signed with."""
        body = {"url": url, "event_types": list(event_types)}
        return str(self._post("/api/v1/billing/webhook-endpoints", body, {})["secret"])

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
        return WalletFigures.read(answer.text)

    def available(self) -> Decimal:
        """What the wallet can still pay, as the API shows it."""
        return Decimal(self._get("/api/v1/billing/balance")["available"])

    def usage(self) -> list[dict[str, Any]]:
        """The record of the customer's usage, newest first, as the API shows it."""
        return _items_of(self._get("/api/v1/billing/usage"))

    def free_limits(self) -> dict[str, Any]:
        """What the customer may use for nothing, as the API shows it."""
        return self._get("/api/v1/billing/free-limits")

    def _get(self, path: str) -> dict[str, Any]:
        self.sign_in()
        return _object_in(self._http.get(path))

    def _post(self, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> dict[str, Any]:
        return self._send("POST", path, body, headers)

    def _send(
        self, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        self.sign_in()
        assert self._csrf_token is not None, "signing in brings the token"
        sent = {"X-CSRF-Token": self._csrf_token, **(headers or {})}
        return _object_in(self._http.request(method, path, json=body, headers=sent))


def provider_payment_id(confirmation_url: str) -> str:
    """The provider's id of the payment that this page is for."""
    return parse_qs(urlsplit(confirmation_url).query)["orderId"][0]


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _object_in(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    body = answer.json()
    assert isinstance(body, dict), "the API answers objects"
    return body


def _items_of(page: dict[str, Any]) -> list[dict[str, Any]]:
    items = page["items"]
    assert isinstance(items, list), "a page has items"
    return items
