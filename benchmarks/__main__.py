"""Run a benchmark by its name.

Each is a module with `flags(parser)`, which adds its flags, and `run(args)`, which measures. The
list is read from the files, so that it imports none of them.
"""

import argparse
import ast
import difflib
import importlib
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

USAGE = "python -m benchmarks NAME [--out CARD] [FLAGS]"

# By folder, whose docstring is the heading.
NAMES = {
    "steps": (
        "step_profile",
        "compile_step",
        "rounding",
        "controller_cost",
        "trainer_cost",
        "authors_loop",
        "start_up",
        "freed_memory",
    ),
    "memory": ("memory_public_table", "cut_holds"),
    "text": ("sentence_ways", "blocks_text", "blocks_text_times", "trainer_minilm"),
    "images": ("evidence", "finetune_recipe", "cifar10", "families", "stem"),
    "network": ("slow_link", "wire_bytes"),
    "cards": ("card", "evidence_table", "figure"),
}
FOLDERS = {name: folder for folder, names in NAMES.items() for name in names}


def first_line(*module: str) -> str:
    """Of a module's docstring, read and not imported."""
    source = Path(__file__).parent.joinpath(*module).with_suffix(".py").read_text("utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def shown(name: str) -> str:
    """A name as it is listed."""
    return name.replace("_", "-")


def overview() -> str:
    """All names, a line for each."""
    lines = [f"usage: {USAGE}", ""]
    width = max(map(len, FOLDERS))
    for folder, names in NAMES.items():
        lines.append(first_line(folder, "__init__").removesuffix(".") + ":")
        lines += [f"  {shown(name):{width}}  {first_line(folder, name)}" for name in names]
        lines.append("")
    return "\n".join([*lines, "python -m benchmarks NAME --help shows the flags of one."])


def unknown(name: str) -> str:
    """What to say of a name that is none."""
    close = difflib.get_close_matches(name.replace("_", "-"), map(shown, FOLDERS), cutoff=0.5)
    cure = f"did you mean {' or '.join(close)}?" if close else "`python -m benchmarks` lists them"
    return f"no benchmark is called {name!r}: {cure}"


def main(argv: Sequence[str] | None = None) -> None:
    """List the benchmarks, or run one.

    Raises:
        SystemExit: an unknown name or flag, or after help.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    if not given or given[0] in ("-h", "--help"):
        print(overview())
        return
    name = given[0].replace("-", "_")
    if name not in FOLDERS:
        sys.exit(unknown(given[0]))
    module = importlib.import_module(f"benchmarks.{FOLDERS[name]}.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {shown(name)}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.flags(parser)
    args = parser.parse_args(given[1:])
    args.command = shlex.join(["python", "-m", "benchmarks", shown(name), *given[1:]])
    if "out" in args:
        args.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after all the measuring
    module.run(args)


if __name__ == "__main__":
    main()
