"""Trains many random networks, each beside its reference: ``make networks``, or this file alone.

    python tests/support/many_networks.py --count 10000 --seed 0

Each network has a seed of its own, from ``--seed`` on. Of a failure the seed is shown; with
``--count 1 --show`` that network runs alone, and is shown as code.
"""

import argparse
import gc
import multiprocessing
import sys
import time
from collections import Counter

import torch

from trial import attempt, described, main_words


def _start():
    gc.collect()
    gc.freeze()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first network")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, help="stop after so many")
    parser.add_argument("--show", action="store_true", help="the networks that fail, as code")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    attempt(arguments.seed)  # half of the compiler is imported once
    began, found, failures = time.monotonic(), Counter(), []
    with multiprocessing.Pool(arguments.jobs, _start) as pool:
        for seed, outcome in zip(seeds, pool.imap(attempt, seeds, chunksize=8), strict=True):
            found.update(networks=1, steps=outcome.steps, dropping=outcome.dropping)
            found.update(resumed=outcome.resumed, weighed=outcome.weighed)
            found.update([f"refused: {outcome.refused}"] if outcome.refused else [])
            found.update([f"warned: {outcome.warned}"] if outcome.warned else [])
            if outcome.failure is not None:
                failures.append(seed)
                print(f"seed {seed}: {main_words(outcome.failure)}", flush=True)
                if arguments.show:
                    print(described(seed), outcome.failure, sep="\n", flush=True)
            if arguments.minutes and time.monotonic() - began > 60 * arguments.minutes:
                pool.terminate()
                break
    for name, number in sorted(found.items()):
        print(f"{number:8} {name}")
    seconds = time.monotonic() - began
    print(f"{len(failures)} failures, first seed {arguments.seed}, {seconds:.0f} s: {failures}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
