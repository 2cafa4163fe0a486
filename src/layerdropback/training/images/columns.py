"""Which columns of a table are the images and the labels, and which classes the labels name."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import UsageError, explain
from ...runs.naming import in_one_form, nfc, spelt

# Columns by their usual names, for tables that do not say what their columns are.
IMAGES = ("image", "img", "jpg", "png", "webp")
LABELS = ("label", "labels", "cls", "class", "target", "fine_label")


def find_column(
    features: Mapping[str, Any], kind: type, usual: Sequence[str], where: str
) -> tuple[str, str]:
    """Find the one column of a kind: by its type, else by its name.

    Args:
        features: the columns' types, by name.
        kind: the type that is looked for.
        usual: names that decide where not exactly one column is of that type.
        where: the table, for the error.

    Returns:
        The column's name, and a remark where there was a choice.

    Raises:
        UsageError: no column can be it, or several.

    Example:
        >>> find_column({"picture": b"", "mask": 0}, bytes, IMAGES, "the table")
        ('picture', '')
    """
    typed = [name for name, feature in features.items() if isinstance(feature, kind)]
    found = typed if len(typed) == 1 else [name for name in typed or features if name in usual]
    if len(found) != 1:
        number = "several columns" if typed or found else "no column"
        columns = ", ".join(f"{name!r} ({type(kind).__name__})" for name, kind in features.items())
        fact = f"{where} has {number} of type {kind.__name__} or of its usual names"
        cure = f"give another data set, or one whose column is named {usual[0]!r}"
        raise UsageError(explain(fact, f"its columns are {columns}", cure))
    others = [repr(name) for name in typed if name not in found]
    remark = f"column {found[0]!r} is used, not {' or '.join(others)}" if others else ""
    return found[0], remark


def number_classes(
    names: Sequence[str] | None, labels: Sequence[Any], where: str
) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Number the classes.

    Args:
        names: the classes' names where the labels are numbers of them already.
        labels: of the training images; whole numbers or texts, None where there is none.
        where: the column, for the error.

    Returns:
        The classes' names, and each label's number; names and texts in Unicode's form NFC, in
        which those that look alike are one class.

    Raises:
        UsageError: there are fewer than two classes, or the labels are neither.

    Example:
        >>> number_classes(None, ["dog", "cat", "dog"], "the column")
        (('cat', 'dog'), {'cat': 0, 'dog': 1})
    """
    if names is None:
        kinds = {type(label) for label in labels} - {type(None)}
        if len(kinds) != 1 or not kinds <= {int, str}:
            has = " and ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
            fact = f"{where} names no classes"
            cause = f"whole numbers or texts are needed, and it has {has}"
            raise UsageError(explain(fact, cause, "give another data set"))
        values = sorted({nfc(label) for label in labels if label is not None})
        names = [str(value) for value in values]
    else:
        values = list(range(len(names)))
    classes = list(dict.fromkeys(map(nfc, names)))
    if len(classes) < 2:
        fact = f"{where} has only the class {spelt(names[0])}" if names else f"{where} has no class"
        raise UsageError(explain(fact, "two or more are needed", "give another data set"))
    numbers = {name: number for number, name in enumerate(classes)}
    both = zip(values, names, strict=True)
    return tuple(classes), {value: numbers[nfc(name)] for value, name in both}


def require_one_spelling(names: Sequence[str] | None, labels: Sequence[Any], where: str) -> None:
    r"""Make sure that no class comes in two Unicode forms.

    Args:
        names: see `number_classes`.
        labels: of the images of one split.
        where: the split, for the error.

    Raises:
        UsageError: one does.

    Example:
        >>> require_one_spelling(None, ["caf\u00e9", "the\u0301", "caf\u00e9"], "the split")
    """
    used: set[Any] = {label for label in labels if isinstance(label, str if names is None else int)}
    if names is not None:
        used = {names[label] for label in used if 0 <= label < len(names)}
    cure = "write them alike, or give another data set"
    in_one_form(sorted(used), f"{where} has two labels of", cure)
