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
            usable the first one is chosen, for its error to be told.

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
    order = list(range(len(labels)))
    Random(0).shuffle(order)  # a generator of its own: the global one stays where it is
    rounds: dict[int, int] = {}
    ranked = []
    for index in order:
        label = labels[index]
        rounds[label] = rounds.get(label, -1) + 1
        ranked.append((rounds[label], index))
    return sorted(index for _, index in sorted(ranked)[:limit])


def proportional(labels: Sequence[int], limit: int) -> list[int]:
    """Indices of `limit` entries, of each class its share: a rare one is not used up.

    Example:
        >>> labels = [0] * 18 + [1] * 2
        >>> [labels[i] for i in proportional(labels, 10)].count(1)
        1
    """
    order = list(range(len(labels)))
    Random(0).shuffle(order)
    sizes, seen = Counter(labels), Counter[int]()
    places = []
    for index in order:
        label = labels[index]
        # Evenly spread over [0, 1), so that the first so many have each class in its share.
        places.append(((seen[label] + 0.5) / sizes[label], index))
        seen[label] += 1
    return sorted(index for _, index in sorted(places)[:limit])
