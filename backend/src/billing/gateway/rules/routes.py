"""Which public model is served by which upstream: read from text, looked up by name."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, ValidationError

from billing.gateway.errors import ModelNotFound
from billing.kit.errors import SettingsError


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """Where calls of one public model go. Prices and free terms know the model by `model`, whatever alias was asked."""

    model: str
    base_url: str
    api_key: SecretStr
    upstream_model: str


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes, by public name and by alias."""

    by_name: dict[str, ModelRoute]

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Reads `[upstreams.NAME]` (base_url, api_key) and `[models.NAME]` (upstream, upstream_model, aliases).

        Raises:
            SettingsError: not TOML, an unknown or missing entry, an unknown upstream, or one name for two models.
        """
        try:
            routes = _RoutesFile.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError((f"The model routes are not TOML: {error}.",)) from None
        except ValidationError as error:
            problems = (f"model routes, {'.'.join(map(str, item['loc']))}: {item['msg']}." for item in error.errors())
            raise SettingsError(tuple(problems)) from None
        by_name: dict[str, ModelRoute] = {}
        for model, entry in routes.models.items():
            route = routes.route_of(model, entry)
            for name in (model, *entry.aliases):
                if name in by_name:
                    raise SettingsError((f"Two model routes are called {name}.",))
                by_name[name] = route
        return cls(by_name)

    @property
    def models(self) -> frozenset[str]:
        """The public names, without aliases."""
        return frozenset(route.model for route in self.by_name.values())

    def of(self, name: str) -> ModelRoute:
        """The route of a model that was asked for.

        Raises:
            ModelNotFound: no model and no alias has this name.
        """
        route = self.by_name.get(name)
        if route is None:
            raise ModelNotFound(name)
        return route


class _Upstream(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: HttpUrl
    api_key: SecretStr = Field(min_length=1)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: str
    upstream_model: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()


class _RoutesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstreams: dict[str, _Upstream] = Field(default_factory=dict)
    models: dict[str, _Model] = Field(default_factory=dict)

    def route_of(self, model: str, entry: _Model) -> ModelRoute:
        upstream = self.upstreams.get(entry.upstream)
        if upstream is None:
            raise SettingsError((f"The model route {model} names the upstream {entry.upstream}, which is not there.",))
        return ModelRoute(model, str(upstream.base_url).rstrip("/"), upstream.api_key, entry.upstream_model)
