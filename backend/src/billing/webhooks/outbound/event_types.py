"""The catalogue of what customers' endpoints are told; a test compares it with what is recorded. Pure."""

from __future__ import annotations

from collections.abc import Mapping

ENDPOINT_TEST = "webhook_endpoint.test"
ENDPOINT_DISABLED = "webhook_endpoint.disabled"

CATALOGUE: Mapping[str, str] = {
    "wallet.low_balance": "What is not spent yet fell below the account's threshold.",
    "wallet.cap_threshold": "80 or 100 per cent of a spending cap are used; at 100 the cap is reached.",
    ENDPOINT_TEST: "Somebody asked for a test; sent to one endpoint, whatever it is subscribed to.",
    ENDPOINT_DISABLED: "An endpoint of the account was switched off because it failed; sent to the others.",
}
"""Every type with its meaning."""
