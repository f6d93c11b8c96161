"""Answers that come in one piece: reading a provider's JSON, and writing it again under the model's public name."""

from __future__ import annotations

from typing import Any, NoReturn

from billing.gateway.errors import StreamUnsupported, UpstreamBroken
from billing.gateway.rules.json_fields import rendered_reply, reply_object
from billing.gateway.rules.paid_request import Delivery
from billing.gateway.rules.replies import UpstreamReply
from billing.pricing.rules import RateSnapshot

_OK = 200
_JSON = "application/json"


class WholeAnswer:
    """What requests have in common whose answer never comes as a stream."""

    __slots__ = ()

    @property
    def is_stream(self) -> bool:
        """Never."""
        return False

    def stream_meter(self, rates: RateSnapshot, *, public_model: str, upstream_model: str) -> NoReturn:
        """There is no stream to meter.

        Raises:
            StreamUnsupported: always.
        """
        del rates, public_model, upstream_model
        raise StreamUnsupported


def answered_object(reply: UpstreamReply) -> dict[str, Any]:
    """The object that the provider answered with.

    Raises:
        UpstreamBroken: a status that means neither yes nor no, or a body that is no JSON object.
    """
    body = reply_object(reply.body)
    if reply.status != _OK or body is None or body.get("error") is not None:
        raise UpstreamBroken
    return body


def answered_list(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The list of objects under this name, with at least one in it.

    Raises:
        UpstreamBroken: it is something else, so nothing was delivered.
    """
    items = body.get(name)
    if not (isinstance(items, list) and items and all(isinstance(item, dict) for item in items)):
        raise UpstreamBroken
    return items


def json_delivery(body: dict[str, Any], *, public_model: str, upstream_model: str) -> Delivery:
    """The object as the client gets it. Where it names a model, that is the public one.

    Raises:
        UpstreamBroken: it cannot be written as JSON again.
    """
    told = body.get("model")
    shown = {**body, "model": public_model} if "model" in body else body
    return Delivery(rendered_reply(shown), _JSON, shown, told if isinstance(told, str) else upstream_model)
