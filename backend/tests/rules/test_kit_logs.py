"""A log line is one JSON object, and no secret is in it (G11)."""

from __future__ import annotations

import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator

import pytest
import structlog

from billing.kit.logs import configure_logs, hide_row_contents, hide_secrets

SECRET = "sk-live-4242"


@pytest.fixture
def _logs_as_before() -> Iterator[None]:
    """Whatever a test does to the process's logs is undone."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    chatty = {name: logging.getLogger(name).level for name in ("httpx", "stripe")}
    configured = structlog.get_config()
    yield
    structlog.configure(**configured)
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in chatty.items():
        logging.getLogger(name).setLevel(before)


class TestHidingSecrets:
    @pytest.mark.parametrize(
        "name",
        [
            "password",
            "Authorization",
            "session_token",
            "secret_key",
            "api_key",
            "Set-Cookie",
            "csrf_token",
            "BILLING_YOOKASSA_SECRET_KEY",
        ],
    )
    def test_a_field_whose_name_speaks_of_a_secret_is_hidden(self, name: str) -> None:
        assert hide_secrets(None, "info", {name: SECRET}) == {name: "[hidden]"}

    def test_secrets_inside_other_fields_are_hidden_too(self) -> None:
        event = hide_secrets(
            None, "info", {"headers": {"Authorization": SECRET, "Accept": "*/*"}, "rows": [{"token": SECRET}]}
        )

        assert event == {"headers": {"Authorization": "[hidden]", "Accept": "*/*"}, "rows": [{"token": "[hidden]"}]}

    def test_everything_else_is_written(self) -> None:
        event = {"event": "hold_expired", "wallet_id": "wal_1", "count": 3}

        assert hide_secrets(None, "info", dict(event)) == event


class TestHidingRowContents:
    @pytest.mark.parametrize("row", ["(per_1, a@b.example)", "(per_1, first line\nsecond line a@b.example)"])
    @pytest.mark.parametrize("rest", ["", "\n[SQL: INSERT INTO people]", "\nCONTEXT: PL/pgSQL", "\n\nThe above"])
    def test_the_row_that_the_database_refused_is_hidden_and_the_rest_kept(self, row: str, rest: str) -> None:
        trace = f"IntegrityError: new row violates ck_people\nDETAIL:  Failing row contains {row}{rest}"

        written = str(hide_row_contents(None, "error", {"exception": trace})["exception"])

        assert "a@b.example" not in written
        assert written.startswith("IntegrityError: new row violates ck_people\n")
        assert written.endswith(rest.strip() or "[hidden]\n")

    def test_the_rows_in_a_group_of_exceptions_are_hidden_too(self) -> None:
        refused = [RuntimeError(f"refused\nDETAIL:  Key (email)=({name}@b.example)") for name in ("one", "two")]
        trace = "".join(traceback.format_exception(ExceptionGroup("some", refused)))

        written = str(hide_row_contents(None, "error", {"exception": trace})["exception"])

        assert "@b.example" not in written
        assert (written.count("refused"), written.count("    | DETAIL: [hidden]\n")) == (2, 2)


@pytest.mark.usefixtures("_logs_as_before")
class TestWriting:
    def test_what_a_library_logs_of_a_refused_row_is_hidden(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")

        refused = RuntimeError("refused\nDETAIL:  Key (email)=(a@b.example)")
        logging.getLogger("procrastinate").error("a job ended", exc_info=refused)

        written = capsys.readouterr().err
        assert "RuntimeError: refused" in written
        assert "a@b.example" not in written

    def test_a_line_is_one_json_object_on_standard_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        configure_logs("INFO")

        structlog.get_logger("tests.logs").warning("hold_expired", wallet_id="wal_1", token=SECRET)

        written = capsys.readouterr()
        line = json.loads(written.err)
        assert (line["event"], line["wallet_id"], line["token"]) == ("hold_expired", "wal_1", "[hidden]")
        assert written.out == ""

    @pytest.mark.parametrize("library", ["httpx", "stripe"])
    def test_libraries_that_narrate_what_others_wrote_are_silenced(
        self, capsys: pytest.CaptureFixture[str], library: str
    ) -> None:
        configure_logs("DEBUG")

        logging.getLogger(library).info("HTTP Request: POST https://host/webhooks?token=%s", SECRET)

        assert SECRET not in capsys.readouterr().err

    def test_lines_go_on_after_standard_error_was_replaced_and_closed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with io.StringIO() as replaced, monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", replaced)
            configure_logs("INFO")
            log = structlog.get_logger("tests.logs")
            log.info("first")

        log.info("second")
        logging.getLogger("tests.logs").info("third")

        written = capsys.readouterr().err
        assert '"second"' in written
        assert "third" in written
        assert "Logging error" not in written
