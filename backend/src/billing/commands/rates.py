"""`billing rates`: see rates, find what is missing, carry them out to a spreadsheet and in again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from billing.commands.running import REQUEST_ID, Operator, Reason, as_operator
from billing.kit.money import parse_currency
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.pricing.rate_desk import ImportPreview
from billing.pricing.rules import DISPLAY_UNITS, PublishedRate, RateFilter, Standing, display_price_of

rates = typer.Typer(help="Rate cards.", no_args_is_help=True)


@rates.command(name="list")
def list_rates(
    operator: Operator,
    model: Annotated[str | None, typer.Option(help="Only this model's.")] = None,
    standing: Annotated[Standing, typer.Option(help="In force, still to come, or all.")] = Standing.IN_FORCE,
    limit: Annotated[int, typer.Option(min=1, max=PAGE_SIZE_MAX, help="How many at the most.")] = 100,
) -> None:
    """List rates, newest first."""
    wanted = RateFilter(standing, model=model)
    page = as_operator(
        operator, lambda built, principal: built.rate_desk.page(principal, wanted, cursor=None, limit=limit)
    )
    for published in page.rows:
        typer.echo(_line(published))
    typer.echo(f"{len(page.rows)} rates{'; there are more' if page.next_cursor else ''}.")


@rates.command()
def missing(
    operator: Operator, currency: Annotated[list[str] | None, typer.Option(help="In which currencies.")] = None
) -> None:
    """Name the served models that cannot be called for want of a price; exit code 1 if there are any."""
    currencies = [parse_currency(code) for code in currency or []]
    found = as_operator(operator, lambda built, principal: built.rate_desk.missing(principal, currencies))
    for one in found:
        typer.echo(f"{one.model} {one.currency} {one.modality or 'any'}: {', '.join(one.units) or 'no rate at all'}")
    typer.echo(f"{len(found)} missing.")
    if found:
        raise typer.Exit(1)


@rates.command(name="export")
def export_rates(operator: Operator, file: Annotated[Path, typer.Argument(help="The XLSX file to write.")]) -> None:
    """Write the last published rate of everything into a spreadsheet."""
    file.write_bytes(as_operator(operator, lambda built, principal: built.rate_desk.export(principal)))
    typer.echo(f"{file} is written.")


@rates.command(name="import")
def import_rates(
    operator: Operator,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="The XLSX file to read.")],
    token: Annotated[str, typer.Option(help="The preview's token; without it, only the preview is shown.")] = "",
    reason: Reason = "",
) -> None:
    """Show what a spreadsheet would change, or with that preview's token publish it whole."""
    content = file.read_bytes()
    if not token:
        preview = as_operator(operator, lambda built, principal: built.rate_desk.preview(principal, content))
        _show(preview)
        raise typer.Exit(1 if preview.plan.errors else 0)
    applied = as_operator(
        operator,
        lambda built, principal: built.rate_desk.apply(
            principal, content, token=token, reason=reason, request_id=REQUEST_ID
        ),
    )
    typer.echo(f"{len(applied.plan.changes)} rates published, {applied.plan.unchanged} unchanged.")


def _show(preview: ImportPreview) -> None:
    """Every row that says something, and what can be done now: nothing, while there are errors or no changes."""
    plan = preview.plan
    for change in plan.changes:
        before = "" if change.before is None else f", before {change.before.rate.price}"
        after = change.after
        typer.echo(f"row {change.row}: {change.action} {after.model} {after.unit} {after.price}{before}")
    for kind, remarks in (("warning", plan.warnings), ("error", plan.errors)):
        for remark in remarks:
            typer.echo(f"row {remark.row}: {kind}: {' '.join(filter(None, (remark.column, remark.sentence)))}")
    typer.echo(f"{len(plan.changes)} rates to publish, {plan.unchanged} unchanged, {len(plan.errors)} errors.")
    typer.echo("Nothing was published.")
    if plan.changes and not plan.errors:
        typer.echo(f"To publish exactly this: --token {preview.token} --reason WHY")


def _line(published: PublishedRate) -> str:
    key, rate = published.key, published.rate
    price = "free" if rate.is_free else f"{display_price_of(rate)} per {DISPLAY_UNITS[key.unit][0]}"
    ended = "" if published.is_active else " withdrawn"
    since = rate.effective_from.isoformat()
    return f"{rate.rate_id} {key.model} {key.modality} {key.unit} {price} v{rate.version} since {since}{ended}"
