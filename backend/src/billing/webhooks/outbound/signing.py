"""Signs messages as Standard Webhooks says, with secrets that are derived and stored nowhere.

Source: the Standard Webhooks specification (headers, `v1` signatures, secrets of 24 to 64 bytes, several signatures
during a rotation).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from standardwebhooks.webhooks import Webhook

from billing.webhooks.outbound.errors import OutboundNotConfigured

_PREFIX = "whsec_"
_FINGERPRINT_LENGTH = 16


@dataclass(frozen=True, slots=True)
class SecretName:
    """Which secret of an endpoint: how often it was changed before, and from which key it is derived."""

    generation: int
    key_fingerprint: str


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys of this installation, the one in use first; whoever reads the database alone can sign nothing."""

    keys: tuple[bytes, ...] = field(repr=False)

    def new_secret(self, generation: int) -> SecretName:
        """The name of a secret that is derived from the key in use.

        Raises:
            OutboundNotConfigured: there is no key.
        """
        if not self.keys:
            raise OutboundNotConfigured
        return SecretName(generation, _fingerprint(self.keys[0]))

    def secret(self, endpoint_id: str, name: SecretName) -> str:
        """The secret as the customer keeps it, `whsec_…`.

        Raises:
            OutboundNotConfigured: the key from which it is derived is not among ours any more.
        """
        for key in self.keys:
            if _fingerprint(key) == name.key_fingerprint:
                derived = hmac.new(key, f"{endpoint_id}.{name.generation}".encode(), hashlib.sha256).digest()
                return _PREFIX + base64.b64encode(derived).decode()
        raise OutboundNotConfigured

    def headers(
        self, endpoint_id: str, names: Sequence[SecretName], *, message_id: str, at: datetime, body: str
    ) -> dict[str, str]:
        """The headers of one attempt: the message's id, the attempt's moment, one signature for each live secret.

        Raises:
            OutboundNotConfigured: the key of a secret is not among ours any more.
        """
        signatures = [Webhook(self.secret(endpoint_id, name)).sign(message_id, at, body) for name in names]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }


def _fingerprint(key: bytes) -> str:
    """Tells keys apart and says nothing about them."""
    return hmac.new(key, b"webhook signing key", hashlib.sha256).hexdigest()[:_FINGERPRINT_LENGTH]
