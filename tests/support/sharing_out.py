"""Which worker of pytest-xdist runs which tests."""

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

ROOT = Path(__file__).parents[2]


class ByWhatIsStarted(LoadFileScheduling):
    """A file's tests in one worker; those that start ranks all in the same one.

    The ranks are forked from a server, which each worker would have to start, for seconds.
    """

    def _split_scope(self, nodeid):
        return _scope(nodeid.partition("::")[0])


@cache
def _scope(file):
    starts_ranks = file.endswith(".py") and "in_workers(" in (ROOT / file).read_text()
    return "ranks" if starts_ranks else file
