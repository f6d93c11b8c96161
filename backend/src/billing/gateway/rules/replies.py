"""What a provider's reply is: a completion, a refusal that may be passed on without its secrets, or neither."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import UpstreamBroken
from billing.gateway.rules.routes import ModelRoute

_OK = 200
_ERRORS_FROM = 400
_UNAUTHORIZED = 401
_BAD_GATEWAY = 502
_MESSAGE_LENGTH_MAX = 500
_WORD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}", re.ASCII)
_HIDDEN = "[hidden]"
# Keys, bearer tokens, addresses, e-mails, organisation and project ids, and anything else that looks like a secret.
_SECRETS = re.compile(
    r"""
    \bBearer\s+\S+
    | \b[a-z][a-z0-9+.-]*://\S+
    | \S+@\S+\.\S+
    | \b(?:sk|pk|rk|bk|key|org|proj|acct|user|req)[-_][A-Za-z0-9*_-]{4,}
    | \b\d{1,3}(?:\.\d{1,3}){3}\b
    | \b(?=[A-Za-z_*-]*\d)[A-Za-z0-9_*-]{24,}
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class UpstreamReply:
    """A whole answer of a provider, whatever it says."""

    status: int
    body: bytes
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer that can be delivered: as an object, and as the very bytes, so that nothing is charged and then stuck.

    `model_used` is what the provider calls the model that answered; the client reads the public name.
    """

    body: Mapping[str, Any]
    content: bytes
    model_used: str


@dataclass(frozen=True, slots=True)
class ProviderRefusal:
    """The provider said no: with which status, and what of it the client may read."""

    status: int
    body: dict[str, Any]
    retry_after_seconds: int | None


def read_reply(reply: UpstreamReply, route: ModelRoute) -> Completion | ProviderRefusal:
    """The completion under the model's public name, or the provider's refusal.

    Raises:
        UpstreamBroken: it claims success without a completion, or is no answer of an API at all.
    """
    if reply.status >= _ERRORS_FROM:
        return _refusal(reply, route)
    completion = _json_object(reply.body)
    choices = completion.get("choices") if completion else None
    if reply.status != _OK or completion is None or not (isinstance(choices, list) and choices):
        raise UpstreamBroken
    if not all(isinstance(choice, dict) for choice in choices):
        raise UpstreamBroken
    told = completion.get("model")
    body = {**completion, "model": route.model}
    return Completion(body, _rendered(body), told if isinstance(told, str) else route.upstream_model)


def scrubbed(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without what looks like a secret or points at somebody, and not longer than a few sentences."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return _SECRETS.sub(_HIDDEN, text)[:_MESSAGE_LENGTH_MAX]


def _refusal(reply: UpstreamReply, route: ModelRoute) -> ProviderRefusal:
    body = _json_object(reply.body) or {}
    told = body.get("error")
    error: Mapping[str, Any] = told if isinstance(told, dict) else {}
    message = error.get("message")
    secrets = (route.api_key.get_secret_value(), route.base_url, route.upstream_model)
    shown = message if isinstance(message, str) and message else f"The model provider answered {reply.status}."
    if reply.status == _UNAUTHORIZED:
        # It is our key that the provider refuses; the client would look for the fault in its own.
        error, shown = {}, "The model provider does not accept our credentials."
    return ProviderRefusal(
        status=_BAD_GATEWAY if reply.status == _UNAUTHORIZED else reply.status,
        body={
            "error": {
                "message": scrubbed(shown, secrets),
                "type": _word(error.get("type"), secrets) or "provider_error",
                "param": _word(error.get("param"), secrets),
                "code": _word(error.get("code"), secrets) or "provider_error",
            },
        },
        retry_after_seconds=reply.retry_after_seconds,
    )


def _word(value: object, secrets: tuple[str, ...]) -> str | None:
    """A short plain word, which programs compare; anything else a provider puts there is left out."""
    is_word = isinstance(value, str) and _WORD.fullmatch(value) is not None
    return str(value) if is_word and scrubbed(str(value), secrets) == value else None


def _rendered(body: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise UpstreamBroken from error


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
