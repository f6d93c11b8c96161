"""Turns views into HTML: the one place that builds addresses, writes money and moments, and sets security headers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from babel.dates import format_date, format_datetime, get_timezone
from babel.numbers import format_decimal
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, RedirectResponse, Response

from billing.kit.errors import BillingError
from billing.kit.public_address import PublicAddress
from billing.pages.money_text import change_text, money_text
from billing.pages.sentences import metric_name, sentence_for, unit_name

LANGUAGE: Final = "en"
STATIC_FOLDER: Final = Path(__file__).parent / "static"
STATIC_PATH: Final = "/static"
_TEMPLATE_FOLDER: Final = Path(__file__).parent / "templates"
_ERROR_HEADER: Final = "X-Billing-Error"
_OK: Final = 200
_SEE_OTHER: Final = 303

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Pages show one person's money: no cache, shared or own, keeps them.
    "Cache-Control": "no-store",
}


class Renderer:
    """Writes pages for one public address.

    `status_of` is the application's one table of HTTP statuses, which stands above the pages.
    """

    def __init__(self, public: PublicAddress, status_of: Callable[[BillingError], int]) -> None:
        self._public = public
        self.status_of = status_of
        self.static_version: Final = _digest_of_folder(STATIC_FOLDER)
        self._environment = self._make_environment()

    def url(self, path: str) -> str:
        """The public address of a path inside the app; every link, form and redirect comes through here."""
        assert path.startswith("/"), "paths inside the app begin with a slash"
        return self._public.href(path)

    def static(self, name: str) -> str:
        """The public address of a static file; it changes with the content, so that browsers may keep it for ever."""
        return self.url(f"{STATIC_PATH}/{self.static_version}/{name}")

    def page(self, template: str, **context: Any) -> Response:
        """The template as a personal page."""
        return self._written(template, context, _OK)

    def refused(self, template: str, refusal: BillingError, **context: Any) -> Response:
        """The template with the refusal's status, and its code for programs in `X-Billing-Error` (G11)."""
        response = self._written(template, context, self.status_of(refusal))
        response.headers[_ERROR_HEADER] = refusal.code
        retry_after = refusal.facts.get("retry_after_seconds")
        if retry_after is not None:
            response.headers["Retry-After"] = str(retry_after)
        return response

    def see_other(self, path: str, *, refusal: BillingError | None = None) -> Response:
        """Sends the browser to a path inside the app with GET, after a refusal to where it is explained."""
        response = RedirectResponse(self.url(path), status_code=_SEE_OTHER, headers=SECURITY_HEADERS)
        if refusal is not None:
            response.headers[_ERROR_HEADER] = refusal.code
        return response

    def _written(self, template: str, context: Mapping[str, Any], status: int) -> Response:
        html = self._environment.get_template(template).render(context)
        return HTMLResponse(html, status_code=status, headers=SECURITY_HEADERS)

    def _make_environment(self) -> Environment:
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATE_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        environment.policies["ext.i18n.trimmed"] = True
        # Catalogues come later; until then every text is its own translation.
        environment.install_null_translations(newstyle=True)  # type: ignore[attr-defined]  # added by the extension
        environment.filters.update(
            money=money_text, change=change_text, moment=_moment_text, day=_day_text, count=_count_text
        )
        environment.globals.update(
            url=self.url,
            static=self.static,
            lang=LANGUAGE,
            sentence=sentence_for,
            metric_name=metric_name,
            unit_name=unit_name,
            frame=None,
        )
        return environment


def context_of(view: object) -> dict[str, object]:
    """A view's fields as the template's variables; their values stay what they are."""
    assert is_dataclass(view), "views are dataclasses"
    return {field.name: getattr(view, field.name) for field in fields(view)}


def _moment_text(at: datetime, time_zone: str) -> str:
    return format_datetime(at, "d MMM, HH:mm", tzinfo=get_timezone(time_zone), locale=LANGUAGE)


def _day_text(at: datetime, time_zone: str) -> str:
    local = at.astimezone(get_timezone(time_zone))
    return format_date(local, "d MMMM", locale=LANGUAGE)


def _count_text(number: int) -> str:
    return format_decimal(number, locale=LANGUAGE)


def _digest_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:12]
