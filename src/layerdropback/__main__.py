"""``ldb``, also as ``python -m layerdropback``: the part that must run with nothing installed."""

import sys
from typing import NoReturn

from . import __version__


def main() -> None:
    """Run the command line, or say what it lacks."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a name outside the terminal's alphabet is no reason
            stream.reconfigure(errors="backslashreplace")  # to stop
    if sys.argv[1:] == ["--version"]:  # what an issue asks for, also without the extra
        print(versions())
        sys.exit(0)
    try:
        from .cli.main import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        fail(
            f"ldb needs the package {error.name}. Cause: the extra 'cli' is not installed. "
            "Cure: pip install 'layerdropback[cli]'."
        )


# What the extra `cli` installs.
_EXTRA = {"typer", "rich", "timm", "torchvision", "sklearn", "scipy", "matplotlib"}
_EXTRA |= {"safetensors", "PIL", "yaml"}


def versions() -> str:
    """What took part, in one line; torch is not imported for it.

    Example:
        >>> versions().startswith("ldb ")
        True
    """
    import platform
    from importlib import metadata

    try:
        torch = f"torch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        torch = "no torch"
    return f"ldb {__version__}, {torch}, Python {platform.python_version()}"


def fail(text: str) -> NoReturn:
    """One line on standard error, and exit code 2."""
    print(f"ldb: error: {one_line(text)}", file=sys.stderr)
    sys.exit(2)


def one_line(text: str) -> str:
    r"""A text in one line that a terminal shows as it is, whatever a file's name is made of.

    Example:
        >>> print(one_line("no file\n a\x1b[1mb"))
        no file a\x1b[1mb
    """
    signs = " ".join(text.split())
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode()
        for sign in signs
    )


if __name__ == "__main__":
    main()
