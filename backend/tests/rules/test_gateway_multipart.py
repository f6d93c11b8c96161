"""Forms with files: what is read, what is refused, and that the provider reads the very same parts."""

from __future__ import annotations

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.rules.multipart import Form, Part, read_form, write_form
from billing.kit.errors import InvalidInput

BOUNDARY = "limit"
NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
PARTS = st.builds(
    Part,
    name=NAMES,
    content=st.binary(max_size=200),
    file_name=st.none() | st.from_regex(r"[a-zж ]{1,10}\.wav", fullmatch=True),
)


def form_of(*parts: str, boundary: str = BOUNDARY, end: str = "--limit--\r\n") -> tuple[bytes, str]:
    """A form of such parts: headers, an empty line, content."""
    body = "".join(f"--{BOUNDARY}\r\n{part}\r\n" for part in parts) + end
    return body.encode(), f"multipart/form-data; boundary={boundary}"


def field(name: str, text: str = "x", more: str = "") -> str:
    """One text."""
    return f'Content-Disposition: form-data; name="{name}"{more}\r\n\r\n{text}'


class TestAFormOfAClient:
    def test_is_read_part_by_part(self) -> None:
        sent = httpx.Request(
            "POST",
            "https://gateway.example/",
            data={"model": "m", "n": "2", "include[]": ["a", "b"]},
            files={"file": ("talk.mp3", b"\r\n--sound--\r\n", "audio/mpeg")},
        )

        form = read_form(sent.read(), sent.headers["Content-Type"])

        assert (form.text("model"), form.whole_number("n"), form.text("prompt")) == ("m", 2, None)
        assert form.files("file") == (Part("file", b"\r\n--sound--\r\n", "talk.mp3", "audio/mpeg"),)
        assert [part.content for part in form.parts if part.name == "include[]"] == [b"a", b"b"]

    @pytest.mark.parametrize(
        ("told", "kept"),
        [
            ("talk.mp3", "talk.mp3"),
            ("/etc/passwd", "passwd"),
            ("C:\\\\music\\\\talk.wav", "talk.wav"),
            ("речь.ogg", "речь.ogg"),
            ("a\x01b%0d.wav", "ab0d.wav"),
            ("x" * 300 + ".wav", "x" * 116 + ".wav"),
            ("", "file"),
        ],
    )
    def test_keeps_of_a_file_name_what_says_its_kind(self, told: str, kept: str) -> None:
        form = read_form(*form_of(field("file", more=f'; filename="{told}"')))

        assert form.files("file")[0].file_name == kept

    def test_says_no_media_type_that_is_none(self) -> None:
        part = 'Content-Disposition: form-data; name="file"; filename="f"\r\nContent-Type: what ever/x\r\n\r\nx'

        assert read_form(*form_of(part)).files("file")[0].media_type == "application/octet-stream"


class TestAFormThatCanBeReadInTwoWays:
    @pytest.mark.parametrize(
        ("content", "content_type"),
        [
            (b"", "multipart/form-data; boundary=limit"),
            (b"{}", "application/json"),
            (b"{}", ""),
            form_of(field("model"), end=""),
            form_of(field("model"), boundary="another"),
            form_of(field("model"), boundary=""),
            form_of(field("model"), boundary="x" * 71),
            form_of(field("model"), boundary="li\x01mit"),
            form_of("no header\r\n\r\nx"),
            form_of("\r\nx"),
            form_of(field("")),
            form_of(field("a b")),
            form_of('Content-Disposition: attachment; name="model"\r\n\r\nx'),
            form_of('Content-Disposition: form-data; name="a"\r\n' + field("model")),
            form_of("Content-Transfer-Encoding: base64\r\n" + field("model")),
            form_of("Content-Type: text/plain\r\nContent-Type: text/html\r\n" + field("model")),
            form_of(*(field(f"name{number}") for number in range(65))),
        ],
    )
    def test_is_refused_whole(self, content: bytes, content_type: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            read_form(content, content_type)

        assert refusal.value.field == "body"

    @pytest.mark.parametrize("names", [("model", "model"), ("model", "model[]"), ("model[a]", "model")])
    def test_because_a_name_stands_twice_is_refused_by_that_name(self, names: tuple[str, str]) -> None:
        with pytest.raises(InvalidInput) as refusal:
            read_form(*form_of(*map(field, names)))

        assert refusal.value.field == "model"

    def test_because_a_text_stands_as_a_list_is_refused_once_it_is_read(self) -> None:
        form = read_form(*form_of(field("model[]")))

        with pytest.raises(InvalidInput):
            form.text("model")

    def test_because_of_an_endless_text_is_refused(self) -> None:
        with pytest.raises(InvalidInput) as refusal:
            read_form(*form_of(field("prompt", "x" * 300_000)))

        assert refusal.value.field == "prompt"


class TestAMember:
    def test_that_is_a_file_is_no_text(self) -> None:
        form = Form((Part("model", b"m", "m.txt"),))

        with pytest.raises(InvalidInput):
            form.text("model")

    def test_that_is_no_utf8_is_no_text(self) -> None:
        with pytest.raises(InvalidInput):
            Form((Part("model", b"\xff"),)).text("model")

    @pytest.mark.parametrize("part", [Part("file", b"text"), Part("file", b"", "empty.wav")])
    def test_that_is_a_text_or_empty_is_no_file(self, part: Part) -> None:
        with pytest.raises(InvalidInput):
            Form((part,)).files("file")

    @pytest.mark.parametrize("text", ["0", "-1", "1.0", "1e3", "٣", "", " 1", "9" * 10, "true"])
    def test_that_is_no_whole_number_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            Form((Part("n", text.encode()),)).whole_number("n")

    def test_that_says_neither_yes_nor_no_is_refused(self) -> None:
        with pytest.raises(InvalidInput):
            Form((Part("stream", b"maybe"),)).is_true("stream")

    def test_that_the_route_does_not_know_is_refused(self) -> None:
        form = Form((Part("file", b"x", "x.wav"), Part("url", b"https://long.example/recording")))

        with pytest.raises(InvalidInput) as refusal:
            form.require_only(frozenset({"file"}))

        assert refusal.value.field == "url"


class TestWhatTheProviderGets:
    @given(parts=st.lists(PARTS, max_size=6, unique_by=lambda part: part.name.partition("[")[0]))
    def test_reads_as_the_same_parts_whatever_they_hold(self, parts: list[Part]) -> None:
        form = Form(tuple(parts) or (Part("model", b"m"),))

        assert read_form(*write_form(form)) == form

    def test_names_the_model_once(self) -> None:
        form = read_form(*form_of(field("model", "public"), field("prompt", "--limit\r\nname=model")))

        content, _ = write_form(form.with_text("model", "theirs"))

        assert content.count(b'name="model"') == 1
        assert b"public" not in content

    def test_is_the_same_for_the_same_form(self) -> None:
        form = Form((Part("file", b"sound", "s.wav"), Part("model", b"m")))

        assert write_form(form) == write_form(form)
