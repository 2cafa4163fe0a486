"""Blocks compiled one by one against the same model uncompiled: gradients, graphs, and step times.

Both models get the same masks and take turns. One card (see `card.py`).

    python benchmarks/compile_step.py --threads 2 --out benchmarks/results/NAME

On a GPU: --precision bf16, and the same with --mode reduce-overhead.
"""

import argparse
import copy
import itertools
import math
import shlex
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from card import write as write_card
from torch import Tensor, nn
from torch._dynamo.utils import counters

from layerdropback import LayerDropBack, Schedule
from layerdropback.lab.calling import call
from layerdropback.lab.profiling.bench import Bench
from layerdropback.lab.profiling.trying import PROFILED, tried
from layerdropback.lab.tables import markdown_table
from layerdropback.runs.machine import machine
from layerdropback.training.blocks import repeated_blocks
from layerdropback.training.compiling import compile_blocks
from layerdropback.training.models import ModelSpec, build_model, choose_stem
from layerdropback.training.precision import Precision

# Model, image side in pixels, images per step (CPU, GPU), arguments of the model: nothing but the
# masks is random.
CASES: list[tuple[str, int, int, int, dict[str, Any]]] = [
    ("resnet50", 32, 16, 256, {}),
    ("vit_tiny_patch16_224", 224, 8, 256, {}),
    ("swin_tiny_patch4_window7_224", 224, 4, 128, {"drop_path_rate": 0.0}),
]
MASKS = 5  # spread evenly over what can be drawn, and used in turns
TABLE = (
    "model",
    "dropping",
    "gradients that only one has",
    "difference, full",
    "difference, drop",
    "graphs",
    "made later",
    "drop / full, eager [quartiles]",
    "drop / full, compiled",
    "compiled / eager, full",
    "compiled / eager, drop",
    "n",
)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    parser.add_argument("--pairs", type=int, default=15, help="pairs of steps per setting")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--strategies", nargs="*", default=PROFILED, choices=PROFILED)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--mode", help="of torch.compile")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int)
    names = [case[0] for case in CASES]
    parser.add_argument("--models", nargs="*", default=names, choices=names)
    return parser.parse_args()


class Twins:
    """An eager model and its compiled copy, each with a batch, an optimizer and a LayerDropBack."""

    def __init__(self, benches: Sequence[Bench], strategy: str, rate: float):
        self.benches = benches
        (made,) = tried([strategy], [rate], unit="block", pool=MASKS)
        every_second = Schedule(every=2, start=1, steps=1)  # one epoch: each is looked at anew
        self.ldbs = [LayerDropBack(b.model, b.optimizer, made, every_second) for b in benches]
        for ldb in self.ldbs:
            ldb.begin_epoch(0)

    def detach(self) -> None:
        """Let both go on in full."""
        for ldb in self.ldbs:
            ldb.detach()

    def compare(self) -> tuple[list[str], tuple[float, str]]:
        """The tensors that only one model has a gradient of; the largest difference, and where."""
        for bench in self.benches:
            with bench.autocast():
                loss = bench.loss(call(bench.model, bench.batch))
            loss.backward()
        found = self._differences()
        for bench in self.benches:
            bench.optimizer.step()
            bench.optimizer.zero_grad()
        return found

    def _differences(self) -> tuple[list[str], tuple[float, str]]:
        ldb, other = self.ldbs
        mask = np.zeros(len(ldb.layers), bool) if ldb.mask is None else ldb.mask
        assert np.array_equal(mask, np.zeros_like(mask) if other.mask is None else other.mask)
        dropped = {n for i in np.flatnonzero(mask) for n in ldb.layers[i].parameter_names}
        eager, compiled = (dict(bench.model.named_parameters()) for bench in self.benches)
        wrong, worst = [], (0.0, "")
        for name, parameter in eager.items():
            mine, theirs = compiled[name].grad, parameter.grad
            if not (mine is None) == (theirs is None) == (name in dropped):
                wrong.append(name)
            elif mine is not None and theirs is not None:
                worst = max(worst, (relative(mine, theirs), name))
        return wrong, worst

    def time(self, number: int) -> dict[str, Any]:
        """Seconds of a full and a drop step of each; who begins changes from pair to pair."""
        seconds: dict[str, Any] = {}
        both = [*zip(("eager", "compiled"), self.benches, self.ldbs, strict=True)]
        for mode in ("full", "drop"):
            for name, bench, ldb in both if number % 2 else reversed(both):
                if mode == "drop":
                    assert ldb.mask is not None
                    seconds["mask"] = "".join(map(str, ldb.mask.astype(int)))
                seconds[f"{name} {mode}"] = bench.step().total
        return seconds


def relative(mine: Tensor, theirs: Tensor) -> float:
    """The norm of the difference, as a share of the norm."""
    difference, norm = float((mine - theirs).float().norm()), float(theirs.float().norm())
    if difference == 0:
        return 0.0
    return difference / norm if norm else math.inf


def benches(case: tuple[str, int, int, int, dict[str, Any]], wanted: Any) -> list[Bench]:
    name, size, cpu_batch, gpu_batch, model_args = case
    device = torch.device(wanted.device)
    torch.manual_seed(0)
    spec = ModelSpec(name, 10, 3, size, choose_stem(name, size, "auto"), model_args)
    eager = build_model(spec)[0].to(device)
    with torch.no_grad():  # a branch that begins with weights of zero gives no gradients to compare
        for parameter in eager.parameters():
            if not parameter.any():
                parameter.fill_(0.1)
    compiled = copy.deepcopy(eager)
    compile_blocks(compiled)  # this raises the compiler's limit of graphs, too
    options = {} if wanted.mode is None else {"mode": wanted.mode}
    for block in repeated_blocks(compiled):
        block.compile(backend=wanted.backend, **options)
    batch = cpu_batch if device.type == "cpu" else gpu_batch
    images = torch.randn(batch, 3, size, size, device=device)
    precision = Precision(wanted.precision, device)

    def begin() -> Any:
        if wanted.mode is not None:  # CUDA graphs may overwrite what the last step left
            torch.compiler.cudagraph_mark_step_begin()
        return precision.autocast()

    return [Bench(model, images, classify, autocast=begin) for model in (eager, compiled)]


def classify(outputs: Tensor) -> Tensor:
    targets = torch.zeros(len(outputs), dtype=torch.long, device=outputs.device)
    return nn.functional.cross_entropy(outputs, targets)


def measure(pair: Sequence[Bench], strategy: str, rate: float, pairs: int) -> dict[str, Any]:
    torch._dynamo.reset()  # type: ignore[no-untyped-call]
    counters.clear()
    twins = Twins(pair, strategy, rate)
    try:
        for _ in ("full", "drop"):  # from the first the order of the layers is read, uncompiled
            twins.compare()
        # Full steps, and every mask: all graphs are made.
        found = [twins.compare() for _ in range(2 * MASKS)]
        graphs = counters["stats"]["unique_graphs"]
        # LayerDropBack looks whether it works in 16 drop steps, and 20 are whole turns.
        untimed = 3 * MASKS - 1
        times = [twins.time(n) for n in range(untimed + MASKS * math.ceil(pairs / MASKS))][untimed:]
    finally:
        twins.detach()
    return {
        "strategy": strategy,
        "rate": rate,
        "one_has": sorted({name for names, _ in found for name in names}),
        "largest_difference": {
            "full": max(worst for _, worst in found[0::2]),
            "drop": max(worst for _, worst in found[1::2]),
        },
        "compared_steps": len(found),
        "graphs": graphs,
        "made_later": counters["stats"]["unique_graphs"] - graphs,
        "times": times,
    }


def ratio(times: Iterable[dict[str, Any]], over: str, under: str) -> str:
    """The mean over the masks of each one's median, and quartiles over all pairs."""
    by_mask = defaultdict(list)
    for seconds in times:
        by_mask[seconds["mask"]].append(seconds[over] / seconds[under])
    low, _, high = statistics.quantiles(itertools.chain.from_iterable(by_mask.values()), n=4)
    counts = [len(found) for found in by_mask.values()]
    mean = statistics.fmean(map(statistics.median, by_mask.values()), weights=counts)
    return f"{mean:.2f} [{low:.2f}, {high:.2f}]"


def row(model: str, found: dict[str, Any]) -> list[str]:
    times = found["times"]
    return [
        model,
        f"{found['strategy']} {found['rate']:g}",
        str(len(found["one_has"])),
        *(f"{found['largest_difference'][mode][0]:.1e}" for mode in ("full", "drop")),
        str(found["graphs"]),
        str(found["made_later"]),
        ratio(times, "eager drop", "eager full"),
        ratio(times, "compiled drop", "compiled full"),
        ratio(times, "compiled full", "eager full"),
        ratio(times, "compiled drop", "eager drop"),
        str(len(times)),
    ]


def write(wanted: Any, results: dict[str, list[dict[str, Any]]], facts: dict[str, Any]) -> str:
    hardware, versions = facts["hardware"], facts["versions"]
    rows = [row(model, found) for model, settings in results.items() for found in settings]
    command = shlex.join(["python", *sys.argv])
    sizes = ", ".join(
        f"{name} {size} pixels, batch {cpu if wanted.device == 'cpu' else gpu}"
        + "".join(f", {key}={value}" for key, value in more.items())
        for name, size, cpu, gpu, more in CASES
        if name in results
    )
    compared = next(iter(results.values()))[0]["compared_steps"]
    card = "\n".join(
        [
            f"# Blocks compiled one by one, {date.today()}",
            "",
            f"Command: `{command}`",
            "",
            f"{hardware['device']}, {hardware['threads']} CPU threads; torch {versions['torch']}, "
            f"timm {versions['timm']}, layerdropback {versions['layerdropback']}, commit "
            f"{versions.get('commit', 'unknown')}. {wanted.precision}, unit block, backend "
            f"{wanted.backend}, mode {wanted.mode or 'default'}; SGD with Nesterov momentum at "
            "learning rate 0; 10 classes; random images; parameters that begin as zeros are 0.1.",
            "",
            f"{sizes}.",
            "",
            "A model and its copy, the blocks of which are compiled one by one, on the same batch "
            "and the same masks (five, spread evenly over what can be drawn).",
            "",
            f"**Gradients**, in {compared} steps, half of them drop steps with each mask once: "
            "parameter tensors that did not have a gradient in both models just where their layer "
            "was kept, and the largest difference of a tensor's gradient, its norm over the "
            "gradient's, in full steps (the compiler's own rounding) and in drop steps. "
            "**Graphs**: as torch counts them, all that were made in these steps, and those that "
            "were made later, while the time was taken. **Time**: the two models and full and drop "
            "steps took turns in one process; for each mask the median, and the mean over them; "
            "quartiles over all n pairs.",
            "",
            markdown_table(TABLE, rows),
            "",
        ]
    )
    numbers = {"command": command, **facts, "results": results}
    write_card(wanted.out, card, numbers)
    return card


def main() -> None:
    wanted = parse()
    wanted.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after all the measuring
    if wanted.threads is not None:
        torch.set_num_threads(wanted.threads)
    facts = machine(torch.device(wanted.device))  # before: this is the code that is measured
    results = {}
    card = ""
    for case in CASES:
        if case[0] in wanted.models:
            pair = benches(case, wanted)
            results[case[0]] = [
                measure(pair, strategy, wanted.rate, wanted.pairs) for strategy in wanted.strategies
            ]
            card = write(wanted, results, facts)  # a model takes minutes: what is broken off stays
    print(card)


if __name__ == "__main__":
    main()
