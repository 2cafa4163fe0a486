"""Seconds of a step of each arm of `blocks-text`, in turns, for the record that it goes on with.

    python -m benchmarks blocks-text-times --data FOLDER --out benchmarks/results/NAME

Nothing else may run beside it. Each round trains every arm for one period of steps on the same
batches, another arm beginning each time; the first two rounds warm up. Then `blocks-text` with
the same flags writes the card again, with the times in it.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import torch

from ..common.timing import rotated
from . import sentences
from .blocks_text_task import ARMS, BATCH, PERIOD, Arm, Task, attach, loss_of

ROUNDS, WARM = 26, 2


def steps(task: Task, arm: Arm) -> Iterator[None]:
    """Trains for ever, a step at a time."""
    model = task.model(arm, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    ldb = attach(arm, model, optimizer, 0)
    for epoch in itertools.count():
        batches = task.batches(task.train[: BATCH * PERIOD * 8], seed=epoch)
        for inputs, labels in batches if ldb is None else ldb.epoch(batches, epoch):
            loss_of(model, inputs, labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            yield


def measured(task: Task) -> dict[str, list[float]]:
    """Seconds of a step, by arm; one entry for each round."""
    tracks = {arm.name: steps(task, arm) for arm in ARMS}
    found: dict[str, list[float]] = {name: [] for name in tracks}
    for number in range(ROUNDS):
        for name in rotated(list(tracks), number):
            begun = time.perf_counter()
            for _ in range(PERIOD):
                next(tracks[name])
            if number >= WARM:
                found[name].append((time.perf_counter() - begun) / PERIOD)
        print(f"round {number + 1} of {ROUNDS}", flush=True)
    return found


def flags(parser: argparse.ArgumentParser) -> None:
    sentences.flags(parser)


def run(args: argparse.Namespace) -> None:
    """Measure, and add a line to the record."""
    task = Task(sentences.model_folder(args), args.data)
    record: dict[str, Any] = {"times": measured(task), "threads": torch.get_num_threads()}
    with args.out.with_suffix(".jsonl").open("a") as file:
        file.write(json.dumps(record) + "\n")
