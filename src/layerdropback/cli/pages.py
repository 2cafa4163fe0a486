"""The commands that say what was measured: report, and paper, which measures it first."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from .app import app, choice, command, flag, offer

_EXPERIMENTS = ("figure1", "figure3", "figure4", "scratch", "finetune")


@command(
    "paper",
    "ldb paper figure3 --scale tiny",
    "ldb paper finetune --dry-run",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def paper(
    context: typer.Context,
    name: Annotated[
        str,
        typer.Argument(
            help=f"{choice(_EXPERIMENTS)}; its commands' flags may follow.",
            autocompletion=offer(_EXPERIMENTS),
            show_default=False,
        ),
    ],
    scale: Annotated[
        str,
        flag(
            "Comparison",
            "full, or tiny: end to end in minutes, for a look at it.",
            words=("full", "tiny"),
        ),
    ] = "full",
    out: Annotated[
        Path | None, flag("Output", "Folder to write to.  [default: runs/paper-NAME]")
    ] = None,
    dry_run: Annotated[bool, flag("Output", "Only print the commands.", "--dry-run")] = False,
) -> None:
    """Run an experiment of the paper, and the controls that it leaves out; again: go on with it."""
    from ..lab.paper import reproduce

    def run(arguments: list[str]) -> None:
        own, sys.argv = sys.argv, ["ldb", *arguments]  # records and reports name the command
        try:
            code = app(arguments, prog_name="ldb", standalone_mode=False)
        finally:
            sys.argv = own
        if code:
            raise typer.Exit(code)

    reproduce(name, scale, out, context.args, run, dry_run)


@command("report", "ldb report runs/mine", "ldb report runs/first runs/second --out both")
def report(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of ldb compare or ldb train; a compare's record alone, too.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, flag("Output", "Folder to write to.  [default: the first run's]")
    ] = None,
) -> None:
    """Show runs as one HTML page that needs no network, as Markdown and as a table."""
    from ..lab.report.build import make_report

    typer.echo(f"wrote {make_report(runs, out)}")
