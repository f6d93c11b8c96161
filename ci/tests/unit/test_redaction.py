"""Redaction: secrets leave a trace, its JSON and its archive stay loadable."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from confidence.evidence.redaction import REDACTED, UnsafeArchiveError, redact_json, redact_text, redact_trace

SECRET = "correct-horse-battery"


def a_trace(tmp_path: Path, **members: str | bytes) -> Path:
    path = tmp_path / "trace.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return path


def content_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


class TestText:
    @pytest.mark.parametrize(
        "secret",
        [
            "Authorization: Bearer abcdefghijklmnop",
            "sk-live_0123456789abcdef0123",
            "https://shop:topsecret@pay.example/x",
            "GET /return?access_token=abcd1234efgh",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJlMTIz",
            "anna@example.org",
        ],
    )
    def test_what_looks_like_a_secret_is_covered(self, secret: str) -> None:
        cleaned, found = redact_text(f"before {secret} after")

        assert found == 1
        assert REDACTED in cleaned
        assert cleaned.startswith("before ")
        assert cleaned.endswith(" after")

    def test_ordinary_text_stays(self) -> None:
        text = "max_tokens=16 balance 12.50 RUB, hold hld_01J released; backend/tests/test_holds.py::test_a"

        assert redact_text(text) == (text, 0)

    def test_twice_is_once(self) -> None:
        once, _ = redact_text("password=hunter2hunter2&next=/")

        assert redact_text(once) == (once, 0)


class TestJson:
    def test_members_headers_and_nested_documents_are_covered(self) -> None:
        value = {
            "headers": [{"name": "Authorization", "value": SECRET}, {"name": "Accept", "value": "text/html"}],
            "postData": {"text": json.dumps({"password": SECRET, "amount": "5.00"})},
            "usage": {"total_tokens": 12, "prompt_tokens": "7"},
        }

        cleaned, found = redact_json(value)

        assert found == 2
        assert SECRET not in json.dumps(cleaned)
        assert cleaned["headers"][1]["value"] == "text/html"
        assert json.loads(cleaned["postData"]["text"]) == {"password": REDACTED, "amount": "5.00"}
        assert cleaned["usage"] == {"total_tokens": 12, "prompt_tokens": "7"}

    @pytest.mark.parametrize("value", [None, 3, 1.5, True, [], {}, {"token": None}, {"password": 7}])
    def test_what_is_no_text_keeps_its_shape(self, value: Any) -> None:
        assert redact_json(value) == (value, 0)


class TestATrace:
    def test_a_secret_is_covered_wherever_it_is_repeated(self, tmp_path: Path) -> None:
        fill = {"method": "fill", "params": {"selector": 'internal:label="Password"i', "value": SECRET}}
        path = a_trace(
            tmp_path,
            trace__trace=json.dumps(fill) + "\n" + json.dumps({"type": "log", "message": f'fill("{SECRET}")'}) + "\n",
            trace__network=json.dumps({"snapshot": {"html": ["INPUT", {"type": "password", "value": SECRET}]}}),
            page__html=f"<input value='{SECRET}'>",
            test__py=f"page.fill('{SECRET}')",
            shot__png=b"\x89PNG" + SECRET.encode(),
        )

        found = redact_trace(path)

        members = content_of(path)
        assert found >= 4
        assert not [name for name, raw in members.items() if SECRET.encode() in raw and name != "shot.png"]
        assert [json.loads(line)["type"] for line in members["trace.trace"].splitlines()[1:]] == ["log"]

    def test_a_clean_trace_is_left_byte_for_byte(self, tmp_path: Path) -> None:
        path = a_trace(tmp_path, trace__trace='{"type":"context-options"}\n')
        before = path.read_bytes()

        found = redact_trace(path)

        assert found == 0
        assert path.read_bytes() == before

    def test_a_half_archive_is_refused_and_nothing_is_left_behind(self, tmp_path: Path) -> None:
        path = a_trace(tmp_path, trace__trace='{"a": "b"}' * 100)
        path.write_bytes(path.read_bytes()[:-20])

        with pytest.raises(UnsafeArchiveError, match="no whole zip file"):
            redact_trace(path)

        assert [item.name for item in tmp_path.iterdir()] == ["trace.zip"]

    @pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "a\\..\\..\\b"])
    def test_a_member_that_points_out_is_refused(self, tmp_path: Path, name: str) -> None:
        path = tmp_path / "trace.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")

        with pytest.raises(UnsafeArchiveError, match="points out"):
            redact_trace(path)

    def test_a_bomb_is_refused_before_it_is_unpacked(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.zip"
        with (
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
            archive.open("bomb", "w", force_zip64=True) as out,
        ):
            for _ in range(257):
                out.write(bytes(1024 * 1024))

        with pytest.raises(UnsafeArchiveError, match="too large"):
            redact_trace(path)
