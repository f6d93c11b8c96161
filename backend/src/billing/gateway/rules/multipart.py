"""Forms with files: read part by part, and written anew, so that the provider reads the very parts that we priced.

Source: RFC 7578. What a form may say once it says once: two parts of one name could be read differently by us and by
whoever answers.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from billing.kit.errors import InvalidInput

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_PARTS_MAX = 64
_TEXT_BYTES_MAX = 256 * 1024
_FILE_NAME_LENGTH_MAX = 120
_FORM = b"multipart/form-data"
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")
_PART_NAME = re.compile(rb"[A-Za-z0-9_.\[\]-]{1,64}")
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,80}", re.ASCII)
_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_UNKNOWN_MEDIA = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Part:
    """One member of a form: a text, or a file if it has a file name."""

    name: str
    content: bytes
    file_name: str | None = None
    media_type: str = _UNKNOWN_MEDIA

    @property
    def base_name(self) -> str:
        """The name without what stands in brackets: `image` for `image[]` and `image[0]`."""
        return self.name.partition("[")[0]

    @property
    def is_file(self) -> bool:
        """It was sent as a file."""
        return self.file_name is not None


@dataclass(frozen=True, slots=True)
class Form:
    """All parts, in their order; a name stands once, unless it is a list's (`image[]`)."""

    parts: tuple[Part, ...]

    def text(self, name: str) -> str | None:
        """The text of this name, or None if the form does not have it.

        Raises:
            InvalidInput: it is a file, a list, or not UTF-8.
        """
        same = [part for part in self.parts if part.base_name == name]
        if any(part.name != name for part in same):
            raise InvalidInput(name, f"`{name}` is one text, not a list.")
        part = next((part for part in self.parts if part.name == name), None)
        if part is None:
            return None
        if part.is_file:
            raise InvalidInput(name, f"`{name}` is a text, not a file.")
        try:
            return part.content.decode()
        except UnicodeDecodeError as error:
            raise InvalidInput(name, f"`{name}` is not UTF-8.") from error

    def whole_number(self, name: str) -> int | None:
        """The whole number from 1 on that stands under this name, or None if the form does not have it.

        Raises:
            InvalidInput: it is something else.
        """
        text = self.text(name)
        if text is not None and _WHOLE_NUMBER.fullmatch(text) is None:
            raise InvalidInput(name, f"`{name}` is a whole number from 1 on.")
        return None if text is None else int(text)

    def is_true(self, name: str) -> bool:
        """Whether this name says yes; what is not there says no.

        Raises:
            InvalidInput: it says neither.
        """
        text = self.text(name)
        if text not in {None, "true", "false"}:
            raise InvalidInput(name, f"`{name}` is true or false.")
        return text == "true"

    def files(self, name: str) -> tuple[Part, ...]:
        """The files under this name, one or a list.

        Raises:
            InvalidInput: one of them is no file, or has no content.
        """
        found = tuple(part for part in self.parts if part.base_name == name)
        for part in found:
            if not part.is_file or not part.content:
                raise InvalidInput(part.name, f"`{part.name}` is a file with something in it.")
        return found

    def with_text(self, name: str, text: str) -> Form:
        """The same form, in which this name says this; what it said before is gone."""
        return Form((*(part for part in self.parts if part.base_name != name), Part(name, text.encode())))

    def require_only(self, names: frozenset[str]) -> None:
        """Refuses what is not known to this route: an unknown name may point at another file than the one we measure.

        Raises:
            InvalidInput: a part has another name; `field` says which.
        """
        unknown = next((part.name for part in self.parts if part.base_name not in names), None)
        if unknown is not None:
            raise InvalidInput(unknown, f"`{unknown}` is not known to this route.")


def read_form(content: bytes, content_type: str) -> Form:
    """The form, if each of its parts can be read in one way only.

    Raises:
        InvalidInput: not a form, cut off, too many parts, or two parts of one name; `field` names it.
    """
    media_type, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if media_type != _FORM or _BOUNDARY.fullmatch(boundary) is None:
        raise InvalidInput("body", "The body is a form: multipart/form-data with its boundary.")
    parts = tuple(_read_part(raw) for raw in _raw_parts(content, boundary))
    _require_single(parts)
    return Form(parts)


def write_form(form: Form) -> tuple[bytes, str]:
    """The form as bytes, and the content type that goes with them; the same form gives the same bytes."""
    boundary = _boundary_for(form.parts)
    lines: list[bytes] = []
    for part in form.parts:
        lines += (b"--" + boundary, _disposition(part))
        if part.is_file:
            lines.append(b"Content-Type: " + part.media_type.encode())
        lines += (b"", part.content)
    lines += (b"--" + boundary + b"--", b"")
    return b"\r\n".join(lines), f"multipart/form-data; boundary={boundary.decode()}"


@dataclass(slots=True)
class _RawPart:
    """A part as it is read, piece by piece."""

    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    name: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    content: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class _RawForm:
    """Collects what the parser finds."""

    parts: list[_RawPart] = field(default_factory=list)
    is_whole: bool = False

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls; pieces of a header's name and value may come in several calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._add(self.parts[-1].name, data[start:end]),
            "on_header_value": lambda data, start, end: self._add(self.parts[-1].value, data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._add(self.parts[-1].content, data[start:end]),
            "on_end": self._end,
        }

    def _begin(self) -> None:
        if len(self.parts) == _PARTS_MAX:
            raise InvalidInput("body", f"A form has at most {_PARTS_MAX} parts.")
        self.parts.append(_RawPart())

    def _end_header(self) -> None:
        part = self.parts[-1]
        part.headers.append((bytes(part.name).lower(), bytes(part.value)))
        part.name.clear()
        part.value.clear()

    def _end(self) -> None:
        self.is_whole = True

    @staticmethod
    def _add(text: bytearray, piece: bytes) -> None:
        text += piece


def _raw_parts(content: bytes, boundary: bytes) -> Sequence[_RawPart]:
    raw = _RawForm()
    try:
        parser = MultipartParser(boundary, raw.callbacks())
        parser.write(content)
        parser.finalize()
    except FormParserError as error:
        raise InvalidInput("body", "The form cannot be read.") from error
    if not raw.is_whole:
        raise InvalidInput("body", "The form is cut off, or its boundary is another.")
    return raw.parts


def _read_part(raw: _RawPart) -> Part:
    headers = Counter(name for name, _ in raw.headers)
    values = dict(raw.headers)
    if headers[b"content-disposition"] != 1 or headers[b"content-type"] > 1 or b"content-transfer-encoding" in headers:
        raise InvalidInput("body", "A part of the form has missing, repeated or outdated headers.")
    kind, options = parse_options_header(values[b"content-disposition"])
    name = options.get(b"name", b"")
    if kind != b"form-data" or _PART_NAME.fullmatch(name) is None:
        raise InvalidInput("body", "A part of the form has no usable name.")
    content, file_name = bytes(raw.content), options.get(b"filename")
    if file_name is None and len(content) > _TEXT_BYTES_MAX:
        raise InvalidInput(name.decode(), f"`{name.decode()}` has more than {_TEXT_BYTES_MAX} bytes.")
    shown = None if file_name is None else _plain_file_name(file_name)
    return Part(name.decode(), content, shown, _plain_media_type(values.get(b"content-type", b"")))


def _require_single(parts: Sequence[Part]) -> None:
    for name, count in Counter(part.base_name for part in parts).items():
        is_list = all(part.name != name for part in parts if part.base_name == name)
        if count > 1 and not is_list:
            raise InvalidInput(name, f"`{name}` stands more than once in the form.")


def _plain_file_name(told: bytes) -> str:
    """The last part of the path; providers look at its ending, nobody at the rest."""
    text = told.decode(errors="replace").replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter for letter in text if letter.isprintable() and letter not in '"%')
    return kept[-_FILE_NAME_LENGTH_MAX:] or "file"


def _plain_media_type(told: bytes) -> str:
    text = told.decode("latin-1").partition(";")[0].strip().lower()
    return text if _MEDIA_TYPE.fullmatch(text) else _UNKNOWN_MEDIA


def _boundary_for(parts: Sequence[Part]) -> bytes:
    """One that no part contains: found again for the same parts, so that the bytes are a function of the form."""
    digest = hashlib.sha256(b"".join(part.content for part in parts)).hexdigest().encode()
    assert all(digest not in part.content for part in parts), "a text that holds its own digest is not found"
    return digest


def _disposition(part: Part) -> bytes:
    shown = "" if part.file_name is None else f'; filename="{part.file_name}"'
    return f'Content-Disposition: form-data; name="{part.name}"{shown}'.encode()
