"""Whom we believe to be who they say: the public certificate authorities, read once per process."""

from __future__ import annotations

import ssl
from functools import cache

import certifi


@cache
def public_authorities() -> ssl.SSLContext:
    """The context for every connection to a stranger; reading the authorities takes tens of milliseconds."""
    return ssl.create_default_context(cafile=certifi.where())
