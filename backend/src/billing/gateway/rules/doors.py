"""The routes that cost money: each a door with the same path here and at the provider."""

from __future__ import annotations

from enum import StrEnum


class Door(StrEnum):
    """A route that reaches a model provider; its value is the path after `/v1/` or `/openai/`, and at the provider."""

    CHAT = "chat/completions"
    RESPONSES = "responses"
    COMPLETIONS = "completions"
    EMBEDDINGS = "embeddings"
    IMAGES = "images/generations"
    IMAGE_EDITS = "images/edits"
    SPEECH = "audio/speech"
    TRANSCRIPTIONS = "audio/transcriptions"
