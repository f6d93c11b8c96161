"""The `testkit` command: starts what browser tests and the demo share."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from testkit.browser import BrowserNotFoundError
from testkit.pictures import take_pictures
from testkit.simulators.model import ModelSettings, create_model
from testkit.simulators.server import serve
from testkit.simulators.stripe import StripeSettings, create_stripe
from testkit.simulators.yookassa import WebhookTarget, YookassaSettings, create_yookassa
from testkit.stack.demo import STABLE_PORTS, run_demo
from testkit.stack.errors import StackError
from testkit.stack.prefix_proxy import create_prefix_proxy
from testkit.stack.product import Collector
from testkit.stack.stack import CUSTOMERS, Ports

app = typer.Typer(no_args_is_help=True, add_completion=False, help="What browser tests and the demo share.")
simulator = typer.Typer(
    no_args_is_help=True,
    help="Outside parties on loopback. Each prints one line of JSON when it accepts connections and stops on SIGTERM.",
)
app.add_typer(simulator, name="simulator")

_INFRASTRUCTURE = 4

_Port = Annotated[int, typer.Option(min=0, max=65535, help="The port on 127.0.0.1; 0 takes a free one.")]
_Seed = Annotated[int, typer.Option(help="Equal seeds and equal calls give equal ids and answers.")]
_Pairs = Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE")]


@app.command()
def demo(
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The server's port.")] = STABLE_PORTS.web,
    provider_port: Annotated[int, typer.Option(min=0, max=65535)] = STABLE_PORTS.provider,
    model_port: Annotated[int, typer.Option(min=0, max=65535)] = STABLE_PORTS.model,
    customers: Annotated[int, typer.Option(min=1, max=50, help="How many demo customers to open.")] = CUSTOMERS,
    provider: Annotated[Collector, typer.Option(help="Who collects.")] = Collector.YOOKASSA,
) -> None:
    """Run the whole product with its simulators until Ctrl-C. A port that is taken gives way to a free one."""
    try:
        ports = Ports(web=port, provider=provider_port, model=model_port)
        run_demo(ports=ports, customers=customers, collector=provider, say=typer.echo)
    except StackError as error:
        typer.echo(f"testkit: {error}", err=True)
        sys.exit(_INFRASTRUCTURE)


@app.command()
def pictures(
    *,
    folder: Annotated[Path, typer.Option(help="Where they are kept.")] = Path("docs/pictures"),
    report: Annotated[Path, typer.Option(help="A run's report, shown too where it exists.")] = Path(
        "artifacts/billing-confidence/latest/report.html"
    ),
) -> None:
    """Take the pictures that README and docs show, from a product started for them."""
    try:
        take_pictures(folder, report=report, say=typer.echo)
    except (BrowserNotFoundError, StackError) as error:
        typer.echo(f"testkit: {error}", err=True)
        sys.exit(_INFRASTRUCTURE)


@app.command()
def prefix_proxy(
    *,
    upstream: Annotated[str, typer.Option(help="Scheme, host and port of the server behind.")],
    prefix: Annotated[str, typer.Option(help="The path under which it is served, such as /chat.")],
    keep_prefix: Annotated[bool, typer.Option(help="Pass requests on with the prefix, not without.")] = False,
    port: _Port = 0,
) -> None:
    """A reverse proxy that serves an application under a path."""
    serve(create_prefix_proxy(upstream, prefix, strips_prefix=not keep_prefix), port=port, say=typer.echo)


@simulator.command()
def yookassa(
    *,
    port: _Port = 0,
    seed: _Seed = 1,
    shop_id: Annotated[str, typer.Option()] = "100500",
    secret_key: Annotated[str, typer.Option()] = "test_simulated_secret",  # noqa: S107 - a simulator guards nothing
    public_url: Annotated[str | None, typer.Option(help="Where browsers find the payment page.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where notifications go.")] = None,
    webhook_source_address: Annotated[str, typer.Option(help="Where they come from.")] = "127.0.0.1",
    webhook_query: _Pairs = None,
    webhook_header: _Pairs = None,
    demands_receipts: Annotated[bool, typer.Option(help="Refuse payments and refunds without a receipt.")] = False,
) -> None:
    """YooKassa's API v3 with its payment page and notifications."""
    webhook = _target(webhook_url, webhook_source_address, webhook_query, webhook_header)
    settings = YookassaSettings(
        shop_id=shop_id,
        secret_key=secret_key,
        seed=seed,
        public_url=public_url,
        webhook=webhook,
        demands_receipts=demands_receipts,
    )
    serve(create_yookassa(settings), port=port, say=typer.echo)


@simulator.command()
def stripe(
    *,
    port: _Port = 0,
    seed: _Seed = 1,
    account_id: Annotated[str, typer.Option()] = "acct_1Simulated",
    secret_key: Annotated[str, typer.Option()] = "sk_test_simulated",  # noqa: S107 - a simulator guards nothing
    public_url: Annotated[str | None, typer.Option(help="Where browsers find the Checkout page.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where events go.")] = None,
    webhook_secret: Annotated[str, typer.Option(help="What events are signed with.")] = "whsec_simulated",  # noqa: S107 - a simulator guards nothing
    webhook_source_address: Annotated[str, typer.Option(help="Where they come from.")] = "127.0.0.1",
    webhook_query: _Pairs = None,
    webhook_header: _Pairs = None,
) -> None:
    """Stripe's API v1 with its Checkout page and signed events."""
    settings = StripeSettings(
        account_id=account_id,
        secret_key=secret_key,
        webhook_secret=webhook_secret,
        seed=seed,
        public_url=public_url,
        webhook=_target(webhook_url, webhook_source_address, webhook_query, webhook_header),
    )
    serve(create_stripe(settings), port=port, say=typer.echo)


@simulator.command()
def model(
    *,
    port: _Port = 0,
    seed: _Seed = 1,
    api_key: Annotated[str, typer.Option()] = "sk-simulated-upstream",
    name: Annotated[list[str] | None, typer.Option(help="A model to serve; repeat for more.")] = None,
) -> None:
    """An OpenAI-compatible model provider."""
    settings = ModelSettings(api_key=api_key, seed=seed)
    if name:
        settings = settings.model_copy(update={"models": tuple(name)})
    serve(create_model(settings), port=port, say=typer.echo)


def main() -> None:
    """Runs the command line."""
    app()


def _target(
    url: str | None, source_address: str, query: list[str] | None, headers: list[str] | None
) -> WebhookTarget | None:
    named_query, named_headers = _as_dict(query), _as_dict(headers)
    if url is None:
        return None
    return WebhookTarget(url=url, source_address=source_address, query=named_query, headers=named_headers)


def _as_dict(pairs: list[str] | None) -> dict[str, str]:
    named = {}
    for pair in pairs or []:
        name, separator, value = pair.partition("=")
        if not name or not separator:
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE")
        named[name] = value
    return named


if __name__ == "__main__":
    main()
