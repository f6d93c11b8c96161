"""The size of a picture, from its own first bytes."""

from __future__ import annotations

import base64
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.gateway.rules.image_sizes import SIDE_MAX, Size, size_in_words, size_of_base64, size_of_picture
from testkit.simulators.model.images import png

FRAME = b"\xff\xc0\x00\x11\x08" + struct.pack(">HH", 300, 200) + b"\x03"
JPEG_HEAD = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


def jpeg(*segments: bytes) -> bytes:
    """A JPEG of 200 by 300 with these segments before its frame."""
    return JPEG_HEAD + b"".join(segments) + FRAME + bytes(20)


def riff(chunk: bytes) -> bytes:
    """A WebP file with this first chunk."""
    return b"RIFF" + struct.pack("<I", len(chunk) + 4) + b"WEBP" + chunk + bytes(16)


LOSSY = riff(b"VP8 " + struct.pack("<I", 30) + bytes(3) + b"\x9d\x01\x2a" + struct.pack("<HH", 640, 480))
LOSSLESS = riff(b"VP8L" + struct.pack("<I", 30) + b"\x2f" + struct.pack("<I", 639 | 479 << 14))
EXTENDED = riff(b"VP8X" + struct.pack("<I", 10) + bytes(4) + (639).to_bytes(3, "little") + (479).to_bytes(3, "little"))
THUMBNAIL = b"\xff\xe1" + struct.pack(">H", 60_000) + jpeg().ljust(59_998, b"\0")


class TestTheSizeOfAPicture:
    @pytest.mark.parametrize(
        ("content", "size"),
        [
            (png(1024, 1536), (1024, 1536)),
            (jpeg(), (200, 300)),
            (jpeg(b"\xff\xfe\x00\x04hi", b"\xff\xff", b"\xff\xdb\x00\x02"), (200, 300)),
            (jpeg(THUMBNAIL), (200, 300)),
            (LOSSY, (640, 480)),
            (LOSSLESS, (640, 480)),
            (EXTENDED, (640, 480)),
        ],
        ids=["png", "jpeg", "jpeg with more", "jpeg with preview", "webp", "webp lossless", "webp extended"],
    )
    def test_is_read_from_its_head(self, content: bytes, size: Size) -> None:
        assert size_of_picture(content) == size
        assert size_of_base64(base64.b64encode(content).decode()) == size

    def test_is_read_behind_the_head_of_a_data_url(self) -> None:
        url = "data:image/png;base64," + base64.b64encode(png(64, 32)).decode()

        assert size_of_base64(url) == (64, 32)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"GIF89a" + bytes(30),
            b"\x89PNG\r\n\x1a\n" + bytes(30),
            png(5, 5)[:20],
            JPEG_HEAD,
            JPEG_HEAD + b"\xff\xda" + FRAME,
            JPEG_HEAD + b"no marker here",
            riff(b"VP8?" + bytes(30)),
            riff(b"VP8L" + bytes(30)),
            EXTENDED[:28],
            b"\xff\xd8" + b"\xff\xe0\x00\x00" * 3,
        ],
    )
    def test_that_cannot_be_found_is_none(self, content: bytes) -> None:
        assert size_of_picture(content) is None

    @pytest.mark.parametrize("side", [0, SIDE_MAX + 1, 2**32 - 1])
    def test_that_no_picture_has_is_none(self, side: int) -> None:
        content = bytearray(png(16, 16))
        content[16:20] = struct.pack(">I", side)

        assert size_of_picture(bytes(content)) is None

    @given(content=st.binary(max_size=300), head=st.sampled_from([b"", JPEG_HEAD, LOSSY[:16], b"\x89PNG\r\n\x1a\n"]))
    def test_of_whatever_bytes_is_a_size_or_none(self, content: bytes, head: bytes) -> None:
        size = size_of_picture(head + content)

        assert size is None or all(1 <= side <= SIDE_MAX for side in size)

    @pytest.mark.parametrize("text", ["", "not base64 !", "aGk", "привет"])
    def test_of_a_text_that_is_no_picture_is_none(self, text: str) -> None:
        assert size_of_base64(text) is None


class TestASizeInWords:
    @pytest.mark.parametrize(("text", "size"), [("1024x1536", (1024, 1536)), ("1x1", (1, 1))])
    def test_is_read(self, text: str, size: Size) -> None:
        assert size_in_words(text) == size

    @pytest.mark.parametrize("value", ["auto", "0x5", "-1x5", "1024", "1024x", "99999x1", "1024 1024", None, 7])
    def test_that_makes_no_sense_is_none(self, value: object) -> None:
        assert size_in_words(value) is None
