"""Images: real PNG files of the size that was asked for, with a few hundred bytes each."""

import base64
import binascii
import re
import struct
import zlib
from typing import Any

from testkit.simulators.faults import Fault
from testkit.simulators.model.completion import tokens_of
from testkit.simulators.model.requests import ImagesRequest
from testkit.simulators.model.usage import Usage, image_names, usage_member

_SIZE = "1024x1024"
_PIXELS_PER_TOKEN = 1024
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def images(asked: ImagesRequest, *, created_at: int, files_url: str, fault: Fault | None) -> dict[str, Any]:
    """The answer. `files_url` is where this simulator serves the files of answers by address."""
    produced = None if fault is None else fault.produced
    size = (produced and produced.size) or (_SIZE if asked.size in {None, "auto"} else str(asked.size))
    count = asked.n or 1 if produced is None or produced.images is None else produced.images
    width, height = (int(side) for side in size.split("x"))
    image = {"b64_json": base64.b64encode(png(width, height)).decode()}
    if asked.response_format == "url":
        image = {"url": f"{files_url}/{size}.png"}
    tokens = count * -(-width * height // _PIXELS_PER_TOKEN)
    return {
        "created": created_at,
        "background": "opaque",
        "data": [image for _ in range(count)],
        "output_format": "png",
        "quality": "low",
        "size": size,
        **usage_member(Usage(len(tokens_of(asked.prompt)), tokens), image_names, fault),
    }


def png(width: int, height: int) -> bytes:
    """A black picture."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    row = b"\0" * (1 + -(-width // 8))
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(row * height, 9)), (b"IEND", b"")]
    return _SIGNATURE + b"".join(_png_chunk(kind, content) for kind, content in parts)


def png_of_name(name: str) -> bytes | None:
    """The file behind an address that an answer gave, such as `512x512.png`."""
    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})\.png", name)
    return png(int(found[1]), int(found[2])) if found else None


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", binascii.crc32(kind + content))
