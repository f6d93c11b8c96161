"""What the free quota needs from outside."""

from __future__ import annotations

from typing import Protocol

from billing.kit.unit_of_work import UnitOfWork


class ModelsOnOffer(Protocol):
    """Knows which models can really be called: the terms may name one that is not served, and promise nothing then."""

    async def models_on_offer(self, uow: UnitOfWork) -> frozenset[str]:
        """The public names of the models that are served and priced now."""
        ...
