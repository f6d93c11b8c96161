"""How the endpoints find the operators' desk, and how a spreadsheet is read from a request."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from billing.kit.http import service_of
from billing.pricing.errors import SheetTooLarge
from billing.pricing.rate_desk import RateDesk
from billing.pricing.sheets import SHEET_BYTES_MAX


def _desk(request: Request) -> RateDesk:
    return service_of(request, RateDesk)


async def sheet_body(request: Request) -> bytes:
    """The whole file, read no further than allowed.

    Raises:
        SheetTooLarge: it is larger, whatever it said about itself.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > SHEET_BYTES_MAX:
            raise SheetTooLarge("bytes", SHEET_BYTES_MAX)
    return bytes(body)


Desk = Annotated[RateDesk, Depends(_desk)]
Sheet = Annotated[bytes, Depends(sheet_body)]
