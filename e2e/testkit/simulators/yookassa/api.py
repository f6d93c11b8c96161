"""The provider's API v3 over HTTP."""

import hmac
import json
from base64 import b64encode
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from testkit.simulators.yookassa.idempotence import HEADER, Answer, IdempotenceKeys
from testkit.simulators.yookassa.lists import list_query_from
from testkit.simulators.yookassa.refusals import (
    ApiRefusal,
    InvalidCredentials,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    WrongContentType,
    error_json,
)
from testkit.simulators.yookassa.requests import capture_amount_from, payment_from, refund_from
from testkit.simulators.yookassa.shop import Shop

_PAYMENT_FILTERS = frozenset({"status"})
_REFUND_FILTERS = frozenset({"payment_id", "status"})
_RECEIPT_FILTERS = frozenset({"payment_id", "refund_id", "status"})


class Counter:
    """Where shops are served: checks who asks, reads what they want, and answers once per idempotence key."""

    def __init__(self, shop: Shop, keys: IdempotenceKeys, *, secret_key: str, demands_receipts: bool) -> None:
        self.shop = shop
        self.demands_receipts = demands_receipts
        self._keys = keys
        pair = b64encode(f"{shop.id}:{secret_key}".encode())
        self._expected_authorization = b"Basic " + pair

    def check_credentials(self, request: Request) -> None:
        """Lets only the shop itself pass.

        Raises:
            InvalidCredentials: Basic authentication is missing or wrong.
        """
        given = request.headers.get("authorization", "").encode()
        if not hmac.compare_digest(given, self._expected_authorization):
            raise InvalidCredentials("Incorrect shop id or secret key", parameter="Authorization")

    async def write(self, request: Request, act: Callable[[dict[str, Any]], Answer]) -> dict[str, Any]:
        """Carries out a keyed POST; `act` gets the body and returns how to write the object.

        Raises:
            ApiRefusal: Whatever the provider would refuse.
        """
        self.check_credentials(request)
        body = await _json_object(request)
        fingerprint = json.dumps([request.url.path, body], sort_keys=True)
        return self._keys.once(request.headers.get(HEADER), fingerprint, lambda: act(body))


def create_api(counter: Counter, *, public_url: str | None) -> FastAPI:
    """The API without its `/v3`; payment pages lie under `public_url`, or where the caller addressed us."""
    api = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_error_shapes(api, counter.shop)
    _add_payments(api, counter, public_url)
    _add_refunds(api, counter)
    _add_receipts(api, counter)

    @api.get("/me")
    async def get_me(request: Request) -> dict[str, Any]:
        counter.check_credentials(request)
        return {
            "account_id": counter.shop.id,
            "status": "enabled",
            "test": counter.shop.is_test,
            "fiscalization": {"enabled": counter.demands_receipts},
            "fiscalization_enabled": counter.demands_receipts,
            "payment_methods": ["bank_card"],
        }

    return api


def name_operation(method: str, path: str) -> str:
    """The name of a call for faults and the call log: `create_payment`, `get_payment`, `capture_payment`, ..."""
    match (method, *path.strip("/").split("/")[1:]):
        case ("POST", ("payments" | "refunds") as kind):
            return f"create_{kind[:-1]}"
        case ("GET", ("payments" | "refunds" | "receipts") as kind):
            return f"list_{kind}"
        case ("GET", ("payments" | "refunds" | "receipts") as kind, _):
            return f"get_{kind[:-1]}"
        case ("POST", "payments", _, ("capture" | "cancel") as step):
            return f"{step}_payment"
        case ("GET", "me"):
            return "get_me"
        case _:
            return "unknown"


def _add_payments(api: FastAPI, counter: Counter, public_url: str | None) -> None:
    shop = counter.shop

    @api.post("/payments")
    async def create_payment(request: Request) -> dict[str, Any]:
        base = public_url or f"{request.url.scheme}://{request.url.netloc}"

        def act(body: dict[str, Any]) -> Answer:
            asked = payment_from(body, demands_receipts=counter.demands_receipts)
            return shop.create_payment(asked, public_url=base).as_json

        return await counter.write(request, act)

    @api.get("/payments")
    async def list_payments(request: Request) -> dict[str, Any]:
        counter.check_credentials(request)
        return shop.list_payments(list_query_from(request.query_params, may_equal=_PAYMENT_FILTERS))

    @api.get("/payments/{payment_id}")
    async def get_payment(request: Request, payment_id: str) -> dict[str, Any]:
        counter.check_credentials(request)
        return shop.payment(payment_id).as_json()

    @api.post("/payments/{payment_id}/capture")
    async def capture_payment(request: Request, payment_id: str) -> dict[str, Any]:
        return await counter.write(request, lambda body: shop.capture(payment_id, capture_amount_from(body)).as_json)

    @api.post("/payments/{payment_id}/cancel")
    async def cancel_payment(request: Request, payment_id: str) -> dict[str, Any]:
        return await counter.write(request, lambda _: shop.cancel(payment_id).as_json)


def _add_refunds(api: FastAPI, counter: Counter) -> None:
    shop = counter.shop

    @api.post("/refunds")
    async def create_refund(request: Request) -> dict[str, Any]:
        def act(body: dict[str, Any]) -> Answer:
            return shop.refund(refund_from(body, demands_receipts=counter.demands_receipts)).as_json

        return await counter.write(request, act)

    @api.get("/refunds")
    async def list_refunds(request: Request) -> dict[str, Any]:
        counter.check_credentials(request)
        return shop.refunds.listed(list_query_from(request.query_params, may_equal=_REFUND_FILTERS))

    @api.get("/refunds/{refund_id}")
    async def get_refund(request: Request, refund_id: str) -> dict[str, Any]:
        counter.check_credentials(request)
        return shop.refunds.of_id(refund_id).as_json()


def _add_receipts(api: FastAPI, counter: Counter) -> None:
    receipts = counter.shop.receipts

    @api.get("/receipts")
    async def list_receipts(request: Request) -> dict[str, Any]:
        counter.check_credentials(request)
        return receipts.listed(list_query_from(request.query_params, may_equal=_RECEIPT_FILTERS))

    @api.get("/receipts/{receipt_id}")
    async def get_receipt(request: Request, receipt_id: str) -> dict[str, Any]:
        counter.check_credentials(request)
        return receipts.of_id(receipt_id).as_json()


def _add_error_shapes(api: FastAPI, shop: Shop) -> None:
    def as_answer(refusal: ApiRefusal) -> JSONResponse:
        body = error_json(shop.new_error_id(), refusal.code, refusal.description, refusal.parameter)
        return JSONResponse(body, status_code=refusal.status)

    @api.exception_handler(ApiRefusal)
    async def refused(_: Request, refusal: ApiRefusal) -> JSONResponse:
        return as_answer(refusal)

    @api.exception_handler(HTTPException)
    async def unknown_address(_: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == MethodNotAllowed.status:
            return as_answer(MethodNotAllowed("This address takes another method"))
        return as_answer(NotFound("There is nothing at this address"))


async def _json_object(request: Request) -> dict[str, Any]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise WrongContentType("Must be application/json", parameter="Content-Type")
    raw = await request.body()
    if not raw:
        return {}
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise InvalidRequest("The body is not a JSON object")
    return body
