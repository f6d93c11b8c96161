"""Takes secrets and personal data out of text and of Playwright traces, whose JSON stays JSON and stays loadable."""

import json
import re
import stat
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

REDACTED = "[redacted]"
MEMBERS_MAX = 50_000
UNPACKED_BYTES_MAX = 2 * 1024**3
MEMBER_BYTES_MAX = 256 * 1024**2
SECRET_CHARS_MIN = 8

_SECRET_NAME = re.compile(
    r"pass(word|wd|phrase)?$|secret|token|api[-_]?key|^(proxy-)?authorization$|^(set-)?cookie$|^x-api-key$|credential"
    r"|^session(_?id)?$|csrf|signature$|card[-_]?number|^cvc$|^cvv$|^e?-?mail$|^phone$",
    re.IGNORECASE,
)
# Fields of a page, as Playwright's selectors describe them.
_SECRET_FIELD = re.compile(r"password|passphrase|card number|security code|e-?mail|one-time code", re.IGNORECASE)
# Names that look like secrets and hold only numbers of things: redacting them would hide what a test is about.
_HARMLESS_NAME = re.compile(r"tokens(_|$)", re.IGNORECASE)
_JSON_SUFFIXES = {".json", ".trace", ".network", ".stacks"}
_BINARY_SUFFIXES = {".png", ".jpeg", ".jpg", ".webp", ".gif", ".ico", ".woff", ".woff2", ".ttf", ".otf", ".pdf", ".zip"}

_IN_TEXT = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/=-]{8,}"), r"\1 " + REDACTED),
    (re.compile(r"\b(sk|pk|rk|key|whsec|live|test)[-_][A-Za-z0-9_-]{16,}"), REDACTED),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}"), REDACTED),
    (
        re.compile(
            r"(?i)\b((?:[\w-]*(?:password|passwd|secret|token|api_?key|csrf)[\w-]*))=(?!\[redacted\])[^&\s\"'<>;]{4,}"
        ),
        r"\1=" + REDACTED,
    ),
    (re.compile(r"(://[^/\s:@\"']*):[^@\s/\"']+@"), r"\1:" + REDACTED + "@"),
    (re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b"), REDACTED),
)


class UnsafeArchiveError(ValueError):
    """A zip file that must not be unpacked or cannot be read; the sentence says why."""


def redact_text(text: str) -> tuple[str, int]:
    """The text without what looks like a secret, and how many places were covered."""
    total = 0
    for pattern, replacement in _IN_TEXT:
        text, found = pattern.subn(replacement, text)
        total += found
    return text, total


def redact_json(value: Any) -> tuple[Any, int]:
    """The JSON value of the same shape, with secret members and header values covered wherever they stand."""
    if isinstance(value, str):
        return _redact_string(value)
    if isinstance(value, list):
        pairs = [redact_json(item) for item in value]
        return [item for item, _ in pairs], sum(found for _, found in pairs)
    if isinstance(value, dict):
        return _redact_object(value)
    return value, 0


def _redact_string(text: str) -> tuple[Any, int]:
    """A string may hold JSON itself, as bodies of requests do."""
    if text[:1] in {"{", "["} and text[-1:] in {"}", "]"}:
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return redact_text(text)
        cleaned, found = redact_json(inner)
        return (json.dumps(cleaned, ensure_ascii=False), found) if found else (text, 0)
    return redact_text(text)


def _redact_object(value: dict[str, Any]) -> tuple[dict[str, Any], int]:
    secret = _secret_members(value)
    cleaned: dict[str, Any] = {}
    total = 0
    for name, item in value.items():
        if name in secret:
            cleaned[name], found = REDACTED, int(item != REDACTED)
        else:
            cleaned[name], found = redact_json(item)
        total += found
    return cleaned, total


def _secret_members(value: dict[str, Any]) -> frozenset[str]:
    """Members that hold a secret: by their own name, by the header or field that they are the value of."""
    names = {name for name in value if _is_secret(name)}
    if _is_secret_label(value.get("name")) or _is_secret_label(value.get("selector")):
        names.add("value")
    if value.get("type") == "password":
        names.update({"value", "__playwright_value_"})
    return frozenset(name for name in names if isinstance(value.get(name), str) and value[name])


def _is_secret_label(label: Any) -> bool:
    return isinstance(label, str) and (_is_secret(label) or bool(_SECRET_FIELD.search(label)))


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def secrets_in(value: Any) -> Iterator[str]:
    """The secret values of a JSON value, so that they can be covered where nothing announces them, such as in a log."""
    if isinstance(value, dict):
        secret = _secret_members(value)
        yield from (value[name] for name in secret if _is_worth_covering(value[name]))
        for item in value.values():
            yield from secrets_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from secrets_in(item)


def _is_worth_covering(text: str) -> bool:
    """Neither too short to be told from ordinary text, nor itself the name of a field."""
    return len(text) >= SECRET_CHARS_MIN and text != REDACTED and not (text.isalpha() and _is_secret(text))


def redact_trace(path: Path) -> int:
    """Rewrite one trace in place without its secrets; how many places were covered. A clean trace is left untouched.

    Raises:
        UnsafeArchiveError: not a whole zip file, too large when unpacked, or with members that point out of it.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        with zipfile.ZipFile(path) as source:
            _check_members(source)
            known = _known_secrets(source)
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
                total = sum(_copy(source, member, target, known) for member in source.infolist())
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as broken:
        partial.unlink(missing_ok=True)
        raise UnsafeArchiveError(f"no whole zip file: {broken}") from broken
    if total:
        partial.replace(path)
    else:
        partial.unlink()
    return total


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MEMBERS_MAX or sum(member.file_size for member in members) > UNPACKED_BYTES_MAX:
        raise UnsafeArchiveError("the archive unpacks to more than any trace needs")
    for member in members:
        name = PurePosixPath(member.filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts:
            raise UnsafeArchiveError(f"the archive's member {member.filename[:80]!r} points out of it")
        if member.file_size > MEMBER_BYTES_MAX or stat.S_ISLNK(member.external_attr >> 16):
            raise UnsafeArchiveError(f"the archive's member {member.filename[:80]!r} is a link or too large")


def _known_secrets(source: zipfile.ZipFile) -> tuple[bytes, ...]:
    """The secrets that the trace's JSON names, longest first, as they stand inside JSON strings."""
    found: set[str] = set()
    for member in source.infolist():
        if PurePosixPath(member.filename).suffix.lower() in _JSON_SUFFIXES:
            for line in source.read(member).splitlines():
                found.update(_secrets_of_line(line))
    spelled = {text for secret in found for text in (secret, json.dumps(secret)[1:-1])}
    return tuple(text.encode("utf-8", "replace") for text in sorted(spelled, key=lambda text: (-len(text), text)))


def _secrets_of_line(line: bytes) -> set[str]:
    try:
        return set(secrets_in(json.loads(line)))
    except (ValueError, RecursionError):
        return set()


def _copy(source: zipfile.ZipFile, member: zipfile.ZipInfo, target: zipfile.ZipFile, known: Sequence[bytes]) -> int:
    raw = source.read(member)
    suffix = PurePosixPath(member.filename).suffix.lower()
    found = 0
    if suffix in _JSON_SUFFIXES:
        raw, found = _redact_json_lines(raw)
    elif suffix not in _BINARY_SUFFIXES:
        raw, found = _redact_bytes(raw)
    for secret in known if suffix not in _BINARY_SUFFIXES else ():
        found += raw.count(secret)
        raw = raw.replace(secret, REDACTED.encode())
    copied = zipfile.ZipInfo(member.filename, member.date_time)
    copied.compress_type = zipfile.ZIP_STORED if suffix in _BINARY_SUFFIXES else zipfile.ZIP_DEFLATED
    target.writestr(copied, raw)
    return found


def _redact_json_lines(raw: bytes) -> tuple[bytes, int]:
    """Traces hold one JSON value a line, resources one a file; what is neither is treated as text."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw, 0
    cleaned, total = [], 0
    try:
        for line in text.split("\n") if "\n{" in text.strip() else [text]:
            value, found = redact_json(json.loads(line)) if line.strip() else (None, 0)
            cleaned.append(json.dumps(value, ensure_ascii=False, separators=(",", ":")) if found else line)
            total += found
    except (ValueError, RecursionError):
        return _redact_bytes(raw)
    return "\n".join(cleaned).encode("utf-8"), total


def _redact_bytes(raw: bytes) -> tuple[bytes, int]:
    try:
        text, found = redact_text(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return raw, 0
    return text.encode("utf-8"), found
