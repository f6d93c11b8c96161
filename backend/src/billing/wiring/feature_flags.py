"""Which part of the address space each feature flag opens or closes."""

from __future__ import annotations

from dataclasses import dataclass

from billing.wiring.settings import FeatureFlags

# A provider's notification is about money that is under way already: no flag shuts that door.
_PREFIXES: tuple[tuple[str, str], ...] = (
    ("/api/v1/billing/plans", "subscriptions"),
    ("/api/v1/billing/subscription", "subscriptions"),
    ("/billing/plan", "subscriptions"),
    ("/api/v1/billing", "wallet"),
    ("/billing", "wallet"),
    ("/pricing", "wallet"),
    ("/v1", "wallet"),
    ("/openai", "wallet"),
    ("/internal/billing", "identity"),
    ("/portal/billing", "portal"),
    ("/super-admin/billing", "admin"),
    ("/admin", "admin"),
)


@dataclass(frozen=True, slots=True)
class Doors:
    """Answers whether a path is behind a closed flag."""

    flags: FeatureFlags

    def is_closed(self, path: str) -> bool:
        """The first prefix that the path is under decides; paths under none are always open."""
        for prefix, flag in _PREFIXES:
            if path == prefix or path.startswith(prefix + "/"):
                return not bool(getattr(self.flags, flag))
        return False
