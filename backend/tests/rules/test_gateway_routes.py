"""Where models lead: one upstream or several in order, whose rates apply, and what stops the start."""

from __future__ import annotations

import pytest

from billing.gateway.errors import ModelNotFound
from billing.gateway.rules.routes import RouteTable
from billing.kit.errors import SettingsError

SECRET = "sk-upstream-secret"
UPSTREAMS = f"""
    [upstreams.main]
    base_url = "https://upstream.example/v1/"
    api_key = "{SECRET}"

    [upstreams.spare]
    base_url = "http://127.0.0.1:8080"
    api_key = "{SECRET}-2"
"""
ONE = """
    [models.small]
    upstream = "main"
    upstream_model = "theirs-mini"
    aliases = ["small-latest"]
"""
SEVERAL = """
    [models.large]
    aliases = ["large-latest"]

    [[models.large.upstreams]]
    upstream = "main"
    upstream_model = "theirs-large"

    [[models.large.upstreams]]
    upstream = "spare"
    upstream_model = "other-large"
    priced_as = "small"
"""


class TestAModelOfOneUpstream:
    def test_is_found_by_its_name_and_by_its_alias(self) -> None:
        routes = RouteTable.from_toml(UPSTREAMS + ONE)

        assert routes.of("small") == routes.of("small-latest")
        assert routes.models == {"small"}

    def test_leads_to_one_target_at_its_own_price(self) -> None:
        [target] = RouteTable.from_toml(UPSTREAMS + ONE).of("small").targets

        assert (target.name, target.base_url, target.upstream_model, target.priced_as) == (
            "main",
            "https://upstream.example/v1",
            "theirs-mini",
            "small",
        )
        assert target.api_key.get_secret_value() == SECRET

    def test_can_be_priced_as_another_model(self) -> None:
        route = RouteTable.from_toml(UPSTREAMS + ONE + 'priced_as = "large"').of("small")

        assert route.priced_as == {"large"}

    def test_leads_nowhere_by_the_name_that_the_upstream_has_for_it(self) -> None:
        with pytest.raises(ModelNotFound):
            RouteTable.from_toml(UPSTREAMS + ONE).of("theirs-mini")


class TestAModelOfSeveralUpstreams:
    def test_leads_to_them_in_the_order_of_the_file(self) -> None:
        route = RouteTable.from_toml(UPSTREAMS + SEVERAL).of("large-latest")

        assert [(target.name, target.base_url, target.upstream_model) for target in route.targets] == [
            ("main", "https://upstream.example/v1", "theirs-large"),
            ("spare", "http://127.0.0.1:8080", "other-large"),
        ]

    def test_costs_what_the_rates_of_the_answering_one_say(self) -> None:
        route = RouteTable.from_toml(UPSTREAMS + SEVERAL).of("large")

        assert [target.priced_as for target in route.targets] == ["large", "small"]
        assert route.priced_as == {"large", "small"}


class TestRoutesThatMakeNoSense:
    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("models", "The model routes are not TOML"),
            ('[models.small]\nupstream = "gone"\nupstream_model = "m"', "names the upstream gone, which is not there"),
            ('[models.small]\nupstream = "gone"', "has `upstream` and `upstream_model`, or a list of `upstreams`"),
            ('[models.small]\nupstream_model = "m"', "has `upstream` and `upstream_model`, or a list of `upstreams`"),
            ("[models.small]\nupstreams = []", "models.small.upstreams: "),
            (
                SEVERAL.replace("[[models.large.upstreams]]", 'upstream = "main"\n[[models.large.upstreams]]', 1),
                "a list of `upstreams` says everything else",
            ),
            (
                SEVERAL.replace('"spare"', '"main"').replace("other-", "theirs-"),
                "names one model of one upstream twice",
            ),
            (SEVERAL.replace('"spare"', '"gone"'), "names the upstream gone, which is not there"),
            (
                "[models.large]\n"
                + "".join(
                    f'[[models.large.upstreams]]\nupstream = "main"\nupstream_model = "m{place}"\n'
                    for place in range(9)
                ),
                "at most 8 items",
            ),
            (ONE + ONE.replace("models.small", "models.other"), "Two model routes are called small-latest"),
            (ONE + '[models.small-latest]\nupstream = "main"\nupstream_model = "m"', "are called small-latest"),
            (ONE + 'alias = ["o"]', "models.small.alias: "),
            (ONE.replace("theirs-mini", ""), "models.small.upstream_model: "),
            ('[upstreams.bad]\nbase_url = "not an address"\napi_key = "k"', "upstreams.bad.base_url: "),
            (f'[upstreams.bad]\nbase_url = "https://u:{SECRET}@a.example"\napi_key = "k"', "belong into api_key"),
            ('[upstreams.bad]\nbase_url = "https://a.example/v1?x=1"\napi_key = "k"', "ends with its path"),
            ('[upstreams.bad]\nbase_url = "https://a.example/v1#x"\napi_key = "k"', "ends with its path"),
            ('[upstreams.bad]\nbase_url = "https://a.example"\napi_key = ""', "one word of printable ASCII"),
            (
                f'[upstreams.bad]\nbase_url = "https://a.example"\napi_key = "{SECRET}\\r\\nHost: b.example"',
                "one word of printable ASCII",
            ),
        ],
    )
    def test_stop_the_start_with_a_sentence_that_shows_no_key(self, text: str, sentence: str) -> None:
        with pytest.raises(SettingsError) as refusal:
            RouteTable.from_toml(UPSTREAMS + text)

        assert sentence in str(refusal.value)
        assert SECRET not in str(refusal.value)
