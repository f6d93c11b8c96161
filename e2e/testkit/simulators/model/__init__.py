"""An OpenAI-compatible model provider."""

from testkit.simulators.model.api import ModelSettings, create_model

__all__ = ["ModelSettings", "create_model"]
