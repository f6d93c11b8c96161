"""What the door for notifications refuses; nothing is stored then.

BillingError
├── WebhookContentTypeWrong    not JSON by its own account
├── WebhookTooLarge            more bytes than any notification has
├── WebhookMalformed           not UTF-8, not JSON, not an object, or nested too deep
├── WebhookUntrusted           a trust check failed
│   ├── WebhookTokenInvalid    the shared token is missing or wrong
│   └── WebhookSourceRefused   it does not come from the provider's addresses
└── WebhookNotConfigured       a check is on without its secret, or nobody handles this provider here
"""

from __future__ import annotations

from billing.kit.errors import BillingError


class WebhookContentTypeWrong(BillingError):
    """The body is not declared as JSON."""

    code = "webhook_content_type_wrong"

    def __init__(self) -> None:
        super().__init__("A notification is sent as application/json.")


class WebhookTooLarge(BillingError):
    """The body is larger than any notification."""

    code = "webhook_too_large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"A notification has at most {bytes_max} bytes.", facts={"bytes_max": bytes_max})


class WebhookMalformed(BillingError):
    """The body cannot be a notification."""

    code = "webhook_malformed"


class WebhookUntrusted(BillingError):
    """Whoever sent this is not the provider."""

    code = "webhook_untrusted"


class WebhookTokenInvalid(WebhookUntrusted):
    """Says neither whether a token came nor how wrong it was."""

    code = "webhook_token_invalid"

    def __init__(self) -> None:
        super().__init__("The notification does not carry the shared token.")


class WebhookSourceRefused(WebhookUntrusted):
    """The address is not one of the provider's, or cannot be told."""

    code = "webhook_source_refused"

    def __init__(self) -> None:
        super().__init__("Notifications are only taken from the provider's addresses.")


class WebhookNotConfigured(BillingError):
    """This deployment cannot tell a true notification from a false one, so that it takes none."""

    code = "webhook_not_configured"

    def __init__(self) -> None:
        super().__init__("Notifications of this provider cannot be accepted here.")
