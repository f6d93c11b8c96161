"""Refusals of the API, in the provider's error shape.

ApiRefusal
├── InvalidRequest          400  wrong or unknown parameters, or a step that the object's state does not allow
│   ├── NotFound            404  there is no such object or address
│   └── MethodNotAllowed    405
├── IdempotencyConflict     400  a key that was used with other parameters
├── InvalidKey              401
└── CardRefused             402  the customer's bank says no
"""

from typing import Any


class ApiRefusal(Exception):
    """The API says no; `parameter` names what is to blame, `more` are further members of the error."""

    status = 400
    kind = "invalid_request_error"
    code: str | None = None

    def __init__(
        self,
        message: str,
        *,
        parameter: str | None = None,
        code: str | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.parameter = parameter
        self.code = code or self.code
        self.more = more or {}

    def as_json(self) -> dict[str, Any]:
        """The body of the answer."""
        named = {"code": self.code, "param": self.parameter}
        found = {name: value for name, value in named.items() if value is not None}
        return {"error": {"type": self.kind, "message": self.message, **found, **self.more}}


class InvalidRequest(ApiRefusal):
    """The request is malformed or breaks the logic of payments."""


class NotFound(InvalidRequest):
    """There is no such object or address."""

    status = 404
    code = "resource_missing"


class MethodNotAllowed(InvalidRequest):
    """The address exists, but not with this method."""

    status = 405


class IdempotencyConflict(ApiRefusal):
    """The key was used before, and for something else."""

    kind = "idempotency_error"


class InvalidKey(ApiRefusal):
    """The secret key is wrong or missing."""

    status = 401


class CardRefused(ApiRefusal):
    """The bank refuses; `more` holds the payment intent, which stays behind."""

    status = 402
    kind = "card_error"


def planned_error_json(status: int) -> dict[str, Any]:
    """The body of an error that was planned as a fault."""
    kind = "api_error" if status >= 500 else "invalid_request_error"  # noqa: PLR2004 - the classes of HTTP
    code = {"code": "rate_limit"} if status == 429 else {}  # noqa: PLR2004 - the same
    return {"error": {"type": kind, "message": "Planned by the simulator's fault plan", **code}}
