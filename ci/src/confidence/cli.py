"""The command line: ``confidence run``, and what can be done with the run directories that it leaves."""

import contextlib
import json
import os
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from confidence.evidence import merge as merge_bundles
from confidence.evidence.merging import MergeTargetError
from confidence.execution.lock import TreeIsBusyError
from confidence.execution.run_directory import RunDirectoryError
from confidence.execution.scheduling import Watcher
from confidence.exit_codes import ExitCode, exit_code_of
from confidence.explanations import explanation_of
from confidence.model.shapes import MalformedRecordError
from confidence.pipeline import conclude, execute_run
from confidence.progress import LiveProgress, PlainProgress
from confidence.reports import Summary
from confidence.smoke.guard import guard_the_gate
from confidence.suites.errors import ConfigurationError
from confidence.suites.overrides import Request
from confidence.verdict_text import count_line, verdict_lines
from confidence.wiring import find_tree, open_world

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_BUNDLE = typer.Argument(help="A run directory.", exists=True, file_okay=False)
_JSON = typer.Option("--json", help="Print the summary as JSON, for machines.")


def main() -> None:
    """Run the command line."""
    app()


@app.command()
def run(
    tier: Annotated[str | None, typer.Option("--tier", help="The tier of confidence.toml, such as pr-fast.")] = None,
    suite: Annotated[
        list[str] | None,
        typer.Option(
            "--suite", help="Only this suite; may be repeated. A part of a tier is no evidence of it until merged."
        ),
    ] = None,
    run_id: Annotated[str | None, typer.Option(help="The name of the run; made from the moment when absent.")] = None,
    timeout: Annotated[float | None, typer.Option(min=0.1, help="Seconds after which each suite is ended.")] = None,
    repeat: Annotated[int, typer.Option(min=1, max=100, help="How often every suite runs.")] = 1,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for another run in this tree.")] = 0,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Plan only; starts nothing and proves nothing.")] = False,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Run a tier's suites, or single ones, keep their evidence, and give one verdict."""
    with _plain_endings():
        world = open_world(Path.cwd())
        os.chdir(world.tree)  # evidence names files relative to the repository
        request = Request(tier, tuple(suite or ()), timeout, repeat, dry_run)
        console = Console(stderr=as_json)
        with _progress(console) as watcher:
            over = execute_run(world, request, watcher, run_id=run_id, wait_seconds=wait)
        _tell(over.summary, over.directory, as_json=as_json)


@app.command()
def merge(
    directories: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run directories.")],
    out: Annotated[Path, typer.Option("--out", help="The merged run directory; must not exist.")],
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Join run directories that belong together, and judge them as one."""
    with _plain_endings():
        bundles, target = [path.resolve() for path in directories], out.resolve()
        _enter_tree()
        merged = merge_bundles(bundles, target)
        _tell(conclude(merged), merged, as_json=as_json)


@app.command()
def gate(directory: Annotated[Path, _BUNDLE], *, as_json: Annotated[bool, _JSON] = False) -> None:
    """Judge a run directory again, from its files alone."""
    with _plain_endings():
        bundle = directory.resolve()
        _enter_tree()
        _tell(conclude(bundle), bundle, as_json=as_json)


@app.command()
def report(
    directory: Annotated[Path, _BUNDLE],
    *,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Write the reports of a run directory again, and say where they are."""
    with _plain_endings():
        bundle = directory.resolve()
        _enter_tree()
        conclude(bundle)
        page = bundle / "report.html"
        typer.echo(str(page))
        if open_it and not webbrowser.open(page.as_uri()):
            typer.echo("no browser could be opened", err=True)


@app.command()
def smoke(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="The five quickest cases.")] = False,
) -> None:
    """See the gate go red: run small projects with a known fault each, and expect the right refusal."""
    with _plain_endings():
        results = guard_the_gate(quick=quick, say=typer.echo)
        red = [result for result in results if not result.holds]
        typer.echo(f"{len(results) - len(red)} passed, {len(red)} failed, 0 skipped")
        if red:
            raise typer.Exit(ExitCode.GATE_VIOLATED)


@app.command()
def explain(word: Annotated[str, typer.Argument(metavar="GATE|CODE", help="A gate, or an exit code.")]) -> None:
    """Explain a gate or an exit code."""
    with _plain_endings():
        typer.echo(explanation_of(word))


@contextlib.contextmanager
def _plain_endings() -> Iterator[None]:
    """Turn every foreseen refusal into one sentence and its exit code; a bug keeps its traceback."""
    try:
        yield
    except (ConfigurationError, RunDirectoryError, MergeTargetError) as refused:
        _refuse(str(refused), ExitCode.USAGE)
    except MalformedRecordError as malformed:
        _refuse(str(malformed), ExitCode.NO_EVIDENCE)
    except TreeIsBusyError as busy:
        _refuse(f"{busy}; use --wait to wait for it", ExitCode.INFRASTRUCTURE)
    except OSError as failed:
        _refuse(f"the machine failed: {failed}", ExitCode.INFRASTRUCTURE)
    except KeyboardInterrupt:
        _refuse("interrupted; `confidence gate` judges what the run directory holds", ExitCode.INTERRUPTED)


def _refuse(sentence: str, code: ExitCode) -> None:
    typer.echo(f"confidence: {sentence}", err=True)
    raise typer.Exit(code)


def _enter_tree() -> None:
    """Stand at the repository's root, where evidence names files from; a bundle alone can be judged anywhere."""
    with contextlib.suppress(ConfigurationError):
        os.chdir(find_tree(Path.cwd())[0])


@contextlib.contextmanager
def _progress(console: Console) -> Iterator[Watcher]:
    if not console.is_terminal:
        yield PlainProgress(console)
        return
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        yield LiveProgress(console, live)


def _tell(summary: Summary, directory: Path, *, as_json: bool) -> None:
    """Print the verdict, and end with its exit code."""
    if as_json:
        typer.echo(json.dumps(summary.document, ensure_ascii=False))
    else:
        console = Console()
        for line in verdict_lines(summary, directory / "report.html"):
            console.print(Text(line), soft_wrap=True)
        typer.echo(count_line(summary))
    raise typer.Exit(exit_code_of(summary.status))
