"""Blocks compiled one by one against the same model uncompiled: gradients, graphs, and step times.

Both models get the same masks and take turns. One card.

    python -m benchmarks compile-step --threads 2 --out benchmarks/results/NAME

On a GPU: --precision bf16, and the same with --mode reduce-overhead.
"""

import argparse
import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from layerdropback.lab.profiling.bench import Bench
from layerdropback.lab.profiling.trying import PROFILED
from layerdropback.training.compiling import compile_blocks, repeated_blocks
from layerdropback.training.models import ModelSpec, build_model, choose_stem
from layerdropback.training.precision import Precision

from ..common.card_files import write
from ..common.facts import facts_of
from ..common.flags import device, out, set_up_machine, threads
from .compile_card import card_of
from .twins import MASKS, Twins

# Model, image side in pixels, images per step (CPU, GPU), arguments of the model: nothing but the
# masks is random.
CASES: list[tuple[str, int, int, int, dict[str, Any]]] = [
    ("resnet50", 32, 16, 256, {}),
    ("vit_tiny_patch16_224", 224, 8, 256, {}),
    ("swin_tiny_patch4_window7_224", 224, 4, 128, {"drop_path_rate": 0.0}),
]


def flags(parser: argparse.ArgumentParser) -> None:
    out(parser)
    parser.add_argument("--pairs", type=int, default=15, help="pairs of steps per setting")
    parser.add_argument("--rate", type=float, default=0.5)
    parser.add_argument("--strategies", nargs="*", default=PROFILED, choices=PROFILED)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    parser.add_argument("--backend", default="inductor", help="of torch.compile")
    parser.add_argument("--mode", help="of torch.compile")
    device(parser)
    threads(parser)
    names = [case[0] for case in CASES]
    parser.add_argument("--models", nargs="*", default=names, choices=names)


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


def run(args: argparse.Namespace) -> None:
    """Measure model by model, and write the card after each."""
    set_up_machine(args)
    facts = facts_of(args.device)
    cases = [case for case in CASES if case[0] in args.models]
    results: dict[str, list[dict[str, Any]]] = {}
    card = ""
    for number, case in enumerate(cases, 1):
        pair = benches(case, args)
        results[case[0]] = [measure(pair, name, args.rate, args.pairs) for name in args.strategies]
        card = card_of(args, cases[:number], results, facts)
        # A model takes minutes: what is broken off stays.
        write(args.out, card, {"command": args.command, **facts, "results": results})
    print(card)
