"""One paid call as the scenario matrix plays it, and an own account of what it must have cost.

Nothing here asks the product for a price or a count: the prices are the demonstration's, typed in once more, and the
counts are those that the simulated provider gives to whoever asks it directly.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import httpx

from backend.tests.builders.gateway import UPSTREAM_KEY, Gate, Payer, Provider
from backend.tests.builders.gateway_doors import OPERATIONS
from backend.tests.builders.limits import account_wallet, wanted
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from billing.gateway.calls import Answer, StreamedAnswer
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming
from billing.kit.errors import BillingError
from billing.pricing.rules import Unit

UPSTREAM_MODELS = {
    "demo-small": "gpt-4o-mini",
    "demo-free": "free-chat",
    "demo-embedding": "text-embedding-3-small",
    "demo-image": "gpt-image-1",
    "demo-speech": "tts-1",
    "demo-transcription": "whisper-1",
}
PRICES: Mapping[str, Mapping[Unit, Fraction]] = {
    "demo-small": {
        Unit.INPUT: Fraction(60),
        Unit.CACHED_INPUT: Fraction(15),
        Unit.OUTPUT: Fraction(240),
        Unit.REASONING: Fraction(240),
    },
    "demo-free": {Unit.INPUT: Fraction(30), Unit.OUTPUT: Fraction(120)},
    "demo-embedding": {Unit.EMBEDDING: Fraction(8)},
    "demo-image": {Unit.IMAGE_PIXELS: Fraction(4)},
    "demo-speech": {Unit.SPEECH_CHARACTERS: Fraction(1200)},
    "demo-transcription": {Unit.TRANSCRIPTION_MS: Fraction(500)},
}
"""In micros for one of each unit: one rouble for a million is one micro for each."""

# Of a chat with six tokens: the role, the tokens, the reason of the end. Usage and end mark are kept for the closing.
_EVENTS_SHOWN = 8

Quantities = Mapping[Unit, int]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: JSON, or a form where there are files."""

    door: Door
    body: Mapping[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def is_stream(self) -> bool:
        """Whether the answer shall come piece by piece."""
        return bool(self.body.get("stream"))

    @property
    def model(self) -> str:
        """The public name of the model."""
        return str(self.body["model"])

    def incoming(self) -> Incoming:
        """As a client sends it."""
        if not self.files:
            return Incoming(json.dumps(self.body).encode())
        request = httpx.Request("POST", "http://unused.invalid", data=self._fields(), files=self._files())
        return Incoming(request.read(), request.headers["content-type"])

    def to_provider(self, **changes: Any) -> dict[str, Any]:
        """As whoever asks the provider directly sends it: arguments of `httpx`."""
        body = {**self.body, "model": UPSTREAM_MODELS[self.model], **changes}
        if not self.files:
            return {"json": body}
        return {"data": {name: str(value) for name, value in body.items()}, "files": self._files()}

    def _fields(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.body.items()}

    def _files(self) -> list[tuple[str, tuple[str, bytes]]]:
        return [(name, (f"{name}.bin", content)) for name, content in self.files.items()]


@dataclass(frozen=True, slots=True)
class Got:
    """What the caller got: a refusal of ours, or an answer with whatever came of it."""

    refusal: BillingError | None
    answer: Answer | StreamedAnswer | None
    content: bytes = b""

    @property
    def outcome(self) -> type[BillingError] | int:
        """In one word: the refusal's class, or the status."""
        if self.refusal is not None:
            return type(self.refusal)
        return self.answer.status if isinstance(self.answer, Answer) else 200

    @property
    def said(self) -> str:
        """The answer as text; a sound is none."""
        return self.content.decode(errors="replace")

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of a stream that are JSON."""
        lines = self.said.splitlines()
        data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
        return [json.loads(item) for item in data if item.startswith("{")]

    @property
    def text(self) -> str:
        """What the model said in it, whichever door it came through."""
        said: list[str] = []
        for event in self.events:
            said += [choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices_of(event)]
            said += [event["delta"]] if isinstance(event.get("delta"), str) else []
        return "".join(said)


def choices_of(event: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The choices of one event, or none."""
    return event.get("choices") or ()


@dataclass(frozen=True, slots=True)
class Scene:
    """One customer in front of the gateway, and the provider behind it."""

    gate: Gate
    provider: Provider
    clock: StoppedClock
    payer: Payer

    async def plan(self, door: Door, fault: Mapping[str, Any]) -> None:
        """Lets the next call of this door go in a special way."""
        planned = {"operation": OPERATIONS[door], **fault}
        (await self.provider.client.post("/control/faults", json=planned)).raise_for_status()

    async def call(self, ask: Ask, *, max_reply_cost: str | None = None) -> Got:
        """One call, its stream read to the end and booked."""
        limit = None if max_reply_cost is None else rub(max_reply_cost)
        try:
            answer = await self.gate.service.serve(self.payer.principal, ask.door, ask.incoming(), max_reply_cost=limit)
        except BillingError as refusal:
            return Got(refusal, None)
        if isinstance(answer, Answer):
            return Got(None, answer, answer.content)
        content = b"".join([piece async for piece in answer.reading])
        await self.gate.service.close()
        return Got(None, answer, content)

    async def leave_after(self, ask: Ask, events: int, *, provider_goes_on: bool = True) -> Got:
        """A stream whose client goes after so many events; the provider has sent exactly these.

        Then it goes on to its end, or says nothing more until we have stopped listening.
        """
        answer = await self._paused_after(ask, events)
        read = await _read(answer, events)
        answer.reading.leave()
        if provider_goes_on:
            await self.resume()
        await self.gate.service.close()
        await self.resume()
        return Got(None, answer, read)

    async def go_before_the_first(self, ask: Ask) -> Got:
        """A stream whose client goes before anything has come; the provider goes on."""
        await self._pause_after(ask, 0)
        call = asyncio.create_task(self.gate.service.serve(self.payer.principal, ask.door, ask.incoming()))
        await self.paused()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        await self.resume()
        await self.gate.service.close()
        return Got(None, None)

    async def lose_the_provider(self, ask: Ask, events: int, stop: str) -> Got:
        """A stream that its provider breaks off after so many events, all of which have reached us."""
        await self._pause_after(ask, events, stop_after_events=events, stop=stop)
        if events == 0:
            call = asyncio.create_task(self.call(ask))
            await self.paused()
            await self.resume()
            return await call
        answer = await self.gate.service.serve(self.payer.principal, ask.door, ask.incoming())
        assert isinstance(answer, StreamedAnswer)
        read = await _read(answer, min(events, _EVENTS_SHOWN))
        await self.paused()
        await self.resume()
        read += b"".join([piece async for piece in answer.reading])
        await self.gate.service.close()
        return Got(None, answer, read)

    async def _paused_after(self, ask: Ask, events: int) -> StreamedAnswer:
        await self._pause_after(ask, events)
        answer = await self.gate.service.serve(self.payer.principal, ask.door, ask.incoming())
        assert isinstance(answer, StreamedAnswer)
        return answer

    async def _pause_after(self, ask: Ask, events: int, **more: Any) -> None:
        delivery = {"pause_after_events": [events], **more}
        await self.plan(ask.door, {"kind": "delivered", "delivery": delivery})

    async def paused(self) -> None:
        """Returns when the provider's answer has come to its planned pause."""
        waited = await self.provider.client.get("/control/pauses", params={"at_least": 1})
        assert len(waited.json()["items"]) == 1, "the provider's answer did not come to its pause"

    async def resume(self) -> None:
        """Lets the provider's answer go on."""
        (await self.provider.client.post("/control/pauses/resume", json={})).raise_for_status()

    async def call_while(self, ask: Ask, happens: Any, *, after_events: int) -> Got:
        """A stream during which something happens, when so many events have reached its client and no more can come."""
        answer = await self._paused_after(ask, after_events)
        read = await _read(answer, after_events)
        await happens()
        await self.resume()
        read += b"".join([piece async for piece in answer.reading])
        await self.gate.service.close()
        return Got(None, answer, read)

    async def cap_the_day(self, amount: str) -> None:
        """From now on no more than this may be spent in a day."""
        desk = account_wallet(self.gate.wallets)
        await desk.set_limits(self.payer.customer.principal, wanted(daily=amount), request_id="req_tests")

    async def provider_count(self, ask: Ask) -> Quantities:
        """What the provider counts for this very request, asked without the gateway."""
        path, headers = f"/v1/{ask.door}", {"Authorization": f"Bearer {UPSTREAM_KEY}"}
        whole = ask.to_provider()
        if "json" in whole:
            whole["json"] = {name: value for name, value in whole["json"].items() if not name.startswith("stream")}
        answer = (await self.provider.client.post(path, headers=headers, **whole)).raise_for_status()
        usage = answer.json()["usage"]
        if ask.door is Door.EMBEDDINGS:
            return {Unit.EMBEDDING: usage["prompt_tokens"], Unit.REQUEST: 1}
        return text_count(usage)


async def _read(answer: StreamedAnswer, events: int) -> bytes:
    """What comes until so many events are there."""
    read = b""
    async for piece in answer.reading:
        read += piece
        if read.count(b"\n\n") >= events:
            break
    return read


def text_count(usage: Mapping[str, Any]) -> Quantities:
    """A provider's usage of text as exclusive pools."""
    side = "prompt" if "prompt_tokens" in usage else "input"
    made = "completion" if side == "prompt" else "output"
    cached = (usage.get(f"{side}_tokens_details") or {}).get("cached_tokens", 0)
    thought = (usage.get(f"{made}_tokens_details") or {}).get("reasoning_tokens", 0)
    return {
        Unit.INPUT: usage[f"{side}_tokens"] - cached,
        Unit.CACHED_INPUT: cached,
        Unit.OUTPUT: usage[f"{made}_tokens"] - thought,
        Unit.REASONING: thought,
        Unit.REQUEST: 1,
    }


def micros(model: str, quantities: Quantities) -> int:
    """The price, with one rounding, up to the next micro."""
    prices = PRICES[model]
    return math.ceil(sum(count * prices.get(unit, Fraction(0)) for unit, count in quantities.items()))


def own_output_count(text: str, *, at_most: int) -> int:
    """How many tokens an English text is where nobody has counted: four letters each, and never above the limit."""
    assert text.isascii(), "the simulated model speaks English"
    return min(math.ceil(len(text) / 4), at_most)


def hold_of(ask: Ask, output_tokens: int) -> int:
    """What a chat of one message is let in with, in micros: its bytes, 8 for the message, 8 for the reply."""
    return (len(ask.incoming().content) + 16) * 60 + output_tokens * 240
