"""Signatures over a timestamp and a body, in the scheme that Stripe publishes: made and checked purely.

Source: Stripe's documentation "Verify webhook signatures manually": the header reads `t=<seconds>,v1=<hex>[,v1=<hex>]`
and each `v1` is the HMAC-SHA256 of `<t>.<body>` under one secret, so that two secrets can be valid while one is being
replaced.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta

from billing.webhooks.errors import WebhookSignatureInvalid, WebhookSignatureOutdated

TOLERANCE = timedelta(seconds=300)

_HEADER_BYTES_MAX = 4096
_SIGNATURES_MAX = 16
_TIMESTAMP_DIGITS_MAX = 12


def sign(body: bytes, secret: bytes, *, at: datetime) -> bytes:
    """The header's value for a body that is sent at this moment."""
    timestamp = str(int(at.timestamp())).encode()
    return b"t=" + timestamp + b",v1=" + _signature(timestamp, body, secret)


def check_signature(header: bytes | None, body: bytes, secrets: Sequence[bytes], *, now: datetime) -> None:
    """Lets a body pass that one of the secrets has signed at most 300 s before or after now.

    An outdated signature is told from an invalid one only after it has proved to be a true one.

    Raises:
        WebhookSignatureInvalid: there is no signature, it cannot be read, or none of the secrets made it.
        WebhookSignatureOutdated: it was made too long ago, or too far in the future.
    """
    timestamp, signatures = _parse(header or b"")
    expected = [_signature(timestamp, body, secret) for secret in secrets if secret]
    # Each is compared with each, whatever was found before: the time that it takes tells nothing.
    matches = [hmac.compare_digest(given, ours) for given in signatures for ours in expected]
    if not timestamp or not any(matches):
        raise WebhookSignatureInvalid
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE.total_seconds():
        raise WebhookSignatureOutdated


def _parse(header: bytes) -> tuple[bytes, list[bytes]]:
    """The timestamp's digits, empty if there are none, and the signatures of the scheme `v1`."""
    timestamp = b""
    signatures = []
    for part in header[:_HEADER_BYTES_MAX].split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"t" and value.isdigit() and len(value) <= _TIMESTAMP_DIGITS_MAX:
            timestamp = value
        elif name == b"v1":
            signatures.append(value)
    return timestamp, signatures[:_SIGNATURES_MAX]


def _signature(timestamp: bytes, body: bytes, secret: bytes) -> bytes:
    return hmac.new(secret, timestamp + b"." + body, hashlib.sha256).hexdigest().encode()
