"""A plausible request for each door of the gateway, and how to send it over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import httpx

from backend.tests.builders.gateway import Payer
from billing.gateway.rules.doors import Door
from billing.gateway.rules.multipart import Form, Part, write_form
from billing.gateway.rules.paid_request import Incoming
from billing.pricing.seed import DEMO_EMBEDDING, DEMO_IMAGE, DEMO_SMALL, DEMO_SPEECH, DEMO_TRANSCRIPTION
from testkit.simulators.model.audio import wav
from testkit.simulators.model.images import png

OPERATIONS: Mapping[Door, str] = {
    Door.CHAT: "create_chat_completion",
    Door.RESPONSES: "create_response",
    Door.COMPLETIONS: "create_completion",
    Door.EMBEDDINGS: "create_embedding",
    Door.IMAGES: "generate_images",
    Door.IMAGE_EDITS: "edit_images",
    Door.SPEECH: "create_speech",
    Door.TRANSCRIPTIONS: "create_transcription",
}
"""What the simulated provider calls the routes."""

FIELDS: Mapping[Door, Mapping[str, Any]] = {
    Door.CHAT: {"model": DEMO_SMALL, "messages": [{"role": "user", "content": "Why?"}], "max_tokens": 50},
    Door.RESPONSES: {"model": DEMO_SMALL, "input": "Why?", "max_output_tokens": 50},
    Door.COMPLETIONS: {"model": DEMO_SMALL, "prompt": "Because", "max_tokens": 50},
    Door.EMBEDDINGS: {"model": DEMO_EMBEDDING, "input": ["double", "entry"]},
    Door.IMAGES: {"model": DEMO_IMAGE, "prompt": "a ledger", "size": "512x256"},
    Door.IMAGE_EDITS: {"model": DEMO_IMAGE, "prompt": "more blue", "size": "512x256"},
    Door.SPEECH: {"model": DEMO_SPEECH, "input": "Hello there.", "voice": "alloy"},
    Door.TRANSCRIPTIONS: {"model": DEMO_TRANSCRIPTION},
}
"""What is asked for, beside files."""

_FILES: Mapping[Door, Part] = {
    Door.IMAGE_EDITS: Part("image", png(64, 64), "picture.png", "image/png"),
    Door.TRANSCRIPTIONS: Part("file", wav(1500), "talk.wav", "audio/wav"),
}


def asked(door: Door, **more: Any) -> Incoming:
    """A plausible request for this door, with these members changed or added."""
    fields = {**FIELDS[door], **more}
    file = _FILES.get(door)
    if file is None:
        return Incoming(json.dumps(fields).encode())
    texts = (Part(name, str(value).encode()) for name, value in fields.items())
    return Incoming(*write_form(Form((*texts, file))))


async def knock(
    http: httpx.AsyncClient,
    door: Door,
    payer: Payer,
    *,
    prefix: str = "/v1/",
    headers: Mapping[str, str] = {},
    **more: Any,
) -> httpx.Response:
    """Sends such a request with the payer's key."""
    request = asked(door, **more)
    own = {"Authorization": f"Bearer {payer.key}", "Content-Type": request.content_type}
    return await http.post(f"{prefix}{door}", content=request.content, headers={**own, **headers})
