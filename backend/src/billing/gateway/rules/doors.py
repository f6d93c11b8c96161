"""The routes that cost money: each a door with the same path here and at the provider."""

from __future__ import annotations

from enum import StrEnum

from billing.pricing.rules import Modality


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

    @property
    def modality(self) -> Modality:
        """What a model must have prices for to be called through this door."""
        return _MODALITY_OF.get(self, Modality.TEXT)


_MODALITY_OF = {
    Door.EMBEDDINGS: Modality.EMBEDDINGS,
    Door.IMAGES: Modality.IMAGE,
    Door.IMAGE_EDITS: Modality.IMAGE,
    Door.SPEECH: Modality.SPEECH,
    Door.TRANSCRIPTIONS: Modality.TRANSCRIPTION,
}
