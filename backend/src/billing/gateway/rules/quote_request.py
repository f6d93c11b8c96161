"""Reads the question what a call would cost: a route, and the request as it would be sent there.

Routes that take forms are asked with an object instead: `seconds` stands for a recording, and for pictures that are to
be changed nothing stands, because only those that are made cost something.
"""

from __future__ import annotations

from billing.gateway.rules.audio_length import milliseconds_of
from billing.gateway.rules.doors import Door
from billing.gateway.rules.image_requests import image_request
from billing.gateway.rules.json_fields import name_of, rendered_request, request_object
from billing.gateway.rules.multipart import Form
from billing.gateway.rules.paid_request import Incoming, PaidRequest, QuoteBounds
from billing.gateway.rules.readers import READERS
from billing.gateway.rules.transcription_request import TranscriptionRequest
from billing.kit.errors import InvalidInput

_JSON = "application/json"
_FORM_DOORS = frozenset({Door.TRANSCRIPTIONS, Door.IMAGE_EDITS})


def read_question(body: bytes) -> tuple[Door, Incoming]:
    """The route that is asked about, and the request.

    Raises:
        InvalidInput: there is no such route, or the request is no object.
    """
    question = request_object(body)
    route = question.get("route")
    door = next((door for door in Door if door.value == route), None)
    if door is None:
        raise InvalidInput("route", f"`route` is one of {', '.join(door.value for door in Door)}.")
    request = question.get("request")
    if not isinstance(request, dict):
        raise InvalidInput("request", "`request` is an object: what would be sent to the route.")
    return door, Incoming(rendered_request(request), _JSON)


def read_quoted_request(door: Door, incoming: Incoming, bounds: QuoteBounds) -> PaidRequest:
    """The request as its route would read it; an object stands for a form.

    Raises:
        InvalidInput: a member that counts for the price is malformed; `field` names it.
        StreamUnsupported: it asks for a stream where there is none.
    """
    if door not in _FORM_DOORS or not incoming.content_type.startswith(_JSON):
        return READERS[door](incoming, bounds)
    fields = request_object(incoming.content)
    if door is Door.IMAGE_EDITS:
        return image_request(fields, Form(()), door, bounds)
    milliseconds = milliseconds_of(fields.get("seconds"))
    if not milliseconds:
        raise InvalidInput("seconds", "`seconds` is how long the recording is.")
    return TranscriptionRequest(name_of(fields), Form(()), milliseconds, "json")
