"""Which public model is served by which upstreams, and in which order: read from text, looked up by name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, HttpUrl, SecretStr, ValidationError, model_validator

from billing.gateway.errors import ModelNotFound
from billing.kit.errors import SettingsError

_TARGETS_MAX = 8
_NAME_LENGTH_MAX = 200
# What can stand in an HTTP header behind "Bearer ".
_KEY = re.compile(r"[!-~]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class UpstreamTarget:
    """One place where calls of a model can go: a provider's address, our key there, and its name for the model.

    `name` is the provider's, for usage rows and logs. `priced_as` is the public model at whose rates a call costs what
    it costs when this target answers it.
    """

    name: str
    base_url: str
    api_key: SecretStr
    upstream_model: str
    priced_as: str


@dataclass(frozen=True, slots=True)
class ModelRoute:
    """Where calls of one public model go: to the first target, and to the next one when nothing came of it.

    Free terms know the model by `model`, whatever alias was asked. There is at least one target.
    """

    model: str
    targets: tuple[UpstreamTarget, ...]

    @property
    def priced_as(self) -> frozenset[str]:
        """The public models at whose rates a call can be charged, depending on who answers."""
        return frozenset(target.priced_as for target in self.targets)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """All routes, by public name and by alias."""

    by_name: dict[str, ModelRoute]

    @classmethod
    def from_toml(cls, text: str) -> Self:
        """Reads `[upstreams.NAME]` (base_url, api_key) and `[models.NAME]`.

        A model has one upstream (`upstream`, `upstream_model`) or a list of them in the order in which they are tried
        (`[[models.NAME.upstreams]]`, the same two entries in each), and may have `aliases`. Beside each
        `upstream_model`, `priced_as` names the public model whose rates apply when that upstream answers; left out,
        it is the model itself.

        Raises:
            SettingsError: not TOML, an unknown or missing entry, an unknown upstream, one upstream twice for a model,
                or one name for two models. No sentence shows a key.
        """
        try:
            routes = _RoutesFile.model_validate(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SettingsError((f"The model routes are not TOML: {error}.",)) from None
        except ValidationError as error:
            raise SettingsError(tuple(_sentences(error))) from None
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


def _plain_address(url: HttpUrl) -> HttpUrl:
    if url.username is not None or url.password is not None:
        raise ValueError("keys belong into api_key, not into the address")
    if url.query is not None or url.fragment is not None:
        raise ValueError("the address ends with its path; routes are put behind it")
    return url


def _sendable_key(key: SecretStr) -> SecretStr:
    if _KEY.fullmatch(key.get_secret_value()) is None:
        raise ValueError("a key is one word of printable ASCII characters")
    return key


_ModelName = Annotated[str, Field(min_length=1, max_length=_NAME_LENGTH_MAX)]


class _Upstream(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: Annotated[HttpUrl, AfterValidator(_plain_address)]
    api_key: Annotated[SecretStr, AfterValidator(_sendable_key)]


class _Target(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: str
    upstream_model: _ModelName
    priced_as: _ModelName | None = None


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstream: str | None = None
    upstream_model: _ModelName | None = None
    priced_as: _ModelName | None = None
    upstreams: tuple[_Target, ...] | None = Field(default=None, min_length=1, max_length=_TARGETS_MAX)
    aliases: tuple[_ModelName, ...] = ()

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        alone = (self.upstream, self.upstream_model, self.priced_as)
        if self.upstreams is None and (self.upstream is None or self.upstream_model is None):
            raise ValueError("a model has `upstream` and `upstream_model`, or a list of `upstreams`")
        if self.upstreams is not None and any(entry is not None for entry in alone):
            raise ValueError("a model with a list of `upstreams` says everything else about them in the list")
        return self

    @property
    def targets(self) -> tuple[_Target, ...]:
        """The upstreams in the order in which they are tried, whichever form the file uses."""
        if self.upstreams is not None:
            return self.upstreams
        assert self.upstream is not None, "validated"
        assert self.upstream_model is not None, "validated"
        return (_Target(upstream=self.upstream, upstream_model=self.upstream_model, priced_as=self.priced_as),)


class _RoutesFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    upstreams: dict[str, _Upstream] = Field(default_factory=dict)
    models: dict[_ModelName, _Model] = Field(default_factory=dict)

    def route_of(self, model: str, entry: _Model) -> ModelRoute:
        targets = tuple(self._target_of(model, target) for target in entry.targets)
        if len({(target.name, target.upstream_model) for target in targets}) < len(targets):
            # A second try at the same place would not be a fallback but a repetition.
            raise SettingsError((f"The model route {model} names one model of one upstream twice.",))
        return ModelRoute(model, targets)

    def _target_of(self, model: str, target: _Target) -> UpstreamTarget:
        upstream = self.upstreams.get(target.upstream)
        if upstream is None:
            raise SettingsError((f"The model route {model} names the upstream {target.upstream}, which is not there.",))
        return UpstreamTarget(
            name=target.upstream,
            base_url=str(upstream.base_url).rstrip("/"),
            api_key=upstream.api_key,
            upstream_model=target.upstream_model,
            priced_as=target.priced_as or model,
        )


def _sentences(error: ValidationError) -> Iterator[str]:
    for item in error.errors():
        where = ".".join(map(str, item["loc"])) or "the file"
        yield f"Model routes, {where}: {item['msg'].removeprefix('Value error, ')}."
