"""Reads members of JSON objects that strangers sent, and writes JSON that every stranger can read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from billing.gateway.errors import UpstreamBroken
from billing.kit.errors import InvalidInput

NAME_LENGTH_MAX = 200


def request_object(body: bytes) -> dict[str, Any]:
    """The client's JSON object.

    Raises:
        InvalidInput: it is none; numbers that JSON does not have are refused too.
    """
    try:
        fields = json.loads(body, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        raise InvalidInput("body", "The body is not a JSON object.")
    return fields


def reply_object(body: bytes | str) -> dict[str, Any] | None:
    """The provider's JSON object, or None where it sent something else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def rendered_request(fields: Mapping[str, Any]) -> bytes:
    """The object as the provider gets it: our reading of it, so that both sides read the same.

    Raises:
        InvalidInput: it is nested too deeply.
    """
    try:
        return json.dumps(fields, separators=(",", ":")).encode()
    except RecursionError as error:
        raise InvalidInput("body", "The body is nested too deeply.") from error


def rendered_reply(body: Mapping[str, Any]) -> bytes:
    """The object as the client gets it.

    Raises:
        UpstreamBroken: it holds numbers that JSON does not have, or is nested too deeply.
    """
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise UpstreamBroken from error


def byte_count(value: object) -> int:
    """How many bytes of UTF-8 the value is as JSON: an upper bound of the tokens in it, since no token is less.

    Raises:
        InvalidInput: it is nested too deeply.
    """
    try:
        return len(json.dumps(value, ensure_ascii=False).encode(errors="surrogatepass"))
    except RecursionError as error:
        raise InvalidInput("body", "The body is nested too deeply.") from error


def name_of(fields: Mapping[str, Any], name: str = "model") -> str:
    """A short text that has to be there, like a model's name.

    Raises:
        InvalidInput: it is missing, no text, or of a length that no name has.
    """
    value = fields.get(name)
    if not (isinstance(value, str) and 1 <= len(value) <= NAME_LENGTH_MAX):
        raise InvalidInput(name, f"`{name}` is a text of 1 to {NAME_LENGTH_MAX} characters.")
    return value


def flag_of(fields: Mapping[str, Any], name: str) -> bool:
    """A yes or no; absent and null are no.

    Raises:
        InvalidInput: it is something else.
    """
    value = fields.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(name, f"`{name}` is true or false.")
    return bool(value)


def positive_of(fields: Mapping[str, Any], name: str) -> int | None:
    """A whole number from 1 on, or None where it is absent or null.

    Raises:
        InvalidInput: it is something else.
    """
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(name, f"`{name}` is a whole number from 1 on.")
    return value


def object_of(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object; absent and null are the empty one.

    Raises:
        InvalidInput: it is something else.
    """
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(name, f"`{name}` is an object.")
    return value


def _refuse_constant(name: str) -> None:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = "the number is too large"
        raise ValueError(message)
    return number
