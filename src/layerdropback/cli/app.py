"""``ldb``, without its commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from .. import __version__

app = typer.Typer(
    name="ldb",
    help="Train deep networks faster by dropping random layers from the backward pass only.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ldb {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")
    ] = False,
) -> None:
    pass


@contextmanager
def stoppable() -> Iterator[None]:
    """For work that a signal may stop once it is saved; the parser would take it for any Ctrl-C."""
    from ..runs.stopping import Stopped

    try:
        yield
    except Stopped as stop:
        raise typer.Exit(stop.code) from None
