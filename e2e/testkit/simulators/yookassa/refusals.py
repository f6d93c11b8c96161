"""Refusals of the API, in the provider's error shape.

ApiRefusal
├── InvalidRequest       400  wrong syntax, or a step that the object's state does not allow
├── InvalidCredentials   401
├── NotFound             404
├── MethodNotAllowed     405
└── WrongContentType     415
"""

from typing import Any


class ApiRefusal(Exception):
    """The API says no; `parameter` names the header or member of the body that is to blame."""

    status = 400
    code = "invalid_request"

    def __init__(self, description: str, *, parameter: str | None = None) -> None:
        super().__init__(description)
        self.description = description
        self.parameter = parameter


class InvalidRequest(ApiRefusal):
    """The request is malformed or breaks the logic of payments."""


class InvalidCredentials(ApiRefusal):
    """Shop id or secret key are wrong or missing."""

    status = 401
    code = "invalid_credentials"


class NotFound(ApiRefusal):
    """There is no such object or address."""

    status = 404
    code = "not_found"


class MethodNotAllowed(ApiRefusal):
    """The address exists, but not with this method."""

    status = 405


class WrongContentType(ApiRefusal):
    """A POST that is not JSON."""

    status = 415


_CODES = {429: "too_many_requests", 500: "internal_server_error"}


def error_json(error_id: str, code: str, description: str, parameter: str | None = None) -> dict[str, Any]:
    """An error body as the provider writes it; `parameter` appears only where there is one."""
    body = {"type": "error", "id": error_id, "code": code, "description": description}
    return body if parameter is None else body | {"parameter": parameter}


def planned_error_json(error_id: str, status: int) -> dict[str, Any]:
    """The body of an error that was planned as a fault."""
    return error_json(error_id, _CODES.get(status, "internal_server_error"), "Planned by the simulator's fault plan")
