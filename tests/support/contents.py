"""What is in the wheel and in the sdist, and that nothing else is: ``make dist``.

    python tests/support/contents.py dist

It needs the standard library alone.
"""

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "layerdropback"

# Bytes of each of both at most: code and pages, no data.
LARGEST = 1_000_000

BESIDE = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "README.md", "SECURITY.md", "pyproject.toml"}
BESIDE |= {"PKG-INFO", ".gitignore"}  # hatchling adds them


def package_files():
    """What must be in both, by the path below the package."""
    return {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def in_wheel(path):
    """Each file with its size."""
    with zipfile.ZipFile(path) as file:
        return {entry.filename: entry.file_size for entry in file.infolist()}


def in_sdist(path):
    """Each file with its size, without the folder that all are in."""
    with tarfile.open(path) as file:
        entries = [entry for entry in file.getmembers() if entry.isfile()]
    return {entry.name.partition("/")[2]: entry.size for entry in entries}


def problems(files, package, beside):
    """What does not belong there, and what is missing.

    Args:
        files: each with its size.
        package: where the package is in it.
        beside: whether a file outside of the package belongs there.
    """
    inside = {name.removeprefix(package) for name in files if name.startswith(package)}
    outside = {name for name in files if not name.startswith(package)}
    expected = package_files()
    found = [f"is missing: {name}" for name in sorted(expected - inside)]
    found += [f"does not belong there: {package}{name}" for name in sorted(inside - expected)]
    return found + [
        f"does not belong there: {name}" for name in sorted(outside) if not beside(name)
    ]


def is_metadata(name):
    first, *rest = PurePosixPath(name).parts
    return first.endswith(".dist-info") and bool(rest)


def check(path):
    """Print what is in it; what is wrong with it."""
    if path.suffix == ".whl":
        files, found = in_wheel(path), problems(in_wheel(path), "layerdropback/", is_metadata)
    else:
        files = in_sdist(path)
        found = problems(files, "src/layerdropback/", BESIDE.__contains__)
    size = path.stat().st_size
    kinds = sorted({PurePosixPath(name).suffix or PurePosixPath(name).name for name in files})
    print(f"{path.name}: {size / 1024:.0f} KiB, {len(files)} files: {' '.join(kinds)}")
    return found + ([f"has {size} bytes, over {LARGEST}"] if size > LARGEST else [])


def main():
    folder = Path(sys.argv[1])
    paths = [*folder.glob("*.whl"), *folder.glob("*.tar.gz")]
    if len(paths) != 2:
        sys.exit(f"{folder} must hold one wheel and one sdist, and holds {len(paths)} of both")
    wrong = [f"{path.name}: {problem}" for path in paths for problem in check(path)]
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
