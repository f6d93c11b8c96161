"""What plain HTTP on loopback needs of TLS: nothing. Reading the machine's certificates takes as long as many tests."""

from __future__ import annotations

import ssl

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""A context that trusts nobody: an https address would fail with it, which none of ours is."""
