"""Which images of a data set count: the split to test on, and a few of each class."""

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

# Names of the split to test on, the first that is there.
TEST_SPLITS = ("test", "val", "valid", "validation")


def choose_test(present: Sequence[str], usable: Callable[[str], bool]) -> tuple[str, str] | None:
    """Choose the split to test on.

    Args:
        present: the names of the splits that are there.
        usable: whether a split has classes; ImageNet's ``test`` has none. Where no split is
            usable the first one is chosen, for its error to be reported.

    Returns:
        The split's name, and a remark where it is not ``test`` alone; None where there is none.

    Example:
        >>> choose_test(["train", "val", "test"], lambda split: True)
        ('test', "tested on 'test', not on 'val'")
    """
    found = [split for split in TEST_SPLITS if split in present]
    if not found:
        return None
    chosen = next(filter(usable, found), found[0])
    others = [repr(split) for split in found if split != chosen]
    if others:
        return chosen, f"tested on {chosen!r}, not on {' or '.join(others)}"
    return chosen, "" if chosen == "test" else f"tested on {chosen!r}"


def stratified(labels: Sequence[int], limit: int) -> list[int]:
    """Indices of `limit` entries, as evenly over the classes as their numbers allow.

    Example:
        >>> sorted(labels[i] for labels in [[0, 0, 0, 1, 1, 1]] for i in stratified(labels, 4))
        [0, 0, 1, 1]
    """
    return _first(labels, limit, lambda before, size: before)


def proportional(labels: Sequence[int], limit: int) -> list[int]:
    """Indices of `limit` entries, of each class its share: a rare one is not used up.

    Example:
        >>> labels = [0] * 18 + [1] * 2
        >>> [labels[i] for i in proportional(labels, 10)].count(1)
        1
    """
    # Evenly spread over [0, 1), so that the first so many have each class in its share.
    return _first(labels, limit, lambda before, size: (before + 0.5) / size)


def _first(labels: Sequence[int], limit: int, place: Callable[[int, int], float]) -> list[int]:
    """The first by a place, which is made of how many of a class came before, and of its size.

    scikit-learn's splitters refuse a class of one image, and none balances.
    """
    order = list(range(len(labels)))
    Random(0).shuffle(order)  # a generator of its own: the global one stays where it is
    sizes, before = Counter(labels), Counter[int]()
    places = []
    for index in order:
        label = labels[index]
        places.append((place(before[label], sizes[label]), index))
        before[label] += 1
    return sorted(index for _, index in sorted(places)[:limit])
