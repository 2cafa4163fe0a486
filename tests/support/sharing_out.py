"""Which worker of pytest-xdist runs which tests, and when."""

from collections import Counter
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[2]

# Other tests that take about as long as one that takes minutes.
OTHERS = 50


class ByWhatIsStarted(LoadFileScheduling):
    """A file's tests in one worker; those that start ranks all in the same one.

    The ranks are forked from a server, which each worker would have to start, for seconds.
    """

    def _split_scope(self, nodeid):
        return _scope(nodeid.partition("::")[0])


def longest_first(items, takes_minutes):
    """The tests of a worker, those that go together in order of what they take.

    What is long and comes last has the other worker wait for it.
    """
    scopes = {item: _scope(item.nodeid.partition("::")[0]) for item in items}
    long = Counter()
    for item, scope in scopes.items():
        long[scope] += OTHERS if item in takes_minutes else 1
    return sorted(items, key=lambda item: -long[scopes[item]])


@cache
def _scope(file):
    starts_ranks = file.endswith(".py") and "in_workers(" in (ROOT / file).read_text()
    return "ranks" if starts_ranks else file
