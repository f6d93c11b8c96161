"""The provider's API v1 over HTTP: forms in, JSON out."""

import hmac
import json
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from testkit.simulators.stripe.books import Books, Kind
from testkit.simulators.stripe.forms import nested
from testkit.simulators.stripe.idempotency import HEADER, IdempotencyKeys
from testkit.simulators.stripe.objects import Customer, Dispute, Intent, PaymentMethod, Refund, Session, expanded
from testkit.simulators.stripe.payments import Payments
from testkit.simulators.stripe.refusals import ApiRefusal, InvalidKey, InvalidRequest, MethodNotAllowed, NotFound
from testkit.simulators.stripe.requests import (
    expansions_from,
    intent_from,
    list_query_from,
    metadata_from,
    refund_from,
    refuse_unknown,
    session_from,
    text,
    whole,
)
from testkit.simulators.stripe.reversals import Reversals

_FORM = "application/x-www-form-urlencoded"
_TEXT_MAX = 1000

_LISTS: dict[str, tuple[type[Any], frozenset[str]]] = {
    "customers": (Customer, frozenset({"email"})),
    "checkout/sessions": (Session, frozenset({"customer", "payment_intent", "status"})),
    "payment_intents": (Intent, frozenset({"customer"})),
    "payment_methods": (PaymentMethod, frozenset({"customer", "type"})),
    "refunds": (Refund, frozenset({"charge", "payment_intent"})),
    "disputes": (Dispute, frozenset({"charge", "payment_intent"})),
}
"""Every kind that is listed, and by which members it can be asked for."""


class Counter:
    """Where accounts are served: checks who asks, reads what they want, and answers once per idempotency key."""

    def __init__(self, books: Books, keys: IdempotencyKeys, *, secret_key: str) -> None:
        self.books = books
        self._keys = keys
        self._expected_authorization = f"Bearer {secret_key}".encode()

    def read(self, request: Request, look: Callable[[dict[str, Any]], dict[str, Any]]) -> JSONResponse:
        """Answers a GET; `look` gets the query's members.

        Raises:
            ApiRefusal: whatever the provider would refuse.
        """
        self._check_key(request)
        query = nested(request.query_params.multi_items())
        paths = expansions_from(query)
        return self._answer(expanded(look(query), paths, self.books.find))

    async def write(self, request: Request, act: Callable[[dict[str, Any]], dict[str, Any]]) -> JSONResponse:
        """Carries out a POST; `act` gets the body's members.

        Raises:
            ApiRefusal: whatever the provider would refuse.
        """
        self._check_key(request)
        body = nested(await _form(request))
        fingerprint = json.dumps([request.url.path, body], sort_keys=True)
        paths = expansions_from(body)

        def once() -> dict[str, Any]:
            return expanded(act(body), paths, self.books.find)

        answer, is_repeated = self._keys.once(request.headers.get(HEADER), fingerprint, once)
        return self._answer(answer, {"Idempotent-Replayed": "true"} if is_repeated else {})

    def _answer(self, body: dict[str, Any], headers: dict[str, str] | None = None) -> JSONResponse:
        return JSONResponse(body, headers={"Request-Id": self.books.new_id("req"), **(headers or {})})

    def _check_key(self, request: Request) -> None:
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._expected_authorization):
            raise InvalidKey("Invalid API Key provided")


def create_api(counter: Counter, payments: Payments, reversals: Reversals, *, public_url: str | None) -> FastAPI:
    """The API without its `/v1`; payment pages lie under `public_url`, or where the caller addressed us."""
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_error_shapes(api)
    _add_sessions(api, counter, payments, public_url)
    _add_intents(api, counter, payments)
    _add_refunds(api, counter, reversals)
    _add_customers(api, counter, payments)
    for path, (kind, may_equal) in _LISTS.items():
        _add_reading(api, counter, path, kind, may_equal)

    @api.get("/account")
    async def get_account(request: Request) -> JSONResponse:
        account = {"id": counter.books.account_id, "object": "account", "country": "US", "charges_enabled": True}
        return counter.read(request, lambda _: account)

    return api


def name_operation(method: str, path: str) -> str:
    """The name of a call for faults and the call log: `create_session`, `get_intent`, `list_refunds`, ..."""
    plurals = {"payment_intents": "intents", "payment_methods": "methods"}
    steps = path.removeprefix("/v1/").replace("checkout/", "", 1).strip("/").split("/")
    kinds = plurals.get(steps[0], steps[0])
    match (method, *steps[1:]):
        case ("GET",) if kinds == "account":
            return "get_account"
        case ("POST",):
            return f"create_{kinds.removesuffix('s')}"
        case ("GET",):
            return f"list_{kinds}"
        case ("GET", _):
            return f"get_{kinds.removesuffix('s')}"
        case ("POST", _, step):
            return f"{step}_{kinds.removesuffix('s')}"
        case _:
            return "unknown"


def _add_reading(api: FastAPI, counter: Counter, path: str, kind: type[Kind], may_equal: frozenset[str]) -> None:
    @api.get(f"/{path}")
    async def read_list(request: Request) -> JSONResponse:
        return counter.read(
            request,
            lambda query: counter.books.page(kind, list_query_from(query, may_equal=may_equal), url=f"/v1/{path}"),
        )

    @api.get(f"/{path}/{{object_id}}")
    async def read_one(request: Request, object_id: str) -> JSONResponse:
        return counter.read(request, lambda _: counter.books.get(kind, object_id).as_json())


def _add_sessions(api: FastAPI, counter: Counter, payments: Payments, public_url: str | None) -> None:
    @api.post("/checkout/sessions")
    async def create_session(request: Request) -> JSONResponse:
        base = public_url or f"{request.url.scheme}://{request.url.netloc}"

        def act(body: dict[str, Any]) -> dict[str, Any]:
            asked = session_from(body, now=counter.books.now())
            return payments.create_session(asked, public_url=base).as_json()

        return await counter.write(request, act)

    @api.post("/checkout/sessions/{session_id}/expire")
    async def expire_session(request: Request, session_id: str) -> JSONResponse:
        return await counter.write(request, lambda _: payments.expire(session_id).as_json())


def _add_intents(api: FastAPI, counter: Counter, payments: Payments) -> None:
    @api.post("/payment_intents")
    async def create_intent(request: Request) -> JSONResponse:
        return await counter.write(request, lambda body: payments.create_intent(intent_from(body)).as_json())

    @api.post("/payment_intents/{intent_id}/confirm")
    async def confirm_intent(request: Request, intent_id: str) -> JSONResponse:
        def act(body: dict[str, Any]) -> dict[str, Any]:
            refuse_unknown(body, frozenset({"payment_method", "return_url"}))
            return payments.confirm(intent_id, text(body, "payment_method", _TEXT_MAX)).as_json()

        return await counter.write(request, act)

    @api.post("/payment_intents/{intent_id}/capture")
    async def capture_intent(request: Request, intent_id: str) -> JSONResponse:
        def act(body: dict[str, Any]) -> dict[str, Any]:
            refuse_unknown(body, frozenset({"amount_to_capture"}))
            amount = whole(body, "amount_to_capture") if "amount_to_capture" in body else None
            return payments.capture(intent_id, amount).as_json()

        return await counter.write(request, act)

    @api.post("/payment_intents/{intent_id}/cancel")
    async def cancel_intent(request: Request, intent_id: str) -> JSONResponse:
        def act(body: dict[str, Any]) -> dict[str, Any]:
            refuse_unknown(body, frozenset({"cancellation_reason"}))
            return payments.cancel(intent_id, text(body, "cancellation_reason", _TEXT_MAX)).as_json()

        return await counter.write(request, act)


def _add_refunds(api: FastAPI, counter: Counter, reversals: Reversals) -> None:
    @api.post("/refunds")
    async def create_refund(request: Request) -> JSONResponse:
        return await counter.write(request, lambda body: reversals.refund(refund_from(body)).as_json())


def _add_customers(api: FastAPI, counter: Counter, payments: Payments) -> None:
    @api.post("/customers")
    async def create_customer(request: Request) -> JSONResponse:
        def act(body: dict[str, Any]) -> dict[str, Any]:
            refuse_unknown(body, frozenset({"email", "name", "metadata"}))
            return payments.create_customer(
                email=text(body, "email", _TEXT_MAX), name=text(body, "name", _TEXT_MAX), metadata=metadata_from(body)
            ).as_json()

        return await counter.write(request, act)


def _add_error_shapes(api: FastAPI) -> None:
    @api.exception_handler(ApiRefusal)
    async def refused(_: Request, refusal: ApiRefusal) -> JSONResponse:
        return JSONResponse(refusal.as_json(), status_code=refusal.status)

    @api.exception_handler(HTTPException)
    async def unknown_address(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == MethodNotAllowed.status:
            return await refused(request, MethodNotAllowed("This address takes another method"))
        return await refused(request, NotFound("Unrecognized request URL", code="url_invalid"))


async def _form(request: Request) -> list[tuple[str, str]]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in {"", _FORM}:
        raise InvalidRequest(f"Must be {_FORM}", parameter="Content-Type")
    if not await request.body():
        return []
    async with request.form() as form:
        return [(name, str(value)) for name, value in form.multi_items()]
