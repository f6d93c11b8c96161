"""The provider's errors, in its shape."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

_TYPES = {429: "rate_limit_error", 500: "server_error", 502: "server_error", 503: "server_error", 504: "server_error"}
_TYPE = "invalid_request_error"
_PLANNED = {429: "Rate limit reached for requests.", 503: "The engine is currently overloaded."}
_RATE_LIMITED = 429


class ApiError(Exception):
    """The provider refuses."""

    def __init__(self, status: int, message: str, *, code: str | None = None, parameter: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, message, code=code, parameter=parameter)


def error_body(status: int, message: str, *, code: str | None = None, parameter: str | None = None) -> dict[str, Any]:
    """An error as the provider writes it."""
    return {"error": {"message": message, "type": _TYPES.get(status, _TYPE), "param": parameter, "code": code}}


def planned_error(status: int) -> dict[str, Any]:
    """The error of a planned fault."""
    code = "rate_limit_exceeded" if status == _RATE_LIMITED else None
    return error_body(status, _PLANNED.get(status, "The server had an error."), code=code)


def unsupported(parameter: str, sentence: str) -> ApiError:
    """What the real API takes and this simulator does not: refused rather than ignored."""
    return ApiError(400, sentence, code="unsupported_value", parameter=parameter)


def add_error_shapes(api: FastAPI) -> None:
    """Lets every error leave in the provider's shape."""

    @api.exception_handler(ApiError)
    async def own_error(_: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body, status_code=error.status)

    @api.exception_handler(HTTPException)
    async def unknown_address(request: Request, error: HTTPException) -> JSONResponse:
        message = f"Invalid URL ({request.method} {request.url.path})"
        return JSONResponse(error_body(error.status_code, message), status_code=error.status_code)

    @api.exception_handler(ValidationError)
    async def bad_request(_: Request, error: ValidationError) -> JSONResponse:
        first = error.errors()[0]
        parameter = ".".join(str(part) for part in first["loc"])
        body = error_body(400, f"Invalid value for '{parameter}': {first['msg']}", parameter=parameter)
        return JSONResponse(body, status_code=400)
