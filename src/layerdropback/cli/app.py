"""``ldb``, without its commands."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from .. import __version__
from .page import Page

app = typer.Typer(
    name="ldb",
    help="Train deep networks faster by dropping random layers from the backward pass only.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # A settings file has underscores, as Hugging Face's scripts have; flags may have them, too.
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
)


def command(*examples: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command.

    Args:
        examples: for the end of its help; a test parses each.
        more: see `typer.Typer.command`.
    """
    return app.command(cls=Page, epilog="\n".join(examples), **more)


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
