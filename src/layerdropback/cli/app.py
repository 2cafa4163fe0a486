"""``ldb``: which commands there are, and how they show themselves, flags under headings, examples.

A command's own module is imported when the command is asked for. So ``ldb --help`` makes none of
the some hundred flags that it does not show.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperCommand, TyperGroup

from ..__main__ import versions

# What ``ldb --help`` shows, in this order: each command, and what its own page says it is for.
COMMANDS = {
    "train": "Train a timm model, with layers dropped (or plain, with --drop-rate 0).",
    "export": "Write a run's weights as safetensors: of its end, or of its last checkpoint.",
    "evaluate": "Test weights on a data set's test images.",
    "compare": "Compare LayerDropBack with plain training, also of equal time, over several seeds.",
    "sweep": "Show accuracy against time for many ways to drop, on training data held out.",
    "profile": "Show where a model's step spends its time, and what dropping would save of it.",
    "memory": "Predict the memory of a training step, for several ways to train side by side.",
    "paper": "Run an experiment of the paper, and the controls that it leaves out; again: go on "
    "with it.",
    "report": "Show runs as one HTML page that needs no network, as Markdown and as a table.",
}

# The modules that have them.
_MODULES = {
    "runs": ("train", "export", "evaluate"),
    "studies": ("compare", "sweep"),
    "profile": ("profile",),
    "memory": ("memory",),
    "pages": ("paper", "report"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

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
    plain, several = (int, float, str, Path), get_args(kind)
    with suppress(ValueError):
        if kind in plain and isinstance(value, str | kind):
            return kind(value)
        if get_origin(kind) is list and several[0] in plain and value:
            return [several[0](each) for each in value]
    return process(ctx, value)


class _Commands(Mapping[str, Any]):
    """The commands by name, each made when it is first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        if name not in self._made:
            import_module(f".{_HOME[name]}", __package__)
            self._made[name] = typer.main.get_command(_declared[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class _Root(_Quick, TyperGroup):
    """``ldb`` itself."""

    def __init__(self, **how: Any):
        super().__init__(**how)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each is for."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


# What is said of a command's function, by the command's name.
_declared: dict[str, typer.Typer] = {}
_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "pretty_exceptions_enable": False}


app = typer.Typer(
    name="ldb",
    cls=_Root,
    help="Train deep networks faster by dropping random layers from the backward pass only.",
    # A settings file has underscores, as Hugging Face's scripts have; flags may have them, too.
    context_settings={"token_normalize_func": lambda name: name.replace("_", "-")},
    **_PLAIN,
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


def command(
    name: str, *examples: str, **more: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a function a command.

    Args:
        name: one of `COMMANDS`.
        examples: for the end of its help; a test parses each.
        more: see `typer.Typer.command`.
    """
    _declared[name] = typer.Typer(add_completion=False, **_PLAIN)
    return _declared[name].command(name, cls=Page, epilog="\n".join(examples), **more)


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


def choice(names: tuple[str, ...] | list[str]) -> str:
    """Names for a help text.

    Example:
        >>> choice(["a", "b", "c"])
        'a, b or c'
    """
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


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
