"""How the desk's endpoints find their services; who may do what is decided by the services themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from billing.admin.books_desk import BooksDesk
from billing.admin.desks import OperatorDesks
from billing.admin.hold_desk import HoldDesk
from billing.admin.inbox_desk import InboxDesk
from billing.kit.http import service_of


def _hold_desk(request: Request) -> HoldDesk:
    return service_of(request, OperatorDesks).holds


def _books_desk(request: Request) -> BooksDesk:
    return service_of(request, OperatorDesks).books


async def _inbox_desk(request: Request) -> InboxDesk:
    return service_of(request, OperatorDesks).inbox


Holds = Annotated[HoldDesk, Depends(_hold_desk)]
Books = Annotated[BooksDesk, Depends(_books_desk)]
Inbox = Annotated[InboxDesk, Depends(_inbox_desk)]
