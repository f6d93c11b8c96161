"""Refuses what makes a provider charge for more than is metered here, or lets it read what is not the client's.

What stands at the provider stands in our one account there: nobody can say what it costs before the call, nor whose it
is. What has a price of its own there has none here: tools that the provider runs, sound, faster service, other models.

Sources: OpenAI's API reference, "Create chat completion" and "Create a model response"; for `models` and `plugins` the
reference of OpenRouter, for `fallbacks` that of LiteLLM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from billing.kit.errors import InvalidInput

# Tools that the provider itself runs have prices of their own, which no rate card here knows.
_TOOLS = ("function", "custom")
_MEMBERS = ("audio", "fallbacks", "models", "plugins", "web_search_options")
_TIERS = (None, "auto", "default", "flex")
_MODALITIES: tuple[object, ...] = (None, [], ["text"])
# Compared, not hashed: a stranger's type may be a list.
_PARTS = ("audio_url", "input_audio", "input_video", "video_url")


def require_priced(fields: Mapping[str, Any]) -> None:
    """Lets a request for text pass if all that it asks for has a price here.

    Raises:
        InvalidInput: it asks for something else; `field` names it.
    """
    unpriced = next((name for name in _MEMBERS if fields.get(name) is not None), None)
    if unpriced is not None:
        raise InvalidInput(unpriced, f"`{unpriced}` is not offered here: it has no price.")
    if fields.get("service_tier") not in _TIERS:
        raise InvalidInput("service_tier", "`service_tier` is auto, default or flex; the others have no price here.")
    if fields.get("modalities") not in _MODALITIES:
        raise InvalidInput("modalities", "`modalities` is text alone; sound has no price on this route.")
    tools = fields.get("tools")
    if tools is None:
        return
    if not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
        raise InvalidInput("tools", "`tools` is a list of tools.")
    if any(tool.get("type") not in _TOOLS for tool in tools):
        raise InvalidInput("tools", "`tools` are functions and custom tools; those that a provider runs have no price.")


def require_own_parts(parts: Iterable[object], name: str) -> None:
    """Lets the parts of messages pass if they are text, pictures and files that came with the request.

    Raises:
        InvalidInput: one of them is sound or film, or points at what stands at the provider; the field is `name`.
    """
    for part in parts:
        if not isinstance(part, dict):
            continue
        if part.get("type") in _PARTS:
            raise InvalidInput(name, f"`{name}` holds text, pictures and files; sound and film have no price here.")
        held = (part, part.get("file"), part.get("image_url"))
        if any(isinstance(one, dict) and one.get("file_id") is not None for one in held):
            raise InvalidInput(name, f"`{name}` holds the files themselves; `file_id` is not offered here.")
