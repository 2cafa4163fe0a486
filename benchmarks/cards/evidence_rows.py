"""What the records of comparisons show, method by method; `evidence_table` makes pages of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from layerdropback.lab.front import Measured
from layerdropback.lab.record import Record
from layerdropback.lab.statistics import Interval
from layerdropback.lab.sweep import points
from layerdropback.lab.verdict import Compared, Verdict, judge

from ..common.card_files import RECORD, beside, read

RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Row:
    """One method on one card.

    Attributes:
        card: its name.
        arm: the method's name there.
        method: in words.
        n: seeds.
        time: of plain training's; None where nothing was finished.
        accuracy: final, in percent; mean over seeds.
        equal: points against plain training of the same time; of a sweep against plain training's
            front at the method's time.
        whole: points against plain training of all its time.
        verdict: in one phrase; None for a sweep, which gives none.
        above: whether the method is shown to be above plain training of the same time.
        text: the verdict in a sentence.
    """

    card: str
    arm: str
    method: str
    n: int
    time: float | None = None
    accuracy: float | None = None
    equal: Interval | None = None
    whole: Interval | None = None
    verdict: str | None = None
    above: bool = False
    text: str = ""


def rows_of(card: str) -> list[Row]:
    """A row for each method of a card; none where nothing was compared with plain training."""
    values = read(RESULTS / card)
    if "format" in values:
        record = Record.read(beside(RESULTS / card, RECORD))
        return _swept(card, record) if record.kind == "sweep" else _compared(card, record)
    return _linked(card, values) if "runs" in values and "plan" in values else []


def method_of(settings: Mapping[str, Any]) -> str:
    """What an arm leaves out, in words.

    Args:
        settings: of the arm, as `ldb train` has them; older releases' may lack some.

    Example:
        >>> method_of({"strategy": "truncate", "drop_rate": 0.5, "depth": "fixed", "every": 2})
        'truncate 0.5, fixed depth, every second epoch'
    """
    if settings["strategy"] is None:  # a task of sentences has arms without LayerDropBack
        others = [f"LoRA, rank {settings['lora']}"] if settings.get("lora") else []
        others += ["a part frozen"] if settings.get("freeze") else []
        return f"nothing ({', '.join(others)})" if others else "nothing"
    if settings["strategy"] == "blocks":
        return f"all but {settings['active_blocks']} blocks, which take turns"
    parts = [f"{settings['strategy']} {settings['drop_rate']:g}"]
    if settings.get("rates"):
        parts.append("rates of their own")
    if settings["strategy"] == "truncate":
        parts.append(f"{settings.get('depth', 'uniform')} depth")
    if settings.get("keep"):
        parts.append("residual blocks alone")  # of the slow link's network, which keeps the rest
    if settings.get("ramp", "constant") != "constant":
        parts.append(settings["ramp"])
    if settings.get("every", 1) != 1:
        parts.append("every second epoch" if settings["every"] == 2 else "not every epoch")
    elif settings.get("start", 0):
        parts.append(f"from epoch {settings['start'] + 1} on")
    if settings.get("anneal"):
        parts.append(f"the last {100 * settings['anneal']:.0f} % full")
    if settings.get("lr_scale", 1) != 1:
        parts.append(f"learning rate x {settings['lr_scale']:g}")
    return ", ".join(parts)


def _judged(card: str, arm: str, method: str, mine: Measured, verdict: Verdict) -> Row:
    return Row(
        card,
        arm,
        method,
        n=len(mine.accuracy),
        time=verdict.against_plain.time.mean,
        accuracy=fmean(mine.accuracy),
        equal=None if verdict.against_equal is None else verdict.against_equal.accuracy,
        whole=verdict.against_plain.accuracy,
        verdict=verdict.kind,
        above=verdict.kind == "better at equal time",
        text=verdict.text,
    )


def _compared(card: str, record: Record) -> list[Row]:
    methods = {arm["name"]: method_of(arm["settings"]) for arm in record.arms}
    return [
        _judged(card, name, methods[name], record.measured(name), verdict)
        for name, verdict in record.verdicts().items()
    ]


def _swept(card: str, record: Record) -> list[Row]:
    methods = {
        arm["name"]: method_of(arm["settings"]) for arm in record.arms if arm["role"] == "method"
    }
    if not record.finished_seeds():
        return [Row(card, name, method, n=0) for name, method in methods.items()]
    plain = record.measured(record.names("plain")[0])
    least = 100 / record.data["test"]
    found = {point.name: point for point in points(record)}
    return [
        Row(
            card,
            name,
            method,
            n=found[name].accuracy.n,
            time=found[name].time,
            accuracy=found[name].accuracy.mean,
            equal=found[name].over_plain,
            whole=Compared.between(record.measured(name), plain, least).accuracy,
            above=found[name].shown,
        )
        for name, method in methods.items()
    ]


# The arms of `slow_link`, those of its first card among them.
_LINKED = {
    "uniform.5": {"strategy": "uniform", "drop_rate": 0.5},
    "uniform.5-paper": {"strategy": "uniform", "drop_rate": 0.5, "every": 2, "lr_scale": 2},
    "blocks.8": {"strategy": "uniform", "drop_rate": 0.8, "keep": "the rest"},
    "truncate.5": {"strategy": "truncate", "drop_rate": 0.5},
    "truncate.5-fixed": {"strategy": "truncate", "drop_rate": 0.5, "depth": "fixed"},
    "unfreeze.45": {
        "strategy": "truncate", "drop_rate": 0.45, "depth": "fixed", "ramp": "falling",
    },
}  # fmt: skip


def _linked(card: str, values: Mapping[str, Any]) -> list[Row]:
    """The methods over a slow link: each against plain training that sends in its precision."""
    measured = {arm: _last(values, arm) for arm in {run["arm"] for run in values["runs"]}}
    rows = []
    for plain, ending in (("plain", ""), ("plain-fp16", "-fp16")):
        equal = {
            name.removeprefix(f"{plain}@"): found
            for name, found in measured.items()
            if name.startswith(f"{plain}@")
        }
        front = [measured[plain], measured[f"{plain}-shortest"], *equal.values()]
        pairs = {name: (measured[name], found) for name, found in sorted(equal.items())}
        verdicts = judge(measured[plain], pairs, front, least_spread=100 / values["plan"]["test"])
        for name, verdict in verdicts.items():
            method = method_of(_LINKED[name.removesuffix("-fp16")])
            method += ", sent in half precision" if ending else ""
            rows.append(_judged(card, name, method, measured[name], verdict))
    return rows


def _last(values: Mapping[str, Any], arm: str) -> Measured:
    runs = sorted((run for run in values["runs"] if run["arm"] == arm), key=lambda r: r["seed"])
    looks = [run["looks"][-1] for run in runs]
    seconds = [look["seconds"] for look in looks]
    return Measured([look["accuracy"] for look in looks], seconds)
