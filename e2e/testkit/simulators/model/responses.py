"""Responses: one answer as an object, or as the events in which it comes into being."""

import itertools
from collections.abc import Iterator
from typing import Any

from testkit.simulators.faults import Fault, UsagePlacement
from testkit.simulators.model.completion import Completion, complete
from testkit.simulators.model.events import event
from testkit.simulators.model.requests import ResponsesRequest
from testkit.simulators.model.usage import input_names, placement_of, usage_member


def response_completion(asked: ResponsesRequest, *, seed: int) -> Completion:
    """What the model answers."""
    return complete(
        seed=seed,
        model=asked.model,
        messages=asked.messages,
        tokens_max=asked.max_output_tokens,
        is_reasoning=asked.reasoning is not None,
        is_cached=asked.prompt_cache_key is not None,
    )


def as_object(
    asked: ResponsesRequest, completion: Completion, *, created_at: int, fault: Fault | None
) -> dict[str, Any]:
    """The response once it is over."""
    is_whole = completion.replies[0].finish_reason == "stop"
    status = "completed" if is_whole else "incomplete"
    return {
        **_object(asked, completion, status, created_at=created_at),
        "incomplete_details": None if is_whole else {"reason": "max_output_tokens"},
        "output": [_message(completion, status)],
        **usage_member(completion.usage, input_names, fault),
    }


def as_events(
    asked: ResponsesRequest, completion: Completion, *, created_at: int, fault: Fault | None
) -> Iterator[str]:
    """The response as a stream."""
    counter = itertools.count()
    for data in _events(asked, completion, created_at=created_at, fault=fault):
        yield event({"type": data["type"], "sequence_number": next(counter), **data}, name=data["type"])


def _events(
    asked: ResponsesRequest, completion: Completion, *, created_at: int, fault: Fault | None
) -> Iterator[dict[str, Any]]:
    begun = _object(asked, completion, "in_progress", created_at=created_at)
    if placement_of(fault) is UsagePlacement.EVERY_CHUNK:
        begun |= usage_member(completion.usage.times(0), input_names, fault)
    over = as_object(asked, completion, created_at=created_at, fault=fault)
    place = {"item_id": _message_id(completion), "output_index": 0, "content_index": 0}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    empty = {**_message(completion, "in_progress"), "content": []}
    yield {"type": "response.output_item.added", "output_index": 0, "item": empty}
    yield {"type": "response.content_part.added", **place, "part": _text_part("")}
    for token in completion.replies[0].tokens:
        yield {"type": "response.output_text.delta", **place, "delta": token, "logprobs": []}
    text = completion.replies[0].text
    yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": _text_part(text)}
    yield {"type": "response.output_item.done", "output_index": 0, "item": over["output"][0]}
    yield {"type": f"response.{over['status']}", "response": over}


def _object(asked: ResponsesRequest, completion: Completion, status: str, *, created_at: int) -> dict[str, Any]:
    return {
        "id": f"resp_{completion.digest[:48]}",
        "object": "response",
        "created_at": created_at,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": asked.instructions,
        "max_output_tokens": asked.max_output_tokens,
        "model": asked.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "metadata": {},
    }


def _message(completion: Completion, status: str) -> dict[str, Any]:
    content = [_text_part(completion.replies[0].text)]
    return {
        "id": _message_id(completion),
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": content,
    }


def _message_id(completion: Completion) -> str:
    return f"msg_{completion.digest[:48]}"


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
