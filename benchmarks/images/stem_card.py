"""The card of `stem`: every cut against plain training, and which layers it leaves out."""

from collections.abc import Mapping
from statistics import fmean

from layerdropback.lab.tables import counted, markdown_table

from ..common.card_files import page
from .small_rows import how_to_read, machine_of, network_table, time_and_points, tuned_rates
from .small_runs import Done

HEAD = (
    "network",
    "cut",
    "n",
    "time, of plain's",
    "points, same time",
    "points, all of plain's time",
    "of backward FLOPs saved, %",
    "verdict",
)
LAYERS = ("network", "cut", "left out in every step", "in a share of them", "beyond the stem")


def card_of(command: str, done: Mapping[str, Done]) -> str:
    """The text, from the networks that are finished."""
    title = "A cut that leaves the stem untrained, from scratch on CIFAR-10"
    return page(
        title,
        command,
        f"{machine_of(done)} A fixed cut of so much of the backward pass's FLOPs, in every step "
        "or from a part of the run on: backward stops there, and what lies before it stays as it "
        "is.",
        f"{how_to_read(done)} FLOPs saved are of the whole run, full epochs included, as each step "
        "reports.",
        markdown_table(HEAD, rows(done)),
        conclusion(done),
        "## What a cut leaves out",
        "Counted on the networks themselves. A cut lies between layers, so where none lies at the "
        "share, steps take the next below or the next above, as often as gives the share in the "
        "mean. A layer without products goes with what is before it in the backward pass.",
        markdown_table(LAYERS, layer_rows(done)),
        "## What was trained",
        network_table(done),
        tuned_rates(done),
    )


def rows(done: Mapping[str, Done]) -> list[list[str]]:
    """A row of `HEAD` for each network and cut."""
    return [
        [
            name,
            method,
            str(verdict.against_plain.accuracy.n),
            *time_and_points(verdict),
            f"{100 * saved(each, method):.1f}",
            verdict.kind,
        ]
        for name, each in done.items()
        for method, verdict in each.record.verdicts().items()
    ]


def saved(done: Done, method: str) -> float:
    """Of the backward pass of a run, the mean over its epochs, which are of the same images."""
    seeds = done.record.finished_seeds()
    found = [row for seed in seeds for row in done.record.rows(method, seed)]
    return fmean(row.get("backward_saved") or 0.0 for row in found)


def layer_rows(done: Mapping[str, Done]) -> list[list[str]]:
    """A row of `LAYERS` for each network and share."""
    return [
        [
            name,
            share,
            ", ".join(layer for layer, chance in cut["chances"].items() if chance == 1),
            ", ".join(f"{la}: {ch:.2f}" for la, ch in cut["chances"].items() if ch < 1) or "-",
            ", ".join(cut["beyond"]) or "nothing",
        ]
        for name, each in done.items()
        for share, cut in each.counted.items()
    ]


def conclusion(done: Mapping[str, Done]) -> str:
    """Whichever way it ends, in a sentence."""
    verdicts = {
        f"{name} {method}": verdict
        for name, each in done.items()
        for method, verdict in each.record.verdicts().items()
    }
    gains = [name for name, verdict in verdicts.items() if verdict.gain]
    losers = sum(verdict.kind == "no gain" for verdict in verdicts.values())
    said = f"Of {counted(len(verdicts), 'cut')} {len(gains) or 'none'}"
    said += f" gained: {'; '.join(gains)}" if gains else " is shown to gain"
    left = len(verdicts) - len(gains) - losers
    return f"{said}. No gain: {losers}. Neither is shown: {left}."
