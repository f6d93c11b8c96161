"""What customers can be refused.

BillingError
├── NotSignedIn               no credentials, or a session that has ended
├── CredentialsWrong          this e-mail and this password do not belong together
├── TooManyAttempts           too many failed sign-ins; come back later
├── ApiKeyInvalid             an API key that is unknown, revoked or expired
├── CsrfFailed                a change by cookie without the session's own CSRF token
├── Forbidden                 signed in, but the role or the key's scopes do not reach that far
├── AccountNotFound           no such account, or not for this caller
├── ApiKeyNotFound            no such API key in the caller's account
├── ApiKeyLimitReached        the account has as many live API keys as it may
└── EmailTaken                another person signs in with this e-mail
"""

from __future__ import annotations

from billing.kit.errors import BillingError


class NotSignedIn(BillingError):
    """No credentials came, or the session has ended."""

    code = "not_signed_in"

    def __init__(self) -> None:
        super().__init__("Sign in first, or send an API key.")


class CredentialsWrong(BillingError):
    """Says neither whether the e-mail is known nor which half was wrong."""

    code = "credentials_wrong"

    def __init__(self) -> None:
        super().__init__("This e-mail and this password do not belong together.")


class TooManyAttempts(BillingError):
    """Sign-ins fail too often for this e-mail or from this address."""

    code = "too_many_attempts"

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            f"Too many attempts to sign in; try again in {retry_after_seconds} seconds.",
            facts={"retry_after_seconds": retry_after_seconds},
        )
        self.retry_after_seconds = retry_after_seconds


class ApiKeyInvalid(BillingError):
    """Says neither whether the key ever existed nor why it does not count any more."""

    code = "api_key_invalid"

    def __init__(self) -> None:
        super().__init__("This API key is not valid.")


class CsrfFailed(BillingError):
    """A request that changes something came with a cookie, but without the token that only our own pages know."""

    code = "csrf_failed"

    def __init__(self) -> None:
        super().__init__("This request did not come from a page of ours; reload the page and try again.")


class Forbidden(BillingError):
    """The caller is known, and may not do this."""

    code = "forbidden"

    def __init__(self, permission: str) -> None:
        super().__init__(f"This needs the permission {permission}.", facts={"permission": permission})
        self.permission = permission


class AccountNotFound(BillingError):
    """No account has this id."""

    code = "account_not_found"

    def __init__(self, account_id: str) -> None:
        super().__init__("There is no such account.")
        self.account_id = account_id


class ApiKeyNotFound(BillingError):
    """The caller's account has no such key; whether another account has one stays unsaid."""

    code = "api_key_not_found"

    def __init__(self, api_key_id: str) -> None:
        super().__init__("There is no such API key.")
        self.api_key_id = api_key_id


class ApiKeyLimitReached(BillingError):
    """The account has as many live API keys as it may have."""

    code = "api_key_limit_reached"

    def __init__(self, limit: int) -> None:
        super().__init__(f"An account has at most {limit} live API keys; revoke one first.", facts={"limit": limit})
        self.limit = limit


class EmailTaken(BillingError):
    """An e-mail belongs to one person."""

    code = "email_taken"

    def __init__(self) -> None:
        super().__init__("Another person signs in with this e-mail.")
