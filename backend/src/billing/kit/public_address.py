"""Where browsers find this deployment, and which addresses may be shown or followed on its behalf.

The scheme, host and base path come from the settings, never from a request's Host header: a request can claim any.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from pydantic import Field

from billing.kit.errors import BillingError, SettingsError
from billing.kit.settings import SettingsGroup

ADDRESS_LENGTH_MAX = 2048
_DEFAULT_PORTS = {"http": 80, "https": 443}
_PRINTABLE = re.compile(r"[!-~]+")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# An escaped slash, dot, percent sign or control character means one thing to us and another to the next server.
_TREACHEROUS_ESCAPE = re.compile(r"%(?:2[5efEF]|5[cC]|[01][0-9A-Fa-f]|7[fF])")


class InvalidReturnUrl(BillingError):
    """An address to come back to is malformed or leads away from us; the refused text is not repeated."""

    code = "invalid_return_url"


class PublicAddressSettings(SettingsGroup):
    """Where browsers find this deployment."""

    base_url: str = Field(
        alias="BILLING_PUBLIC_BASE_URL",
        default="http://127.0.0.1:8000",
        description="Scheme, host and base path as browsers see them, such as https://shop.example/chat.",
    )


@dataclass(frozen=True, slots=True)
class PublicAddress:
    """The public base of the deployment; `base_path` is empty or begins with a slash and does not end with one."""

    scheme: str
    host: str
    base_path: str

    @property
    def origin(self) -> str:
        """Scheme and host, and the port where it is not the usual one."""
        return f"{self.scheme}://{self.host}"

    def href(self, path: str) -> str:
        """An address inside the application for links and redirects: base path and path, without the host."""
        return f"{self.base_path}{path}"

    def url(self, path: str) -> str:
        """The absolute address of a path inside the application, for parties outside."""
        return f"{self.origin}{self.href(path)}"


def parse_public_address(text: str) -> PublicAddress:
    """Reads `BILLING_PUBLIC_BASE_URL`.

    Raises:
        SettingsError: it is not an http(s) address, or carries credentials, a query or a fragment.
    """
    try:
        parts = _split(text)
        base_path = parts.path.rstrip("/")
        parse_app_path(base_path or "/")
    except InvalidReturnUrl as error:
        raise SettingsError((f"BILLING_PUBLIC_BASE_URL cannot be used: {error.sentence}",)) from None
    if parts.query:
        raise SettingsError(("BILLING_PUBLIC_BASE_URL must not have a query.",))
    scheme, _, host = _origin(parts).partition("://")
    return PublicAddress(scheme, host, base_path)


def parse_origin(text: str, *, setting: str) -> str:
    """One allowed origin such as `https://app.example`, normalised for comparison.

    Raises:
        SettingsError: it is more or less than scheme, host and port; the sentence names the setting.
    """
    try:
        parts = _split(text)
    except InvalidReturnUrl as error:
        raise SettingsError((f"{setting}: {text[:80]!r} is not an origin: {error.sentence}",)) from None
    if parts.path not in {"", "/"} or parts.query:
        raise SettingsError((f"{setting}: {text[:80]!r} is more than scheme, host and port.",))
    return _origin(parts)


def parse_app_path(text: str) -> str:
    """A path inside the application (without the base path), with its query, exactly as it came.

    It begins with one slash and cannot leave the application, however a browser or a proxy normalises it.

    Raises:
        InvalidReturnUrl: anything else.
    """
    _refuse_unprintable(text)
    path, _, _ = text.partition("?")
    if not path.startswith("/") or "//" in path:
        raise InvalidReturnUrl("An address inside the application begins with one slash and holds no empty part.")
    if any(part in {".", ".."} for part in path.split("/")):
        raise InvalidReturnUrl("The address must not contain the parts `.` or `..`.")
    if _TREACHEROUS_ESCAPE.search(path):
        raise InvalidReturnUrl(
            "The address must not contain escaped slashes, dots, percent signs or control characters."
        )
    return text


def app_path_or(text: str | None, default: str) -> str:
    """The path if it is one of ours, else the default: for pages that must not fail over a spoilt link."""
    try:
        return default if text is None else parse_app_path(text)
    except InvalidReturnUrl:
        return default


def parse_return_url(text: str, *, public: PublicAddress, allowed_origins: frozenset[str]) -> str:
    """An absolute address to which a client wants its customer brought back, exactly as it came.

    Raises:
        InvalidReturnUrl: not http(s), over 2048 characters, with credentials, a fragment, backslashes or control
            characters, or of another origin than ours and those on the allow-list.
    """
    parts = _split(text)
    if parts.path:
        parse_app_path(parts.path)
    if _origin(parts) not in {_origin(urlsplit(public.origin)), *allowed_origins}:
        raise InvalidReturnUrl("The address belongs neither to this deployment nor to an allowed origin.")
    return text


def _split(text: str) -> SplitResult:
    _refuse_unprintable(text)
    try:
        parts = urlsplit(text)
        _ = parts.port  # reading it is what checks it
    except ValueError:
        raise InvalidReturnUrl("The address cannot be read.") from None
    if parts.scheme not in _DEFAULT_PORTS or not text[len(parts.scheme) :].startswith("://") or not parts.hostname:
        raise InvalidReturnUrl("The address must begin with http:// or https:// and a host.")
    if "@" in parts.netloc or "%" in parts.netloc:
        raise InvalidReturnUrl("The address must not carry credentials or an escaped host.")
    return parts


def _refuse_unprintable(text: str) -> None:
    if len(text) > ADDRESS_LENGTH_MAX:
        raise InvalidReturnUrl(f"The address is longer than {ADDRESS_LENGTH_MAX} characters.")
    if not _PRINTABLE.fullmatch(text):
        raise InvalidReturnUrl("The address must consist of printable ASCII characters without spaces.")
    if "\\" in text or "#" in text:
        raise InvalidReturnUrl("The address must not contain a backslash or a fragment.")
    if _BROKEN_ESCAPE.search(text) or "\\" in unquote(text):
        raise InvalidReturnUrl("The address contains a broken escape or an escaped backslash.")


def _origin(parts: SplitResult) -> str:
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    has_usual_port = parts.port is None or parts.port == _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" if has_usual_port else f"{parts.scheme}://{host}:{parts.port}"
