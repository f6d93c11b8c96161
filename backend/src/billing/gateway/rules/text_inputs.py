"""Texts as requests bring them: one or many, in letters or as tokens already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from billing.gateway.rules.json_fields import byte_count
from billing.gateway.rules.metering import is_count, typical_tokens
from billing.kit.errors import InvalidInput

_TEXTS_MAX = 2048
_TOKEN_MAX = 2**31
# What a provider may put around each text.
_TOKENS_AROUND = 8


@dataclass(frozen=True, slots=True)
class TextInputs:
    """So many texts, with the most tokens that they can be, and how many they are on the average."""

    count: int
    tokens_bound: int
    tokens_typical: int


def read_texts(fields: Mapping[str, Any], name: str) -> TextInputs:
    """The texts under this name: a text, a list of texts, a list of tokens, or a list of such lists.

    A token that comes as a number is one token. A text has at most as many tokens as bytes, in any script; so has
    whatever else the request holds.

    Raises:
        InvalidInput: it is something else, or empty, or too many.
    """
    texts = _as_list(fields.get(name))
    if texts is None or not 1 <= len(texts) <= _TEXTS_MAX:
        sentence = f"`{name}` is a text, a list of at most {_TEXTS_MAX} texts, or such texts as tokens; none is empty."
        raise InvalidInput(name, sentence)
    around = byte_count({member: value for member, value in fields.items() if member != name})
    return TextInputs(
        count=len(texts),
        tokens_bound=around + sum(_bound(text) + _TOKENS_AROUND for text in texts),
        tokens_typical=sum(len(text) if isinstance(text, list) else typical_tokens(text) for text in texts),
    )


def _as_list(value: object) -> list[str] | list[list[int]] | None:
    if isinstance(value, str):
        return [value] if value else None
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(text, str) and text for text in value):
        return value
    if _is_tokens(value):
        return [value]
    return value if all(map(_is_tokens, value)) else None


def _is_tokens(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and bool(value) and all(is_count(token, _TOKEN_MAX) for token in value)


def _bound(text: str | list[int]) -> int:
    return len(text) if isinstance(text, list) else len(text.encode(errors="surrogatepass"))
