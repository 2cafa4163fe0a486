"""Bytes of any kind for everything that reads files: a valid object, or the library's own error.

    python tests/reliability/fuzz.py --minutes 10
    python tests/reliability/fuzz.py --minutes 1 --only checkpoint --seed 7

Each target is given bytes that are random, or a good file's with changes, or a good file's values
with others put in their place. It prints how many were executed, and how many of these were taken
and refused; whatever else happens is shown with the input, and ends it with exit code 1. So does a
file that makes the reader execute what it holds.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path


def main():
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    import fuzzed
    import fuzzing

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=None, help="by default a new one")
    parser.add_argument("--only", default=None, choices=fuzzed.NAMES)
    asked = parser.parse_args()
    first = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    print(f"seed {first}", flush=True)
    counts, end, number = {}, time.monotonic() + 60 * asked.minutes, first
    with tempfile.TemporaryDirectory() as folder:
        targets = fuzzed.targets(Path(folder))
        targets = {n: t for n, t in targets.items() if asked.only in (None, n)}
        while time.monotonic() < end:
            for name, target in targets.items():
                counts.setdefault(name, Counter()).update(fuzzing.fuzz(target, 200, number))
            number += 1
    for name, count in counts.items():
        told = f"{count['taken']:,} taken, {count['refused']:,} refused"
        print(f"{name}: {count['executions']:,} executions, {told}")
    total = sum(count["executions"] for count in counts.values())
    print(f"{total:,} executions, seeds {first} to {number - 1}")


if __name__ == "__main__":
    main()
