"""The command line. Nothing heavy is imported until a command has all it needs."""

import os
import sys
import warnings
from itertools import pairwise
from typing import Any

from ..__main__ import fail, one_line
from ..errors import AttachError, LayerDropBackError, UsageError, WorkerError, explain
from .app import app as app
from .neighbours import ours


def main() -> None:
    """Run the command line; what the user got wrong is one line, and exit code 2."""
    warnings.showwarning = _warn
    try:
        _require_paths(sys.argv[1:])
        code = app(sys.argv[1:] or ["--help"], prog_name="ldb", standalone_mode=False)
    except LayerDropBackError as error:
        if _another_tells() and not isinstance(error, WorkerError):
            sys.exit(2)
        from ..training.dropping import as_flags

        text = error.problems[0] if isinstance(error, AttachError) else str(error)
        fail(as_flags(text))
    except BrokenPipeError:  # the reader of our output has left, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        fact = f"cannot use {error.filename}" if error.filename else "the system refuses"
        fail(explain(fact, error.strerror or str(error), "check the path, its rights and room"))
    except Exception as error:
        # The parser's own errors; their class moved between releases of typer, their method not.
        if not hasattr(error, "format_message"):
            raise
        fail(_of_the_parser(error))
    sys.exit(code if isinstance(code, int) else 0)


def _of_the_parser(error: Any) -> str:
    """Its own text, and our name of a flag where the one that was given is a neighbour's."""
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    found = ours(name, context.command) if name and context else None
    if found is not None:
        whose, flag = found
        return explain(f"No such option: {name}", f"it is {whose}'s name", f"give {flag}")
    return f"{error.format_message().rstrip('.?')}. Cure: see ldb --help or ldb COMMAND --help."


_PATHS = ("--out", "--init", "--config", "--data-dir", "--to", "--hf-config")


def _require_paths(arguments: list[str]) -> None:
    """Refuse an empty path, of a shell's empty variable: it would be the working folder."""
    for flag, value in pairwise([*arguments, "-"]):
        name = flag.removesuffix("=").replace("_", "-")
        if name in _PATHS and (value == "" or flag.endswith("=")):
            cure = "give one, or leave the flag out"
            raise UsageError(explain(f"{name} '' is not usable", "it names no place", cure))


def _another_tells() -> bool:
    """Whether this is a worker of torchrun's, whose first one tells what all have met."""
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0"


def _warn(message: Warning | str, *details: Any, **more: Any) -> None:
    print(f"ldb: warning: {one_line(str(message))}", file=sys.stderr)
