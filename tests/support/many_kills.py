"""Kills runs of ``ldb``, resumes them, and compares what they end with: ``make kills``.

    python tests/support/many_kills.py --count 1000 --seed 0

Train, compare, sweep, memory and distributed runs get SIGKILL inside the savings of files, after
steps and at any time, until there were so many kills. What they come to must be what an unbroken
run comes to. Each trial, of some kills of one command, has a seed of its own, from ``--seed`` on;
it is shown where a trial fails. ``--only NAME --count 1 --seed SEED`` makes that trial again, whose
kills at places are the same; those at times are as near as a clock is.
"""

import argparse
import contextlib
import itertools
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from forking import Forker
from kills import WAYS, Unbroken, kill_and_resume


class Counting:
    """What all jobs share: the next trial, the unbroken runs, and what was found so far."""

    def __init__(self, arguments, folder):
        self._names = [arguments.only] if arguments.only else list(WAYS)
        self._count, self._kills, self.folder = arguments.count, arguments.kills, folder
        self._seeds = itertools.count(arguments.seed)
        self._end = time.monotonic() + 60 * (arguments.minutes or 1e6)
        self._unbroken, self._locks = {}, defaultdict(threading.Lock)
        self.kills, self.seconds = defaultdict(Counter), Counter()
        self.failures = []

    def unbroken(self, name, forker):
        """Of a command; made once, by the job that needs it first."""
        with self._locks[name]:
            if name not in self._unbroken:
                folder = self.folder / f"unbroken-{name}"
                self._unbroken[name] = Unbroken.of(WAYS[name], forker, folder)
        return self._unbroken[name]

    def unbroken_seconds(self, name):
        """What a command takes that nobody kills."""
        return self._unbroken[name].seconds

    def trials(self):
        """Seeds and commands, until there were as many kills as are wanted, or ten failures."""
        for seed in self._seeds:
            done = sum(found.total() for found in self.kills.values())
            if done >= self._count or time.monotonic() > self._end or len(self.failures) > 9:
                return
            yield seed, self._names[seed % len(self._names)], min(self._kills, self._count - done)

    def go(self, number):
        """One job, with a process of its own that forks."""
        folder = self.folder / f"job-{number}"
        folder.mkdir()
        with contextlib.closing(Forker(folder)) as forker:
            for seed, name, kills in self.trials():
                began, place = time.monotonic(), folder / str(seed)
                place.mkdir()
                try:
                    unbroken = self.unbroken(name, forker)
                    self.kills[name] += kill_and_resume(
                        forker, WAYS[name], place, unbroken, kills, seed
                    )
                except AssertionError as error:
                    self.failures.append((name, seed))
                    print(f"{name}, seed {seed}: {error}", flush=True)
                self.seconds[name] += time.monotonic() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first trial")
    parser.add_argument("--kills", type=int, default=8, help="of a trial, at most")
    parser.add_argument("--only", choices=WAYS, help="one command alone")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="stop after so many")
    arguments = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counting = Counting(arguments, Path(folder))
        with ThreadPoolExecutor(arguments.jobs) as pool:
            list(pool.map(counting.go, range(arguments.jobs)))
    minutes = (time.monotonic() - began) / 60
    for name, found in counting.kills.items():
        where = ", ".join(f"{place} {times}" for place, times in sorted(found.items()))
        once = f"{counting.unbroken_seconds(name):.1f} s by itself"
        took = f"in {counting.seconds[name]:.0f} s ({once})"
        print(f"{found.total():6} kills of {name:8} {took}: {where}")
    total = sum(found.total() for found in counting.kills.values())
    print(
        f"{total} kills survived, first seed {arguments.seed}, {60 * minutes:.0f} s, "
        f"{total / minutes:.0f} a minute; {len(counting.failures)} failures: {counting.failures}"
    )
    sys.exit(bool(counting.failures))


if __name__ == "__main__":
    main()
