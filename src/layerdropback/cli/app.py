"""``ldb`` without its commands, and how they show themselves: flags under headings, examples."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ..__main__ import versions

# The headings of a help page, in this order. Each flag names its own where it is made.
GROUPS = (
    *("Settings", "Data", "Model", "Optimisation", "Dropping"),
    *("Comparison", "Machine", "Output"),
)


class _Quick:
    """Reads flags without pydantic, whose import takes longer than all the rest of a help page.

    typer, since it depends on it, asks it of every flag, of those that were not given, too. It is
    still asked where a value is no plain one, or is wrong: the error is typer's.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """See typer."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if hasattr(param, "type_descriptor") and "process_value" not in vars(param):
                param.process_value = partial(_value, param, param.process_value)
        return params


def _value(param: Any, process: Callable[[Any, Any], Any], ctx: Any, value: Any) -> Any:
    kind = param.type_descriptor.annotation
    if not param.required and value in (None, [], ()):
        return value
    if kind in (int, float, str, Path) and isinstance(value, str | kind):
        with suppress(ValueError):
            return kind(value)
    return process(ctx, value)


class _Root(_Quick, TyperGroup):
    """``ldb`` itself."""


app = typer.Typer(
    name="ldb",
    cls=_Root,
    help="Train deep networks faster by dropping random layers from the backward pass only.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    # A settings file has underscores, as Hugging Face's scripts have; flags may have them, too.
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
)


class Page(_Quick, TyperCommand):
    """A command whose help has its flags by group, and at its end examples as they are typed."""

    def groups(self, ctx: Any) -> dict[str, list[tuple[str, str]]]:
        """Names and text of the arguments, each group of flags, and what the parser itself adds."""
        rows = defaultdict(list)
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx)
            if row is not None:
                kind = "Arguments" if param.param_type_name == "argument" else "Options"
                rows[getattr(param, "rich_help_panel", None) or kind].append(row)
        return {name: rows[name] for name in ("Arguments", *GROUPS, "Options") if rows[name]}

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write them."""
        for name, rows in self.groups(ctx).items():
            with formatter.section(name):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, none of them broken at the page's width."""
        with formatter.section("Examples"):
            for example in (self.epilog or "").splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def command(*examples: str, **more: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command.

    Args:
        examples: for the end of its help; a test parses each.
        more: see `typer.Typer.command`.
    """
    return app.command(cls=Page, epilog="\n".join(examples), **more)


def flag(group: str, text: str, *names: str, words: tuple[str, ...] = (), **more: Any) -> Any:
    """A flag of the command line.

    Args:
        group: one of `GROUPS`.
        text: of the help.
        names: on the command line; by default its parameter's own, dashed.
        words: that the shell offers for its value.
        more: see `typer.Option`.
    """
    more |= {"autocompletion": offer(words)} if words else {}
    return typer.Option(*names, help=text, rich_help_panel=group, **more)


def offer(words: tuple[str, ...]) -> Callable[[], list[str]]:
    """What the parser asks for the values that a shell shall offer.

    Example:
        >>> offer(("cpu", "cuda"))()
        ['cpu', 'cuda']
    """
    return lambda: list(words)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(versions())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Show ours, torch's and Python's.",
        ),
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
