"""What the door for notifications refuses, when nothing is stored, and what cannot be done with a stored one.

BillingError
├── WebhookContentTypeWrong          not JSON by its own account
├── WebhookTooLarge                  more bytes than any notification has
├── WebhookMalformed                 not UTF-8, not JSON, not an object, or nested too deep
├── WebhookUntrusted                 a trust check failed
│   ├── WebhookTokenInvalid          the shared token is missing or wrong
│   ├── WebhookSourceRefused         it does not come from the provider's addresses
│   ├── WebhookSignatureInvalid      it is not signed with one of our secrets
│   └── WebhookSignatureOutdated     it is, but not within the last or next five minutes
├── WebhookNotConfigured             a check is on without its secret, or nobody handles this provider here
├── MessageNotFound                  there is no stored notification with this id
└── MessageStatusWrong               it does not stand where it must for what is asked
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


class WebhookSignatureInvalid(WebhookUntrusted):
    """Says neither whether a signature came nor how wrong it was."""

    code = "webhook_signature_invalid"

    def __init__(self) -> None:
        super().__init__("The notification is not signed with our secret.")


class WebhookSignatureOutdated(WebhookUntrusted):
    """A true signature of another time: recorded and played back, or one of the two clocks is wrong."""

    code = "webhook_signature_outdated"

    def __init__(self) -> None:
        super().__init__("The notification was signed at another time.")


class WebhookNotConfigured(BillingError):
    """This deployment cannot tell a true notification from a false one, so that it takes none."""

    code = "webhook_not_configured"

    def __init__(self) -> None:
        super().__init__("Notifications of this provider cannot be accepted here.")


class MessageNotFound(BillingError):
    """There is no stored notification with this id."""

    code = "inbox_message_not_found"

    def __init__(self, message_id: str) -> None:
        super().__init__("There is no notification with this id.", facts={"message_id": message_id})


class MessageStatusWrong(BillingError):
    """A waiting notification is handled anyway, and one in quarantine must be released, not replayed."""

    code = "inbox_message_status_wrong"

    def __init__(self, message_id: str, status: str) -> None:
        super().__init__(
            f"The notification is {status}, for which this is not meant.",
            facts={"message_id": message_id, "status": status},
        )
