"""A refusal in OpenAI's shape: our code and our facts inside, and nobody else's words."""

from __future__ import annotations

from typing import Any

from billing.kit.errors import BillingError


def openai_error(error: BillingError, kind: str = "server_error") -> dict[str, Any]:
    """The refusal as the official client reads it; `kind` is OpenAI's own coarse word for it."""
    facts = dict(error.facts)
    param = facts.pop("param", facts.pop("field", None))
    return {"error": {**facts, "message": error.sentence, "type": kind, "param": param, "code": error.code}}


def why_refused(refusal: BillingError) -> dict[str, Any]:
    """The refusal inside another answer, such as a quote or the end of a stream: code, sentence and facts."""
    return {**refusal.facts, "message": refusal.sentence, "code": refusal.code}
