"""What the simulated model says and how many tokens that is: a function of the seed and the request, nothing else."""

import hashlib
import json
import random
import re
from dataclasses import dataclass
from typing import Any

from testkit.simulators.model.usage import Usage

_TOKEN = re.compile(r" ?\w{1,4}|\s|[^\w\s]")
_TOKENS_PER_MESSAGE = 3
_TOKENS_BEFORE_THE_REPLY = 3
_TOKENS_PER_IMAGE = 85
_REPLY_WORDS_MIN = 12
_REPLY_WORDS_MAX = 48
_REASONING_TOKENS = 16
_SAYING = (
    "a balance ledger holds steady when every entry finds its pair and nothing moves twice because the books say so "
    "while small sums add up over time with care in plain words that people can check"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One choice of a completion, token by token."""

    tokens: tuple[str, ...]
    finish_reason: str
    tool: str | None = None
    """The name of a function that the model wants called; its tokens are then the arguments, as JSON."""

    @property
    def text(self) -> str:
        """The tokens joined."""
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer; JSON and a stream are two ways to send it.

    `digest` is as good as its id: hexadecimal digits that follow from seed and request.
    """

    digest: str
    replies: tuple[Reply, ...]
    prompt_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def completion_tokens(self) -> int:
        """The tokens of all choices together, thoughts that nobody sees included, which is what providers charge."""
        return self.reasoning_tokens + sum(len(reply.tokens) for reply in self.replies)

    @property
    def usage(self) -> Usage:
        """What is charged."""
        return Usage(self.prompt_tokens, self.completion_tokens, self.cached_tokens, self.reasoning_tokens)


def tokens_of(text: str) -> tuple[str, ...]:
    """Splits a text into the pieces that the simulated model counts; joined they are the text again.

    A token is at least one byte, so that a bound by bytes is a safe bound here as with real tokenisers.
    """
    return tuple(_TOKEN.findall(text))


def prompt_tokens_of(messages: list[dict[str, Any]]) -> int:
    """The tokens of a conversation with the usual overhead of each message."""
    counted = (_TOKENS_PER_MESSAGE + len(tokens_of(message["role"])) + _content_tokens(message) for message in messages)
    return _TOKENS_BEFORE_THE_REPLY + sum(counted)


def complete(
    *,
    seed: int,
    model: str,
    messages: list[dict[str, Any]],
    choices: int = 1,
    tokens_max: int | None = None,
    tool: str | None = None,
    is_reasoning: bool = False,
    is_cached: bool = False,
) -> Completion:
    """The model's answer; the same seed and request give the same answer in every process.

    Args:
        seed: of everything that it says.
        model: its name.
        messages: the conversation, `role` and `content` each.
        choices: how many replies.
        tokens_max: the most tokens of one reply.
        tool: the function that each reply calls instead of talking.
        is_reasoning: thinks before it talks, in tokens that are counted and not shown.
        is_cached: knows half of the conversation already.
    """
    asked = json.dumps([seed, model, messages, choices, tokens_max], sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(asked.encode(errors="surrogatepass")).hexdigest()
    chance = random.Random(digest)  # noqa: S311 - a reproducible answer is wanted here, not a secret
    prompt_tokens = prompt_tokens_of(messages)
    return Completion(
        digest=digest,
        replies=tuple(_reply(chance, tokens_max, tool) for _ in range(choices)),
        prompt_tokens=prompt_tokens,
        cached_tokens=prompt_tokens // 2 if is_cached else 0,
        reasoning_tokens=_REASONING_TOKENS if is_reasoning else 0,
    )


def _content_tokens(message: dict[str, Any]) -> int:
    content = message.get("content") or ""
    if isinstance(content, str):
        return len(tokens_of(content))
    return sum(
        len(tokens_of(part.get("text", ""))) if part.get("type") == "text" else _TOKENS_PER_IMAGE for part in content
    )


def _reply(chance: random.Random, tokens_max: int | None, tool: str | None) -> Reply:
    words = chance.choices(_SAYING.split(), k=chance.randint(_REPLY_WORDS_MIN, _REPLY_WORDS_MAX))
    said = " ".join(words)
    tokens = tokens_of(said.capitalize() + "." if tool is None else json.dumps({"said": said}))
    if tokens_max is not None and tokens_max < len(tokens):
        return Reply(tokens[:tokens_max], "length", tool)
    return Reply(tokens, "stop" if tool is None else "tool_calls", tool)
