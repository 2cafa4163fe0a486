"""Images that cannot be read: they end the run, or are skipped, counted and named."""

import warnings
from collections.abc import Iterable

from ...errors import UsageError, explain, name_some
from ..workers import ALONE, Workers

# So many in a row, where another image is wanted in the place of one, are no accident.
MOST = 20


class Unreadable(UsageError):
    """An image that cannot be decoded.

    Args:
        name: what to call it.
        cause: why.

    Example:
        >>> print(Unreadable("cat/0.png", "it is empty"))
        cannot read the image cat/0.png. Cause: it is empty. Cure: replace it, or remove it before \
a run begins.
    """

    def __init__(self, name: str, cause: str):
        self.name, self.cause = name, cause
        fact, cure = f"cannot read the image {name}", "replace it, or remove it before a run begins"
        super().__init__(explain(fact, cause, cure))

    def __reduce__(self) -> tuple[type["Unreadable"], tuple[str, str]]:
        return type(self), (self.name, self.cause)


class Unread:
    """What could not be read: how often, and which images.

    Example:
        >>> unread = Unread()
        >>> unread.add([Unreadable("a.png", "it is empty")] * 2)
        >>> unread.take(), unread.take()
        (2, 0)
    """

    def __init__(self) -> None:
        self._count = 0
        self._new: dict[str, str] = {}
        self._told: set[str] = set()

    def add(self, found: Iterable[Unreadable]) -> None:
        """Images that were asked for and are skipped."""
        for one in found:
            self._count += 1
            self._new.setdefault(one.name, one.cause)

    def take(self) -> int:
        """How often it has happened since the last call."""
        count, self._count = self._count, 0
        return count

    def tell(self, workers: Workers = ALONE) -> None:
        """Name in one warning those that were not named yet, whichever worker has met them."""
        found: dict[str, str] = {}
        for mine in workers.gathered(self._new):
            found |= mine
        new = {name: found[name] for name in sorted(found) if name not in self._told}
        self._told |= new.keys()
        self._new = {}
        if new:
            fact = f"{len(new)} images cannot be read, and are skipped: {name_some(list(new))}"
            cure = "replace them, or remove them before a run begins"
            warnings.warn(explain(fact, next(iter(new.values())), cure), stacklevel=2)
