"""One prompt through the same door as every paid call, and what the customer is told about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from billing.customers.rules import Principal
from billing.gateway.calls import Answer
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming
from billing.gateway.service import GatewayService
from billing.kit.errors import BillingError
from billing.kit.public_address import app_path_or
from billing.pages.errors import PromptMissing, PromptTooLong, ProviderRefusedCall
from billing.pages.views import AnswerView, BlockedView, OutcomeView
from billing.pricing.rules import Modality
from billing.usage.rules import BillingSource
from billing.wallets.errors import InsufficientFunds

PROMPT_LENGTH_MAX = 8000
_REFUSALS_FROM = 400


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a prompt; `refusal` is there exactly when there is no answer."""

    view: OutcomeView
    refusal: BillingError | None


class PlaygroundService:
    """A small chat against the gateway: no state, no door of its own (G12)."""

    def __init__(self, gateway: GatewayService) -> None:
        self._gateway = gateway

    async def models(self) -> tuple[str, ...]:
        """The models that one can talk to now, by name.

        Raises:
            BillingUnavailable: the books cannot be reached.
        """
        on_offer = await self._gateway.price_list()
        return tuple(snapshot.model for snapshot in on_offer if snapshot.modality is Modality.TEXT)

    async def ask(self, principal: Principal, *, model: str, prompt: str) -> Outcome:
        """Sends the prompt and charges it like any other call; a refusal becomes something to show."""
        try:
            answer = await self._complete(principal, model, prompt)
        except InsufficientFunds as refusal:
            return Outcome(OutcomeView(blocked=_blocked(refusal, model, prompt)), refusal)
        except BillingError as refusal:
            return Outcome(OutcomeView(error_code=refusal.code), refusal)
        return Outcome(OutcomeView(answer=_answer_view(answer, model)), None)

    async def _complete(self, principal: Principal, model: str, prompt: str) -> Answer:
        if not prompt.strip():
            raise PromptMissing
        if len(prompt) > PROMPT_LENGTH_MAX:
            raise PromptTooLong(PROMPT_LENGTH_MAX)
        request = {"model": model, "messages": [{"role": "user", "content": prompt}]}
        answer = await self._gateway.serve(principal, Door.CHAT, Incoming(json.dumps(request).encode()))
        assert isinstance(answer, Answer), "whoever does not ask for a stream gets a whole answer"
        if answer.status >= _REFUSALS_FROM:
            raise ProviderRefusedCall(answer.operation_id)
        return answer


def playground_path(model: str, prompt: str) -> str:
    """The playground with this prompt in it; a prompt that no address can carry stays behind."""
    short = f"/billing/playground?{urlencode({'model': model})}"
    return app_path_or(f"{short}&{urlencode({'prompt': prompt})}", short)


def _blocked(refusal: InsufficientFunds, model: str, prompt: str) -> BlockedView:
    missing = refusal.required - refusal.available
    query = urlencode({"missing": missing.to_decimal(), "return_to": playground_path(model, prompt)})
    return BlockedView(refusal.required, missing, f"/billing/balance?{query}")


def _answer_view(answer: Answer, model: str) -> AnswerView:
    return AnswerView(
        text=_text_of(answer.body or {}),
        model=model,
        charged=answer.charged,
        available=answer.balance,
        is_free=answer.billing_source is BillingSource.LEAD_MAGNET,
        operation_id=answer.operation_id,
    )


def _text_of(completion: Mapping[str, Any]) -> str:
    """The first choice's text; a model may answer with something else, which the playground does not show."""
    choices = completion.get("choices")
    message = choices[0].get("message") if isinstance(choices, list) and choices else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else ""
