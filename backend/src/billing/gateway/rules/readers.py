"""Who reads the requests of which door."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from billing.gateway.rules.chat_request import read_chat_request
from billing.gateway.rules.completions_request import read_completions_request
from billing.gateway.rules.doors import Door
from billing.gateway.rules.embeddings_request import read_embeddings_request
from billing.gateway.rules.image_requests import read_image_edit_request, read_image_request
from billing.gateway.rules.paid_request import Incoming, PaidRequest, QuoteBounds
from billing.gateway.rules.responses_request import read_responses_request
from billing.gateway.rules.speech_request import read_speech_request
from billing.gateway.rules.transcription_request import read_transcription_request

Reader = Callable[[Incoming, QuoteBounds], PaidRequest]

READERS: Mapping[Door, Reader] = {
    Door.CHAT: read_chat_request,
    Door.RESPONSES: read_responses_request,
    Door.COMPLETIONS: read_completions_request,
    Door.EMBEDDINGS: read_embeddings_request,
    Door.IMAGES: read_image_request,
    Door.IMAGE_EDITS: read_image_edit_request,
    Door.SPEECH: read_speech_request,
    Door.TRANSCRIPTIONS: read_transcription_request,
}
