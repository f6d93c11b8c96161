"""The settings of the public price list."""

from __future__ import annotations

from pydantic import Field

from billing.kit.settings import SettingsGroup


class PricingSettings(SettingsGroup):
    """Which models the public pages put forward; a name that is not on offer is not shown."""

    recommended_models: str = Field(
        alias="BILLING_RECOMMENDED_MODELS",
        default="",
        description="The models to recommend to a newcomer, comma separated, the first one first.",
    )
    popular_models: str = Field(
        alias="BILLING_POPULAR_MODELS",
        default="",
        description="The models to call popular, comma separated, the first one first.",
    )

    @property
    def recommended(self) -> tuple[str, ...]:
        """The recommended models in their order."""
        return _listed(self.recommended_models)

    @property
    def popular(self) -> tuple[str, ...]:
        """The popular models in their order."""
        return _listed(self.popular_models)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
