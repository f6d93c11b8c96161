"""Server-sent events as the provider writes them."""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from starlette.responses import StreamingResponse

DONE = "data: [DONE]\n\n"


def event(data: dict[str, Any], *, name: str | None = None) -> str:
    """One event; its data are one line of JSON."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(data, ensure_ascii=False)}\n\n"


def stream(events: Iterable[str]) -> StreamingResponse:
    """An answer whose events leave one by one."""
    return StreamingResponse(_one_by_one(events), media_type="text/event-stream; charset=utf-8")


async def _one_by_one(events: Iterable[str]) -> AsyncIterator[str]:
    for item in events:
        yield item
