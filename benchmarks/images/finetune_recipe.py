"""`ldb train --recipe finetune` on the ants and bees, plain and with the preset: what accuracy.

    python -m benchmarks finetune-recipe --data FOLDER --init FILE --out benchmarks/results/NAME

FOLDER has `train/<class>` and `test/<class>`, FILE the weights of EfficientNet-Lite0. `--folds 4`
tests on held-out training images instead, in so many parts: so settings are chosen. Each
`--change lr=0.0003,layer_decay=1` is one more row. `--timed` adds times, for a quiet machine.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Any

import torch
import yaml

from layerdropback.lab.tables import markdown_table
from layerdropback.training.config import TrainConfig
from layerdropback.training.dropping import over
from layerdropback.training.images.data import ImageData, load_for
from layerdropback.training.loop import Trainer
from layerdropback.training.recipes import recipe_settings
from layerdropback.training.settings_file import typed

from ..common.card_files import write
from ..common.facts import facts_of, listed
from ..common.flags import out

MODEL = "tf_efficientnet_lite0"
ARMS = {"plain": {"drop_rate": 0.0}, "preset": {}}
TIMES = ("No times: the machine had other work.", "Seconds: of training, without the tests.")
MEASURED_STEP = 5  # the first one is recorded, and keeps everything


class Held:
    """Counts the bytes that one step's forward pass keeps for its backward pass."""

    def __init__(self) -> None:
        self.bytes, self._steps = 0, 0
        self._seen: set[int] = set()
        self._hooks: Any = None

    def after_step(self, images: int) -> None:
        """Count in one step; to be called after each."""
        self._steps += 1
        if self._hooks is not None:
            self._hooks.__exit__()
            self._hooks = None
        elif self._steps == MEASURED_STEP:
            self._hooks = torch.autograd.graph.saved_tensors_hooks(self._count, lambda t: t)
            self._hooks.__enter__()

    def _count(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, torch.nn.Parameter) and storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor


def config_of(args: argparse.Namespace, arm: str, seed: int, change: str = "") -> TrainConfig:
    """The recipe's settings for one run."""
    given = {"model": MODEL, "init": args.init, "data": f"folder:{args.data}"}
    given |= {"image_size": args.image_size, "channels_last": args.channels_last}
    given |= {"in_memory": "no", "seed": seed, "threads": args.threads, "workers": 0}
    pairs = [pair.split("=") for pair in change.split(",") if pair]
    changes = typed({name: yaml.safe_load(value) for name, value in pairs}, "--change")
    settings = over(over(recipe_settings("finetune"), {**given, **ARMS[arm]}), changes)
    return TrainConfig.from_dict(settings)


def trained(config: TrainConfig, data: ImageData) -> dict[str, Any]:
    """One run, in plain values."""
    trainer, held = Trainer(config, data), Held()
    epochs = [trainer.train_epoch(i, held.after_step) for i in range(config.epoch_count)]
    trainer.pipeline.close()
    states = [v for s in trainer.optimizer.state.values() for v in s.values() if v.ndim]
    return {
        "accuracy": [round(epoch.test_accuracy, 2) for epoch in epochs],
        "test_loss": round(epochs[-1].test_loss, 4),
        "backward_saved": epochs[-1].backward_saved or 0.0,
        "held_mb": held.bytes / 1e6,
        "state_mb": sum(v.nbytes for v in states) / 1e6,
        "seconds": sum(epoch.seconds for epoch in epochs),
    }


def folds_of(data: ImageData, count: int) -> Iterator[ImageData]:
    """The training images in parts, each of which is tested on once."""
    labels, part = data.train.labels, dict[int, int]()
    for kind in range(len(data.classes)):
        own = (labels == kind).nonzero().flatten().tolist()
        Random(0).shuffle(own)
        part |= {index: number % count for number, index in enumerate(own)}
    for number in range(count):
        inside = [sorted(i for i in part if (part[i] == number) is out) for out in (False, True)]
        yield replace(data, train=data.train.subset(inside[0]), test=data.train.subset(inside[1]))


def all_runs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every run; arms take turns, and begin in turns, so that what disturbs one disturbs all."""
    data, found = load_for(config_of(args, "plain", 0)), []
    cases = list(enumerate(folds_of(data, args.folds))) if args.folds else []
    cases = cases or [(seed, data) for seed in range(args.first_seed, args.first_seed + args.seeds)]
    for seed, images in cases:
        for change in args.change or [""]:
            for arm in list(ARMS)[:: 1 if seed % 2 == 0 else -1]:
                if arm in args.arms:
                    run = trained(config_of(args, arm, seed, change), images)
                    found.append({"arm": arm, "change": change, "seed": seed, **run})
                    print(json.dumps(found[-1]), flush=True)
    return found


def rows(runs: list[dict[str, Any]], timed: bool) -> list[list[str]]:
    """A row for each arm and change."""
    made, plain = [], {(r["change"], r["seed"]): r for r in runs if r["arm"] == "plain"}
    for arm, change in dict.fromkeys((run["arm"], run["change"]) for run in runs):
        own = [run for run in runs if (run["arm"], run["change"]) == (arm, change)]
        ends = [run["accuracy"][-1] for run in own]
        spread = f" ± {stdev(ends):.1f}" if len(ends) > 1 else ""
        row = [arm, *([change or "none"] if len({r["change"] for r in runs}) > 1 else [])]
        row += [f"{mean(ends):.1f}{spread}", " ".join(f"{end:.1f}" for end in ends)]
        row += [f"{mean(run[name] for run in own):.{n}f}" for name, n in MEANS]
        if timed:
            ratios = [run["seconds"] / plain[change, run["seed"]]["seconds"] for run in own]
            row += [f"{mean(run['seconds'] for run in own):.1f}", f"{mean(ratios):.2f}"]
        made.append(row)
    return made


MEANS = (("test_loss", 3), ("backward_saved", 2), ("held_mb", 1), ("state_mb", 1))
HEAD = ["accuracy, %", "of each run", "test loss", "backward saved", "held, MB", "state, MB"]


def flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--init", type=Path, required=True)
    out(parser)
    parser.add_argument("--image-size", type=int, default=128, help="pixels of a side")
    parser.add_argument("--channels-last", action="store_true", help="as ldb train's flag")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--folds", type=int, default=0)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--change", action="append", help="NAME=VALUE,...: a row of its own")
    parser.add_argument("--runs", type=Path, help="runs as they were printed: only write the card")
    parser.add_argument("--timed", action="store_true", help="nothing else runs on this machine")


def run(args: argparse.Namespace) -> None:
    """Train, and write the card."""
    facts = facts_of()
    lines = args.runs.read_text().splitlines() if args.runs else ()
    runs = [json.loads(line) for line in lines] or all_runs(args)
    head = ["arm", *(["changed"] if len({r["change"] for r in runs}) > 1 else []), *HEAD]
    head += ["seconds", "of plain's"] if args.timed else []
    text = CARD.format(
        date=date.today(),
        size=args.image_size,
        table=markdown_table(head, rows(runs, args.timed)),
        tested=f"held-out training images, {args.folds} parts" if args.folds else "the test images",
        times=TIMES[args.timed],
        recipe=", ".join(f"`{key}: {value}`" for key, value in recipe_settings("finetune").items()),
        machine=listed(facts),
        command=args.command,
    )
    kept = [{k: v for k, v in run.items() if args.timed or k != "seconds"} for run in runs]
    write(args.out, text, {"machine": facts, "runs": kept})
    print(text)


CARD = """# The recipe `finetune` on the ants and bees ({date})

EfficientNet-Lite0 with weights of ImageNet, at {size} pixels, on the ants and bees of PyTorch's
tutorial of transfer learning, with `ldb train`'s own trainer. Tested on {tested}.
`plain` is the recipe with `--drop-rate 0`; `preset` is the recipe as it is, with a fixed cut at
half of the backward pass's cost in every step. {times}

{table}

Accuracy: mean and standard deviation after the last epoch. Saved: of the backward pass's FLOPs.
Held: what one step's forward pass keeps for its backward pass, parameters left out. State: the
optimizer's at the end. The recipe: {recipe}.

- {machine}
- `{command}`
"""
