"""A model provider that follows a script, chunk by chunk, with whatever happens in between; no network is needed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from billing.gateway.errors import UpstreamFailure
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Outgoing
from billing.gateway.rules.routes import UpstreamTarget

Step = bytes | UpstreamFailure | Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Script:
    """What one answer does: bytes are sent, a failure is raised, anything else happens in between."""

    steps: Sequence[Step] = ()
    status: int = 200
    content_type: str = "text/event-stream"
    retry_after_seconds: int | None = None
    fails: UpstreamFailure | None = None

    async def read(self) -> bytes:
        """All of it."""
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """Step by step."""
        for step in self.steps:
            if isinstance(step, bytes):
                yield step
            elif isinstance(step, UpstreamFailure):
                raise step
            else:
                await step()


@dataclass(slots=True)
class ScriptedUpstream:
    """Follows one script after the other, the last one for ever; `asked` remembers who was asked for what."""

    scripts: list[Script]
    asked: list[tuple[UpstreamTarget, Door, Outgoing]] = field(default_factory=list)
    closed: int = 0

    @asynccontextmanager
    async def open(self, target: UpstreamTarget, door: Door, outgoing: Outgoing) -> AsyncIterator[Script]:
        """The next answer."""
        self.asked.append((target, door, outgoing))
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if script.fails is not None:
            raise script.fails
        try:
            yield script
        finally:
            self.closed += 1

    def sent(self) -> list[dict[str, Any]]:
        """The requests as the provider got them."""
        return [json.loads(outgoing.content) for _, _, outgoing in self.asked]


def streaming(*steps: Step, **more: Any) -> ScriptedUpstream:
    """A provider that streams this."""
    return ScriptedUpstream([Script(steps, **more)])


def event(body: object) -> bytes:
    """One event with this object."""
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def delta(text: str | None = None, *, index: int = 0, finish: str | None = None, **more: Any) -> bytes:
    """A chunk of a streamed chat completion."""
    content = more.pop("delta", {} if text is None else {"content": text})
    choices = [{"index": index, "delta": content, "finish_reason": finish}]
    return event({**_ABOUT, "choices": choices, **more})


def usage(prompt_tokens: int = 10, completion_tokens: int = 20, **more: Any) -> bytes:
    """The chunk with the provider's count."""
    counted = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, **more}
    return event({**_ABOUT, "choices": [], "usage": counted})


DONE = b"data: [DONE]\n\n"
_ABOUT = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-mini-2024"}
