"""Chat completions and the older text completions: one answer as JSON, or as a stream of chunks."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from testkit.simulators.faults import Fault, UsagePlacement
from testkit.simulators.model.completion import Completion, Reply, complete, tokens_of
from testkit.simulators.model.events import DONE, event
from testkit.simulators.model.requests import ChatRequest, CompletionRequest
from testkit.simulators.model.usage import Usage, placement_of, prompt_names, usage_member


@dataclass(frozen=True, slots=True)
class ChatShape:
    """How chat writes an answer."""

    model: str
    created_at: int
    id_prefix = "chatcmpl-"
    whole_object = "chat.completion"
    chunk_object = "chat.completion.chunk"

    def choice(self, index: int, reply: Reply, digest: str) -> dict[str, Any]:
        """A whole choice."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
        if reply.tool is not None:
            message |= {"content": None, "tool_calls": [_tool_call(index, reply, digest, arguments=reply.text)]}
        return {"index": index, "message": message, "logprobs": None, "finish_reason": reply.finish_reason}

    def first(self, index: int, reply: Reply, digest: str) -> dict[str, Any] | None:
        """The part of a choice that comes before its first token."""
        delta: dict[str, Any] = {"role": "assistant", "content": "", "refusal": None}
        if reply.tool is not None:
            call = {"index": 0, **_tool_call(index, reply, digest, arguments="")}
            delta |= {"content": None, "tool_calls": [call]}
        return self._delta(index, delta)

    def token(self, index: int, reply: Reply, token: str) -> dict[str, Any]:
        """The part of a choice that brings one token."""
        if reply.tool is None:
            return self._delta(index, {"content": token})
        return self._delta(index, {"tool_calls": [{"index": 0, "function": {"arguments": token}}]})

    def last(self, index: int, reply: Reply) -> dict[str, Any]:
        """The part of a choice that says why it ends."""
        return self._delta(index, {}, reply.finish_reason)

    def _delta(self, index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


@dataclass(frozen=True, slots=True)
class TextShape:
    """How the older completions write an answer."""

    model: str
    created_at: int
    id_prefix = "cmpl-"
    whole_object = "text_completion"
    chunk_object = "text_completion"

    def choice(self, index: int, reply: Reply, digest: str) -> dict[str, Any]:
        """A whole choice."""
        del digest
        return self._part(index, reply.text, reply.finish_reason)

    def first(self, index: int, reply: Reply, digest: str) -> dict[str, Any] | None:
        """Nothing comes before the first token."""
        del index, reply, digest
        return None

    def token(self, index: int, reply: Reply, token: str) -> dict[str, Any]:
        """The part of a choice that brings one token."""
        del reply
        return self._part(index, token, None)

    def last(self, index: int, reply: Reply) -> dict[str, Any]:
        """The part of a choice that says why it ends."""
        return self._part(index, "", reply.finish_reason)

    def _part(self, index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish_reason}


Shape = ChatShape | TextShape


def chat_completion(asked: ChatRequest, *, seed: int) -> Completion:
    """What the model answers in a conversation."""
    return complete(
        seed=seed,
        model=asked.model,
        messages=[message.model_dump() for message in asked.messages],
        choices=asked.n or 1,
        tokens_max=asked.tokens_max,
        tool=asked.tool,
        is_reasoning=asked.reasoning_effort is not None,
        is_cached=asked.prompt_cache_key is not None,
    )


def text_completion(asked: CompletionRequest, *, seed: int) -> Completion:
    """What the model adds to each prompt."""
    answers = [_continued(prompt, asked, seed) for prompt in asked.prompts]
    return dataclasses.replace(
        answers[0],
        replies=tuple(reply for answer in answers for reply in answer.replies),
        prompt_tokens=sum(answer.prompt_tokens for answer in answers),
    )


def _continued(prompt: str | list[int], asked: CompletionRequest, seed: int) -> Completion:
    said = prompt if isinstance(prompt, str) else " ".join(map(str, prompt))
    tokens = len(tokens_of(prompt)) if isinstance(prompt, str) else len(prompt)
    messages = [{"role": "user", "content": said}]
    answer = complete(
        seed=seed, model=asked.model, messages=messages, choices=asked.n or 1, tokens_max=asked.max_tokens
    )
    return dataclasses.replace(answer, prompt_tokens=tokens)


def as_json(completion: Completion, shape: Shape, fault: Fault | None) -> dict[str, Any]:
    """The whole answer."""
    choices = [shape.choice(index, reply, completion.digest) for index, reply in enumerate(completion.replies)]
    usage = usage_member(completion.usage, prompt_names, fault)
    return {**_head(completion, shape, shape.whole_object), "choices": choices, **usage}


def as_events(completion: Completion, shape: Shape, fault: Fault | None, *, includes_usage: bool) -> Iterator[str]:
    """The answer as a stream; its usage is told where the client asked for it or a fault says so."""
    telling = _Telling(completion, fault, includes_usage=includes_usage)
    head = _head(completion, shape, shape.chunk_object)
    sent = 0
    for index, reply in enumerate(completion.replies):
        if first := shape.first(index, reply, completion.digest):
            yield event({**head, "choices": [first], **telling.along_the_way(sent)})
        for token in reply.tokens:
            sent += 1
            yield event({**head, "choices": [shape.token(index, reply, token)], **telling.along_the_way(sent)})
        is_over = index == len(completion.replies) - 1
        told = telling.with_the_last() if is_over else telling.along_the_way(sent)
        yield event({**head, "choices": [shape.last(index, reply)], **told})
    if told := telling.afterwards():
        yield event({**head, "choices": [], **told})
    yield DONE


class _Telling:
    """Where a stream tells its usage."""

    def __init__(self, completion: Completion, fault: Fault | None, *, includes_usage: bool) -> None:
        self._usage = completion.usage
        self._placement = placement_of(fault)
        self._is_planned = fault is not None and fault.usage_placement is not None
        self._includes_usage = includes_usage
        self._member: Callable[[Usage], dict[str, Any]] = lambda usage: usage_member(usage, prompt_names, fault)

    def along_the_way(self, sent: int) -> dict[str, Any]:
        """In a chunk after which so many tokens have been sent."""
        if self._is_planned and self._placement is UsagePlacement.EVERY_CHUNK:
            return self._member(dataclasses.replace(self._usage, output=sent))
        return {"usage": None} if self._includes_usage else {}

    def with_the_last(self) -> dict[str, Any]:
        """In the chunk that ends the last choice."""
        if self._is_planned and self._placement is not UsagePlacement.OWN_CHUNK:
            return self._member(self._usage)
        return self.along_the_way(self._usage.output)

    def afterwards(self) -> dict[str, Any]:
        """In a chunk of its own."""
        is_asked = self._includes_usage or self._is_planned
        return self._member(self._usage) if is_asked and self._placement is UsagePlacement.OWN_CHUNK else {}


def _head(completion: Completion, shape: Shape, kind: str) -> dict[str, Any]:
    return {
        "id": f"{shape.id_prefix}{completion.digest[:29]}",
        "object": kind,
        "created": shape.created_at,
        "model": shape.model,
        "system_fingerprint": "fp_simulated",
    }


def _tool_call(index: int, reply: Reply, digest: str, *, arguments: str) -> dict[str, Any]:
    function = {"name": reply.tool, "arguments": arguments}
    return {"id": f"call_{digest[:20]}{index}", "type": "function", "function": function}
