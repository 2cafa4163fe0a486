"""The card of `compile_step`."""

import argparse
import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from layerdropback.lab.tables import markdown_table

from ..common.card_files import page
from ..common.facts import Facts, sentence

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


def sizes(cases: Sequence[Sequence[Any]], on_cpu: bool) -> str:
    """Pixels, images and arguments of each model."""
    return ", ".join(
        f"{name} {size} pixels, batch {cpu if on_cpu else gpu}"
        + "".join(f", {key}={value}" for key, value in more.items())
        for name, size, cpu, gpu, more in cases
    )


def card_of(
    args: argparse.Namespace,
    cases: Sequence[Sequence[Any]],
    results: Mapping[str, list[dict[str, Any]]],
    facts: Facts,
) -> str:
    """The text, of the cases that were measured."""
    rows = [row(model, found) for model, settings in results.items() for found in settings]
    compared = next(iter(results.values()))[0]["compared_steps"]
    return page(
        "Blocks compiled one by one",
        args.command,
        f"{sentence(facts)} {args.precision}, unit block, backend {args.backend}, mode "
        f"{args.mode or 'default'}; SGD with Nesterov momentum at learning rate 0; 10 classes; "
        "random images; parameters that begin as zeros are 0.1.",
        f"{sizes(cases, args.device == 'cpu')}.",
        "A model and its copy, the blocks of which are compiled one by one, on the same batch "
        "and the same masks (five, spread evenly over what can be drawn).",
        f"**Gradients**, in {compared} steps, half of them drop steps with each mask once: "
        "parameter tensors that did not have a gradient in both models just where their layer "
        "was kept, and the largest difference of a tensor's gradient, its norm over the "
        "gradient's, in full steps (the compiler's own rounding) and in drop steps. "
        "**Graphs**: as torch counts them, all that were made in these steps, and those that "
        "were made later, while the time was taken. **Time**: the two models and full and drop "
        "steps took turns in one process; for each mask the median, and the mean over them; "
        "quartiles over all n pairs.",
        markdown_table(TABLE, rows),
    )
