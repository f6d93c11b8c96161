"""The catalogue of what customers' endpoints are told; a test compares it with what is recorded. Pure."""

from __future__ import annotations

from collections.abc import Mapping

ENDPOINT_TEST = "webhook_endpoint.test"
ENDPOINT_DISABLED = "webhook_endpoint.disabled"

CATALOGUE: Mapping[str, str] = {
    "wallet.low_balance": "What is not spent yet fell below the account's threshold.",
    "wallet.cap_threshold": "80 or 100 per cent of a spending cap are used; at 100 the cap is reached.",
    "topup.credited": "A top-up was paid and credited to the wallet.",
    "payment.failed": "A payment ended without money.",
    "payment.stuck": "Nothing final was heard of a payment for a week; our staff have been told.",
    "refund.succeeded": "Money of a payment was given back.",
    "refund.failed": "A refund gave nothing back, or what it gave came back.",
    "dispute.opened": "A payment is disputed; its amount is out of reach.",
    "dispute.won": "A dispute ended well; the amount is back.",
    "dispute.lost": "A dispute was lost; the amount is gone.",
    "auto_topup.disabled": "An automatic top-up was switched off; its reason says why.",
    "subscription.paid": "A plan was paid for; its period begins or is added to the one that runs.",
    "subscription.renewed": "A plan was renewed with the saved payment method.",
    "subscription.renewal_failed": "A renewal was declined.",
    "subscription.ended": "A paid period was taken back, because its payment was.",
    "subscription.restored": "A paid period that was taken back is valid again.",
    ENDPOINT_TEST: "Somebody asked for a test; sent to one endpoint, whatever it is subscribed to.",
    ENDPOINT_DISABLED: "An endpoint of the account was switched off because it failed; sent to the others.",
}
"""Every type with its meaning."""
