"""Reads requests for pictures, new ones and changed ones, and counts what was really made.

Source of the members: OpenAI's API reference, "Create image" and "Create image edit".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from billing.gateway.errors import StreamUnsupported, UpstreamBroken
from billing.gateway.rules.doors import Door
from billing.gateway.rules.image_sizes import Size, size_in_words, size_of_base64
from billing.gateway.rules.json_fields import flag_of, name_of, positive_of, rendered_request, request_object
from billing.gateway.rules.metering import Measured
from billing.gateway.rules.multipart import Form, read_form, write_form
from billing.gateway.rules.paid_request import Delivery, Incoming, Outgoing, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.whole_answers import WholeAnswer, answered_list, answered_object, json_delivery
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Quantities, RateSnapshot, Unit, image_quantities
from billing.quotas.rules import Amounts
from billing.usage.rules import EstimateReason

_USUAL_SIZE: Size = (1024, 1024)
_FILES_MAX = 16
_EDIT_MEMBERS = frozenset(
    {
        "background",
        "image",
        "input_fidelity",
        "mask",
        "model",
        "moderation",
        "n",
        "output_compression",
        "output_format",
        "partial_images",
        "prompt",
        "quality",
        "response_format",
        "size",
        "stream",
        "style",
        "user",
    }
)


@dataclass(frozen=True, slots=True)
class ImageRequest(WholeAnswer):
    """So many pictures, each of the size that was asked for, or of whatever size the provider likes.

    `content` is what the client sent: an object, or a form where pictures come in too.
    """

    door: Door
    model: str
    content: Mapping[str, Any] | Form
    images: int
    size_asked: Size | None
    side_max: int

    def bounds(self, rates: RateSnapshot) -> Quantities:
        """All pictures in the size that was asked for, or in the largest one where the provider chooses."""
        size = self.size_asked or (self.side_max, self.side_max)
        return {**image_quantities([size] * self.images, rates), Unit.REQUEST: 1}

    @property
    def free_bounds(self) -> Amounts:
        """Free quotas count pictures, whatever their size."""
        return Amounts(images=self.images)

    def for_upstream(self, upstream_model: str) -> Outgoing:
        """The same request under the provider's name for the model."""
        if isinstance(self.content, Form):
            return Outgoing(*write_form(self.content.with_text("model", upstream_model)))
        return Outgoing(rendered_request({**self.content, "model": upstream_model}))

    def read(self, reply: UpstreamReply, *, public_model: str, upstream_model: str) -> Delivery:
        """The answer, if there is a picture in it.

        Raises:
            UpstreamBroken: there is none, so nothing was delivered.
        """
        body = answered_object(reply)
        if not any(map(_is_picture, answered_list(body, "data"))):
            raise UpstreamBroken
        return json_delivery(body, public_model=public_model, upstream_model=upstream_model)

    def measure(self, delivery: Delivery, rates: RateSnapshot) -> Measured:
        """What was made counts: so many pictures as came, each in its own size.

        That size is read from the picture itself, else from what the provider says. Only where there is neither is the
        size taken that was asked for.
        """
        body = delivery.body
        assert body is not None, "an answer with pictures is an object"
        pictures = [item for item in body["data"] if _is_picture(item)]
        seen = [_size_of(picture, body) for picture in pictures]
        sizes = [size or self.size_asked or _USUAL_SIZE for size in seen]
        return Measured(
            quantities={**image_quantities(sizes, rates), Unit.REQUEST: 1},
            free=Amounts(images=len(pictures)),
            estimate_reason=EstimateReason.USAGE_MISSING if None in seen else None,
        )


def read_image_request(incoming: Incoming, bounds: QuoteBounds) -> ImageRequest:
    """A request for new pictures.

    Raises:
        InvalidInput: a member that counts for the price is malformed; `field` names it.
        StreamUnsupported: it asks for a stream.
    """
    fields = request_object(incoming.content)
    if flag_of(fields, "stream"):
        raise StreamUnsupported
    if not (isinstance(fields.get("prompt"), str) and fields["prompt"]):
        raise InvalidInput("prompt", "`prompt` is a text that says what the picture shows.")
    return image_request(fields, fields, Door.IMAGES, bounds)


def read_image_edit_request(incoming: Incoming, bounds: QuoteBounds) -> ImageRequest:
    """A request to change pictures, which come as files of a form.

    Raises:
        InvalidInput: the form or a member of it is malformed; `field` names it.
        StreamUnsupported: it asks for a stream.
    """
    form = read_form(incoming.content, incoming.content_type)
    form.require_only(_EDIT_MEMBERS)
    if form.is_true("stream"):
        raise StreamUnsupported
    if not 1 <= len(form.files("image")) <= _FILES_MAX or len(form.files("mask")) > 1:
        raise InvalidInput("image", f"`image` is a picture, or a list of at most {_FILES_MAX}; `mask` is one.")
    if not form.text("prompt"):
        raise InvalidInput("prompt", "`prompt` is a text that says what is to change.")
    fields = {"model": form.text("model"), "n": form.whole_number("n"), "size": form.text("size")}
    return image_request(fields, form, Door.IMAGE_EDITS, bounds)


def image_request(
    fields: Mapping[str, Any], content: Mapping[str, Any] | Form, door: Door, bounds: QuoteBounds
) -> ImageRequest:
    """The request whose price follows from these members, whatever else `content` holds.

    Raises:
        InvalidInput: one of them is malformed; `field` names it.
    """
    images = positive_of(fields, "n") or 1
    if images > bounds.choices_max:
        raise InvalidInput("n", f"`n` is at most {bounds.choices_max}.")
    return ImageRequest(
        door=door,
        model=name_of(fields),
        content=content,
        images=images,
        size_asked=_asked_size(fields.get("size"), bounds.image_side_max),
        side_max=bounds.image_side_max,
    )


def _asked_size(value: object, side_max: int) -> Size | None:
    if value is None or value == "auto":
        return None
    size = size_in_words(value)
    if size is None or max(size) > side_max:
        raise InvalidInput("size", f"`size` is `auto` or like `1024x1024`, with sides of at most {side_max} pixels.")
    return size


def _is_picture(item: Mapping[str, Any]) -> bool:
    return any(isinstance(item.get(name), str) and item[name] for name in ("b64_json", "url"))


def _size_of(picture: Mapping[str, Any], body: Mapping[str, Any]) -> Size | None:
    """The size that we can see or that the provider names, first for the picture, then for all of them."""
    data = picture.get("b64_json")
    seen = size_of_base64(data) if isinstance(data, str) else None
    if seen is None and isinstance(picture.get("url"), str) and picture["url"].startswith("data:"):
        seen = size_of_base64(picture["url"])
    told: Sequence[object] = (picture.get("size"), body.get("size"))
    return seen or next((size for size in map(size_in_words, told) if size is not None), None)
