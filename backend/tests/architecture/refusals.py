"""Every class of refusal in the product."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import billing
from billing.kit.errors import BillingError

# Alembic runs this file itself; it cannot be imported.
_NOT_IMPORTABLE = frozenset({"billing.migrations.env"})


def all_modules() -> list[ModuleType]:
    """Every module of the product, imported."""
    names = (module.name for module in pkgutil.walk_packages(billing.__path__, "billing."))
    return [importlib.import_module(name) for name in names if name not in _NOT_IMPORTABLE]


def refusals() -> list[type[BillingError]]:
    """Every class of refusal, the root too."""
    all_modules()

    def below(kind: type[BillingError]) -> Iterator[type[BillingError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    return [kind for kind in dict.fromkeys(below(BillingError)) if kind.__module__.startswith("billing.")]


def leaves() -> list[type[BillingError]]:
    """Those that are raised: each has a code of its own."""
    return [kind for kind in refusals() if "code" in vars(kind) and kind is not BillingError]
