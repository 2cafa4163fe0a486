"""How a command shows itself: flags under headings, examples, and words for the shell to offer."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

# The headings of a help page, in this order. Each flag names its own where it is made.
GROUPS = (
    *("Settings", "Data", "Model", "Optimisation", "Dropping"),
    *("Comparison", "Machine", "Output"),
)


class Page(TyperCommand):
    """A command whose help has its flags by group, and at its end examples as they are typed."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, each group of flags, and what the parser itself adds."""
        rows = defaultdict(list)
        for param in self.get_params(ctx):
            row = param.get_help_record(ctx)
            if row is not None:
                kind = "Arguments" if param.param_type_name == "argument" else "Options"
                rows[getattr(param, "rich_help_panel", None) or kind].append(row)
        for group in ("Arguments", *GROUPS, "Options"):
            if rows[group]:
                with formatter.section(group):
                    formatter.write_dl(rows[group])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, none of them broken at the page's width."""
        with formatter.section("Examples"):
            for example in (self.epilog or "").splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


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
