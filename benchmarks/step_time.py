"""Time of a drop step over a full step, and what the controller itself costs.

Full and drop steps take turns in one process, after a warm-up, wall clock with the device
synchronised. Writes a card (Markdown) and its raw numbers (JSON).

    python benchmarks/step_time.py --out benchmarks/results/NAME
"""

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from layerdropback import LayerDropBack
from layerdropback.training.machine import machine
from layerdropback.training.models import ModelSpec, build_model, choose_stem

# Model, image side in pixels, images per step (CPU, GPU).
CASES = [
    ("resnet50", 32, 16, 256),
    ("densenet121", 32, 16, 256),
    ("efficientnet_b0", 32, 32, 512),
    ("vit_tiny_patch16_224", 224, 8, 256),
    ("swin_tiny_patch4_window7_224", 224, 4, 128),
]
UNITS = ("layer", "block", "tensor")
RATE = 0.5


def clock(device: torch.device) -> float:
    """Seconds, once the device has done all of its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def step_times(
    model: nn.Module, batch: torch.Tensor, unit: Any, pairs: int, warmup: int
) -> dict[str, list[float]]:
    """Seconds of full and drop steps, taking turns."""
    device = batch.device
    labels = torch.randint(10, (len(batch),), device=device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    ldb = LayerDropBack(model, optimizer, drop_rate=RATE, unit=unit, lr_scale=1.0)
    times: dict[str, list[float]] = {"full": [], "drop": []}
    for number in range(2 * (warmup + pairs)):
        with ldb.epoch(None, number):
            start = clock(device)
            functional.cross_entropy(model(batch), labels).backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds = clock(device) - start
        if number >= 2 * warmup:
            times["drop" if number % 2 else "full"].append(seconds)
    ldb.detach()
    return times


def controller_cost(rounds: int = 60, steps: int = 50, layers: int = 100) -> dict[str, list[float]]:
    """Microseconds that the controller adds to a step of a model of many one-weight layers.

    Blocks of plain and attached steps take turns; each difference is within one turn. Drop steps
    are those of ``strategy="none"``: masks are drawn, and no saving hides the cost.
    """
    model = nn.Sequential(*(nn.Linear(1, 1, bias=False) for _ in range(layers)))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-9)
    batch = torch.ones(1, 1)

    def block() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            model(batch).sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return (time.perf_counter() - start) / steps * 1e6

    def attached(epoch: int, **settings: Any) -> Callable[[], float]:
        def measured() -> float:
            ldb = LayerDropBack(model, optimizer, lr_scale=1.0, **settings)
            with ldb.epoch(None, 0):  # the order is recorded
                model(batch).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
            with ldb.epoch(None, epoch):
                result = block()
            ldb.detach()
            return result

        return measured

    modes = {
        "rate 0": attached(0, drop_rate=0.0),
        "full epoch": attached(2, drop_rate=RATE),
        "drop epoch, mask drawn, nothing dropped": attached(1, drop_rate=RATE, strategy="none"),
    }
    costs: dict[str, list[float]] = {mode: [] for mode in modes}
    block()
    for _ in range(rounds):
        for mode, measured in modes.items():
            before = block()
            with_it = measured()
            costs[mode].append(with_it - (before + block()) / 2)
    return costs


def quartiles(values: list[float]) -> str:
    """Median with the quartiles around it."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    """Measure everything, print the card, and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="path of the card, no suffix")
    parser.add_argument("--pairs", type=int, default=15, help="pairs of steps per row")
    parser.add_argument("--warmup", type=int, default=3, help="pairs before the timing")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    names = [case[0] for case in CASES]
    parser.add_argument("--models", nargs="*", default=names, choices=names)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)  # now, not after all the measuring

    commit = subprocess.run(  # before the measuring: this is the code that is measured
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    rows, raw = [], []
    for name, size, cpu_batch, gpu_batch in CASES:
        if name not in arguments.models:
            continue
        images = cpu_batch if device.type == "cpu" else gpu_batch
        for unit in UNITS:
            torch.manual_seed(0)
            small = choose_stem(name, size, "auto")
            model, _ = build_model(ModelSpec(name, 10, 3, size, small))
            batch = torch.randn(images, 3, size, size, device=device)
            times = step_times(model.to(device), batch, unit, arguments.pairs, arguments.warmup)
            ratios = [d / f for d, f in zip(times["drop"], times["full"], strict=True)]
            ratio = statistics.median(times["drop"]) / statistics.median(times["full"])
            rows.append(
                f"| {name} | {size} | {images} | {unit} | {ratio:.2f} | {quartiles(ratios)} |"
            )
            print(rows[-1], flush=True)
            raw.append({"model": name, "size": size, "batch": images, "unit": unit, **times})
    costs = controller_cost()

    facts = machine(device)
    hardware, versions = facts["hardware"], facts["versions"]
    card = [
        f"# Step time of uniform dropping at rate {RATE}, {date.today()}",
        "",
        f"{hardware['device']}, {hardware['threads']} CPU threads; torch {versions['torch']}, timm "
        f"{versions['timm']}, layerdropback {versions['layerdropback']}, commit {commit}.",
        "",
        f"    python benchmarks/step_time.py --out {arguments.out} --pairs {arguments.pairs} "
        f"--warmup {arguments.warmup} --device {device}",
        "",
        f"A step is forward, backward, SGD with Nesterov momentum and zero_grad, in float32. Full "
        f"and drop steps take turns in one process after {arguments.warmup} pairs of warm-up; n = "
        f"{arguments.pairs} pairs a row. Images of 32 pixels go through the small stem.",
        "",
        "| model | pixels | batch | unit | drop / full, medians | per pair: median [quartiles] |",
        "| --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
        "Cost of the controller itself, microseconds per step, for a model of 100 layers "
        f"(attached minus plain, taking turns, n = {len(costs['rate 0'])}):",
        "",
        "| mode | median [quartiles] |",
        "| --- | --- |",
        *(f"| {mode} | {quartiles(values)} |" for mode, values in costs.items()),
        "",
    ]
    print("\n".join(card))
    Path(f"{arguments.out}.md").write_text("\n".join(card))
    numbers = {"steps": raw, "controller_us": costs, "commit": commit, **facts}
    Path(f"{arguments.out}.json").write_text(json.dumps(numbers, indent=1) + "\n")


if __name__ == "__main__":
    main()
