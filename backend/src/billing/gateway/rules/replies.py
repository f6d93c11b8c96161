"""A provider's whole answer, and what of its refusals a client may read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billing.gateway.rules.json_fields import reply_object

ERRORS_FROM = 400
_BAD_GATEWAY = 502
# What a provider says to us about us: our key, our bill, our rights. The client would look for the fault in its own.
_OUR_OWN_TROUBLE = {
    401: "The model provider does not accept our credentials.",
    402: "The model provider has a question about our account.",
    403: "The model provider does not let us do this.",
}
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
    content_type: str = "application/json"
    retry_after_seconds: int | None = None


@dataclass(frozen=True, slots=True)
class ProviderRefusal:
    """The provider said no: with which status, and what of it the client may read."""

    status: int
    body: dict[str, Any]
    retry_after_seconds: int | None


def read_refusal(reply: UpstreamReply, secrets: tuple[str, ...]) -> ProviderRefusal:
    """The refusal (a status from 400 on) as the client may read it: nothing secret, and no trouble of ours."""
    body = reply_object(reply.body) or {}
    told = body.get("error")
    error: Mapping[str, Any] = told if isinstance(told, dict) else {}
    message = error.get("message")
    shown = message if isinstance(message, str) and message else f"The model provider answered {reply.status}."
    status = reply.status
    if status in _OUR_OWN_TROUBLE:
        error, shown, status = {}, _OUR_OWN_TROUBLE[status], _BAD_GATEWAY
    return ProviderRefusal(
        status=status,
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


def scrubbed(text: str, secrets: tuple[str, ...] = ()) -> str:
    """The text without what looks like a secret or points at somebody, and not longer than a few sentences."""
    for secret in secrets:
        text = text.replace(secret, _HIDDEN)
    return _SECRETS.sub(_HIDDEN, text)[:_MESSAGE_LENGTH_MAX]


def _word(value: object, secrets: tuple[str, ...]) -> str | None:
    """A short plain word, which programs compare; anything else a provider puts there is left out."""
    is_word = isinstance(value, str) and _WORD.fullmatch(value) is not None
    return str(value) if is_word and scrubbed(str(value), secrets) == value else None
