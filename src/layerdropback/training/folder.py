"""Images in folders, ``DIR/train/<class>/*`` and ``DIR/test/<class>/*``: found, not yet read."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from ..errors import UsageError, explain

SUFFIXES = frozenset(
    {".gif", ".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff"}
)


@dataclass(frozen=True)
class Listing:
    """The files of one split.

    Attributes:
        files: image files, class by class.
        labels: index of each file's class.
    """

    files: tuple[Path, ...]
    labels: tuple[int, ...]

    def limited(self, limit: int | None) -> "Listing":
        """At most `limit` files, the same share of each class, always the same ones."""
        if limit is None or limit >= len(self.files):
            return self
        chosen = stratified(self.labels, limit)
        return Listing(tuple(self.files[i] for i in chosen), tuple(self.labels[i] for i in chosen))


def stratified(labels: Sequence[int], limit: int) -> list[int]:
    """Indices of `limit` entries, as evenly over the classes as their numbers allow.

    Example:
        >>> sorted(labels[i] for labels in [[0, 0, 0, 1, 1, 1]] for i in stratified(labels, 4))
        [0, 0, 1, 1]
    """
    order = list(range(len(labels)))
    Random(0).shuffle(order)  # a generator of its own: the global one stays where it is
    rounds: dict[int, int] = {}
    ranked = []
    for index in order:
        label = labels[index]
        rounds[label] = rounds.get(label, -1) + 1
        ranked.append((rounds[label], index))
    return sorted(index for _, index in sorted(ranked)[:limit])


def list_folder(root: Path) -> tuple[tuple[str, ...], Listing, Listing, str]:
    """Find the classes and the files of both splits.

    Returns:
        The classes' names, sorted, the listings of ``train`` and ``test``, and a line about files
        that are no images by their names, empty where there are none.

    Raises:
        UsageError: a folder is missing or empty, or the two splits disagree about the classes.
    """
    if not root.is_dir():
        raise UsageError(explain(f"no folder {root}", "--data folder:DIR names it", "give another"))
    others: Counter[str] = Counter()
    splits = {split: _class_files(root / split, others) for split in ("train", "test")}
    classes = tuple(splits["train"])
    if len(classes) < 2:
        fact = f"{root / 'train'} has only the class {classes[0]!r}"
        raise UsageError(explain(fact, "two or more are needed", "add folders"))
    for name in sorted(set(classes) ^ set(splits["test"])):
        there, absent = ("train", "test") if name in classes else ("test", "train")
        fact = f"class {name!r} is in {root / there}, but not in {root / absent}"
        raise UsageError(explain(fact, "both need the same classes", "add or remove the folder"))
    train, test = (
        Listing(
            tuple(file for name in classes for file in files[name]),
            tuple(label for label, name in enumerate(classes) for _ in files[name]),
        )
        for files in (splits["train"], splits["test"])
    )
    kinds = ", ".join(f"{count} {suffix or 'without a suffix'}" for suffix, count in others.items())
    return (
        classes,
        train,
        test,
        f"ignored files, no images by their names: {kinds}" if kinds else "",
    )


def _shown(entry: Path) -> bool:
    return not entry.name.startswith(".")  # .DS_Store, ._image.jpg, .ipynb_checkpoints


def _class_files(split: Path, others: Counter[str]) -> dict[str, list[Path]]:
    layout = "the layout is DIR/train/<class>/* and DIR/test/<class>/*"
    if not split.is_dir():
        raise UsageError(explain(f"no folder {split}", layout, "make it, or give another folder"))
    folders = sorted(entry for entry in split.iterdir() if entry.is_dir() and _shown(entry))
    if not folders:
        raise UsageError(explain(f"{split} has no class folders", layout, "add them"))
    found = {}
    for folder in folders:
        shown = [file for file in folder.iterdir() if _shown(file) and not file.is_dir()]
        files = sorted(file for file in shown if file.suffix.lower() in SUFFIXES)
        others.update(f.suffix.lower() for f in shown if f.suffix.lower() not in SUFFIXES)
        if not files:
            cause = f"none of its files ends in {', '.join(sorted(SUFFIXES))}"
            fact = f"class folder {folder} has no images"
            raise UsageError(explain(fact, cause, "add images or remove the folder"))
        found[folder.name] = files
    return found
