"""The reference pages that are made from the code; run as a program, this writes them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from pathlib import Path

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from backend.tests.architecture.refusals import leaves
from billing.http_errors import STATUS_OF
from billing.kit.errors import BillingError
from billing.kit.settings import SettingsGroup
from billing.ledger.chart_of_accounts import CHART
from billing.webhooks.outbound.event_types import CATALOGUE
from billing.wiring.settings import GROUPS

FOLDER = Path(__file__).parents[3] / "docs" / "reference"
_MADE_BY = "<!-- Made from the code by `nox -s docs`; a test compares the two. -->"

_ABOUT_SETTINGS = """\
An unknown `BILLING_…` variable is an error, so that a misspelt one is not silently ignored; those of the gate
(`BILLING_COVERAGE_…`), the probe (`BILLING_PROBE_…`) and the tests against providers' sandboxes
(`BILLING_SANDBOX_…`) are passed over. An empty variable counts as unset.
Secrets are never shown in messages or logs."""
_ABOUT_THE_CHART = """\
The entries of every transfer sum to zero, and so does the whole ledger. A positive balance of a wallet's account is
credit that the customer has; system accounts mirror it, belong to no wallet, and keep no running balance."""
_ABOUT_WEBHOOK_EVENTS = """\
What endpoints of customers are told: `{"type", "timestamp", "data"}`. `data` holds `account_id`, the `subject` (the id
of what it is about, where there is one) and facts of the type; amounts are decimal strings beside their `currency`.
New types come without notice to endpoints that asked for everything. See
[Webhooks to customers](../concepts/webhooks-to-customers.md)."""
_ABOUT_ERRORS = """\
The API answers `{"error": {"code", "message", …facts}}`; the gateway answers in OpenAI's shape with the same code;
pages say the same in words. Codes are stable, sentences may change."""


def settings_page() -> str:
    """Every setting: its variable, its default, what it does."""
    parts = [
        "# Environment variables",
        _MADE_BY,
        _ABOUT_SETTINGS,
    ]
    for group in GROUPS:
        rows = ((f"`{field.alias}`", _default_of(field), str(field.description)) for field in _fields(group))
        parts += [
            f"## {(inspect.getdoc(group) or group.__name__).rstrip('.')}",
            _table(("variable", "default", "meaning"), rows),
        ]
    return _page(parts)


def chart_page() -> str:
    """Every account that money can stand on."""
    rows = ((f"`{line.name}`", line.normal_sign.value, line.meaning) for line in CHART)
    return _page(
        [
            "# Chart of accounts",
            _MADE_BY,
            _ABOUT_THE_CHART,
            _table(("account", "normal sign", "meaning"), rows),
        ],
    )


def errors_page() -> str:
    """Every refusal that a client can meet, by status and code."""
    ordered = sorted(leaves(), key=lambda kind: (STATUS_OF[kind.code], kind.code))
    rows = ((f"`{kind.code}`", str(STATUS_OF[kind.code]), _first_sentence(kind)) for kind in ordered)
    return _page(
        [
            "# Error codes",
            _MADE_BY,
            _ABOUT_ERRORS,
            _table(("code", "status", "meaning"), rows),
        ],
    )


def webhook_events_page() -> str:
    """Every type of message that customers' endpoints are told."""
    rows = ((f"`{name}`", meaning) for name, meaning in sorted(CATALOGUE.items()))
    return _page(["# Webhook events", _MADE_BY, _ABOUT_WEBHOOK_EVENTS, _table(("type", "meaning"), rows)])


PAGES: dict[str, Callable[[], str]] = {
    "chart-of-accounts.md": chart_page,
    "env-vars.md": settings_page,
    "error-codes.md": errors_page,
    "webhook-events.md": webhook_events_page,
}


def _fields(group: type[SettingsGroup]) -> list[FieldInfo]:
    return list(group.model_fields.values())


def _default_of(field: FieldInfo) -> str:
    """The default as one writes it into an environment; one that the machine decides is described."""
    value = field.default
    if value is PydanticUndefined:
        return "depends on the machine" if field.default_factory else "must be given"
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, tuple | frozenset | list):
        value = ",".join(map(str, value))
    return f"`{value}`" if value not in {None, ""} else "unset"


def _first_sentence(kind: type[BillingError]) -> str:
    paragraph = (inspect.getdoc(kind) or "").split("\n\n")[0]
    return " ".join(paragraph.split())


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page(), encoding="utf-8")
