"""What the simulated model says and how many tokens that is: a function of the seed and the request, nothing else."""

import hashlib
import json
import random
import re
from dataclasses import dataclass
from typing import Any

from testkit.simulators.faults import UsageVariant

_TOKEN = re.compile(r" ?\w{1,4}|\s|[^\w\s]")
_TOKENS_PER_MESSAGE = 3
_TOKENS_BEFORE_THE_REPLY = 3
_TOKENS_PER_IMAGE = 85
_REPLY_WORDS_MIN = 12
_REPLY_WORDS_MAX = 48
_SAYING = (
    "a balance ledger holds steady when every entry finds its pair and nothing moves twice because the books say so "
    "while small sums add up over time with care in plain words that people can check"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """One choice of a completion, token by token."""

    tokens: tuple[str, ...]
    finish_reason: str

    @property
    def text(self) -> str:
        """The tokens joined."""
        return "".join(self.tokens)


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer; JSON and, one day, a stream are two ways to send it."""

    id: str
    replies: tuple[Reply, ...]
    prompt_tokens: int

    @property
    def completion_tokens(self) -> int:
        """The tokens of all choices together, which is what providers charge."""
        return sum(len(reply.tokens) for reply in self.replies)


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
    *, seed: int, model: str, messages: list[dict[str, Any]], choices: int, tokens_max: int | None
) -> Completion:
    """The model's answer; the same seed and request give the same answer in every process."""
    asked = json.dumps([seed, model, messages, choices, tokens_max], sort_keys=True, ensure_ascii=False)
    digest = hashlib.sha256(asked.encode(errors="surrogatepass")).hexdigest()
    chance = random.Random(digest)  # noqa: S311 - a reproducible answer is wanted here, not a secret
    replies = tuple(_reply(chance, tokens_max) for _ in range(choices))
    return Completion(id=f"chatcmpl-{digest[:29]}", replies=replies, prompt_tokens=prompt_tokens_of(messages))


def usage_of(completion: Completion, variant: UsageVariant | None) -> dict[str, Any]:
    """The `usage` member of an answer, as a dict to merge into it; empty where usage is absent."""
    prompt, output = completion.prompt_tokens, completion.completion_tokens
    if variant is None:
        return {"usage": _openai_usage(prompt, output)}
    told: dict[UsageVariant, dict[str, Any]] = {
        UsageVariant.ABSENT: {},
        UsageVariant.NULL: {"usage": None},
        UsageVariant.EMPTY: {"usage": {}},
        UsageVariant.ZERO: {"usage": _openai_usage(0, 0)},
        UsageVariant.NEGATIVE: {"usage": _openai_usage(-prompt, -output)},
        UsageVariant.OTHER_NAMES: {"usage": {"input_tokens": prompt, "output_tokens": output}},
    }
    return told[variant]


def _openai_usage(prompt: int, output: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _content_tokens(message: dict[str, Any]) -> int:
    content = message.get("content") or ""
    if isinstance(content, str):
        return len(tokens_of(content))
    return sum(
        len(tokens_of(part.get("text", ""))) if part.get("type") == "text" else _TOKENS_PER_IMAGE for part in content
    )


def _reply(chance: random.Random, tokens_max: int | None) -> Reply:
    words = chance.choices(_SAYING.split(), k=chance.randint(_REPLY_WORDS_MIN, _REPLY_WORDS_MAX))
    tokens = tokens_of(" ".join(words).capitalize() + ".")
    if tokens_max is not None and tokens_max < len(tokens):
        return Reply(tokens[:tokens_max], "length")
    return Reply(tokens, "stop")
