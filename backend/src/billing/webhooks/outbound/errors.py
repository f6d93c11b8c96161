"""What is refused about endpoints of customers.

BillingError
├── WebhookEndpointNotFound       the account has no such endpoint; whether another has stays unsaid
├── WebhookMessageNotFound        the account was never sent such a message
├── WebhookEndpointDisabled       nothing is sent to an endpoint that is switched off
├── WebhookLineFull               too much waits for the endpoint already
├── WebhookEndpointLimitReached   the account has as many endpoints as it may
├── WebhookUrlRefused             the address cannot be one that we send to
└── OutboundNotConfigured         this deployment has no secret to sign with
"""

from __future__ import annotations

from billing.kit.errors import BillingError


class WebhookEndpointNotFound(BillingError):
    """The account has no such endpoint."""

    code = "webhook_endpoint_not_found"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__("There is no such webhook endpoint.")
        self.endpoint_id = endpoint_id


class WebhookMessageNotFound(BillingError):
    """The account was never sent such a message."""

    code = "webhook_message_not_found"

    def __init__(self, message_id: str) -> None:
        super().__init__("There is no such message.")
        self.message_id = message_id


class WebhookEndpointDisabled(BillingError):
    """Nothing is sent to an endpoint that is switched off."""

    code = "webhook_endpoint_disabled"

    def __init__(self, endpoint_id: str) -> None:
        super().__init__("This webhook endpoint is switched off; switch it on first.")
        self.endpoint_id = endpoint_id


class WebhookLineFull(BillingError):
    """Too much waits for the endpoint already; what happens is still put in line, tests and replays are not."""

    code = "webhook_line_full"

    def __init__(self, waiting_max: int) -> None:
        super().__init__(
            "Too many messages wait for this webhook endpoint; ask again when they have arrived.",
            facts={"waiting_max": waiting_max},
        )


class WebhookEndpointLimitReached(BillingError):
    """The account has as many endpoints as it may."""

    code = "webhook_endpoint_limit_reached"

    def __init__(self, endpoints_max: int) -> None:
        super().__init__(
            f"An account has at most {endpoints_max} webhook endpoints.", facts={"endpoints_max": endpoints_max}
        )


class WebhookUrlRefused(BillingError):
    """The address is not one that messages may be sent to; it is not repeated."""

    code = "webhook_url_refused"


class OutboundNotConfigured(BillingError):
    """This deployment has no secret to sign messages with, so that it sends none."""

    code = "outbound_not_configured"

    def __init__(self) -> None:
        super().__init__("Webhooks to customers are not set up here.")
