"""What the gateway refuses, and how a call to a model provider can fail.

BillingError
├── StreamUnsupported        `stream: true` on a route that answers in one piece
├── RequestTooLarge          the body has more bytes than we read
├── ModelNotAllowed          the key is for other models
├── ModelNotFound            nobody serves a model of this name here
├── BillingUnavailable       the books cannot be reached, so nothing is called and nothing delivered
├── BillingInterrupted       the books could not be reached while a stream was running
├── GatewayStopping          the process was told to stop while a stream was running
└── UpstreamFailure          the provider gave nothing that can be delivered; nothing is charged
    ├── UpstreamTimeout      it did not answer in time
    ├── UpstreamUnreachable  it could not be connected to
    └── UpstreamBroken       the connection broke, or the answer is not a completion
"""

from __future__ import annotations

from typing import ClassVar

from billing.kit.errors import BillingError


class StreamUnsupported(BillingError):
    """The caller asked for a stream."""

    code = "unsupported_stream"

    def __init__(self) -> None:
        super().__init__("This route answers in one piece; leave `stream` out.", facts={"param": "stream"})


class RequestTooLarge(BillingError):
    """The body is larger than the gateway reads."""

    code = "request_too_large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"A request has at most {bytes_max} bytes.", facts={"bytes_max": bytes_max})
        self.bytes_max = bytes_max


class ModelNotFound(BillingError):
    """No route serves this model."""

    code = "model_not_found"

    def __init__(self, model: str) -> None:
        super().__init__(f"There is no model {model[:100]!r} here.", facts={"param": "model"})
        self.model = model


class ModelNotAllowed(BillingError):
    """The key opens some models, and this is none of them."""

    code = "model_not_allowed"

    def __init__(self, model: str) -> None:
        super().__init__(f"This key is not for the model {model[:100]!r}.", facts={"param": "model"})
        self.model = model


class BillingUnavailable(BillingError):
    """Fails closed: without the books nothing is called, and what cannot be booked is not delivered."""

    code = "billing_unavailable"

    def __init__(self) -> None:
        super().__init__("Billing is not available at the moment, so the call was not carried out.")


class BillingInterrupted(BillingError):
    """The books could not be reached while a stream was running. What was delivered is stored and charged, once."""

    code = "billing_interrupted"

    def __init__(self) -> None:
        super().__init__("Billing became unavailable during the answer; what was delivered until now is charged, once.")


class GatewayStopping(BillingError):
    """The process was told to stop and could not wait for the end of the stream."""

    code = "gateway_stopping"

    def __init__(self) -> None:
        super().__init__("The gateway is being restarted; what was delivered until now is charged.")


class UpstreamFailure(BillingError):
    """The provider gave nothing that can be delivered. What was set aside is given back, nothing is charged.

    A stream that broke off in the middle says the same with `has_delivered`: what had been passed on is charged.
    """

    code = "upstream_failure"
    reason: ClassVar[str] = "failed"

    def __init__(self, *, has_delivered: bool = False) -> None:
        charged = "what was delivered until then is charged" if has_delivered else "nothing was charged"
        super().__init__(f"The model provider {self.reason}; {charged}.")


class UpstreamTimeout(UpstreamFailure):
    """No whole answer came in time."""

    code = "upstream_timeout"
    reason = "did not answer in time"


class UpstreamUnreachable(UpstreamFailure):
    """No connection could be made."""

    code = "upstream_unreachable"
    reason = "could not be reached"


class UpstreamBroken(UpstreamFailure):
    """The connection broke before the answer was whole, or the answer is no completion."""

    code = "upstream_broken"
    reason = "gave an answer that cannot be read"
