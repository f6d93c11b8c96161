"""Where customers may be sent back to after paying."""

from __future__ import annotations

from dataclasses import dataclass

from billing.kit.errors import InvalidInput
from billing.kit.public_address import PublicAddress, parse_app_path, parse_return_url


@dataclass(frozen=True, slots=True)
class ReturnRules:
    """Our own public address, and the origins besides to which a client may have its customers sent back."""

    public: PublicAddress
    allowed_origins: frozenset[str]

    def check(self, return_to: str | None, return_url: str | None) -> None:
        """Accepts a path inside the application, or an address that is allowed, or neither.

        Raises:
            InvalidInput: both are given, or the path is none.
            InvalidReturnUrl: the address leads elsewhere, or is written so that it could.
        """
        if return_to is not None and return_url is not None:
            raise InvalidInput("return_to", "Give either return_to or return_url, not both.")
        if return_to is not None:
            parse_app_path(return_to)
        if return_url is not None:
            parse_return_url(return_url, public=self.public, allowed_origins=self.allowed_origins)
