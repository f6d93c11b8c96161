"""Who is one person: the same mailbox under all its spellings, and a digest that says so without the address.

The rules are those that the large providers publish for their own mailboxes. Where they know nothing, two addresses
are two people: nobody is taken for somebody else because of a guess.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

IDENTITY_SECRET_LENGTH_MIN = 32

_PURPOSE = b"billing: one free quota for each person\0"

# Hosts under which a provider keeps the same mailbox, led back to one of them.
_SAME_HOST = {
    "googlemail.com": "gmail.com",
    "protonmail.com": "proton.me",
    "protonmail.ch": "proton.me",
    "pm.me": "proton.me",
    "me.com": "icloud.com",
    "mac.com": "icloud.com",
    "ya.ru": "yandex.ru",
    "yandex.by": "yandex.ru",
    "yandex.com": "yandex.ru",
    "yandex.kz": "yandex.ru",
    "yandex.ua": "yandex.ru",
}
# Characters in which these providers see no difference, led back to the second text.
_SAME_LETTERS = {
    "gmail.com": ((".", ""),),
    "proton.me": ((".", ""), ("-", ""), ("_", "")),
    "yandex.ru": ((".", "-"),),
}
# Names at these hosts hold no hyphen; what follows one is a throwaway address of the same mailbox.
_HYPHEN_TAGS = ("yahoo.", "ymail.com", "rocketmail.com")
# whatever@name.fastmail.com reaches name@fastmail.com.
_SUBDOMAIN_HOSTS = ("fastmail.com", "fastmail.fm")


@dataclass(frozen=True, slots=True)
class PersonIdentity:
    """Whether somebody's e-mail was verified, and the digests under which the person is known, newest secret first."""

    digests: tuple[bytes, ...]
    is_verified: bool


def mailbox_of(email: str) -> str:
    """The one spelling of the mailbox that this normalised e-mail reaches.

    Plus tags go at every host; dots and other letters where the provider ignores them; alias hosts become one.
    """
    local, _, host = email.partition("@")
    for parent in _SUBDOMAIN_HOSTS:
        if host.endswith(f".{parent}"):
            local, host = host.removesuffix(f".{parent}").rpartition(".")[2], parent
    host = _SAME_HOST.get(host, host)
    local = _without_tag(local, "+")
    if host.startswith(_HYPHEN_TAGS):
        local = _without_tag(local, "-")
    for ignored, instead in _SAME_LETTERS.get(host, ()):
        local = local.replace(ignored, instead) or local
    return f"{local}@{host}"


def identity_digest(email: str, secret: bytes) -> bytes:
    """32 bytes that are the same for all spellings of one mailbox, and tell nothing without the secret."""
    return hmac.new(secret, _PURPOSE + mailbox_of(email).encode(), hashlib.sha256).digest()


def _without_tag(local: str, separator: str) -> str:
    """The part before the tag; an address that begins with the separator has no tag."""
    return local.partition(separator)[0] or local
