"""``ldb sweep``: many ways to drop, accuracy against time, beside plain training's own front.

Shorter plain training buys time with accuracy, too. A way to drop is worth something where it lies
above what plain runs of several lengths reach, which the paper's Figure 3 leaves out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from .front import Measured, at_time
from .record import Record
from .statistics import ERROR, Interval, chance, holm, interval
from .tables import Columns, counted


@dataclass(frozen=True)
class Point:
    """One arm in the picture.

    Attributes:
        name: the arm's.
        kind: what it has in common with arms of other rates: strategy and schedule.
        rate: its drop rate; 0 for plain training.
        time: its training time over plain training's, means over seeds.
        accuracy: final, with its interval.
        over_plain: points above plain training's front at its time, paired by seed; None for the
            plain arms themselves.
        shown: whether it is shown to lie above that front, corrected for the number of settings.
        on_front: whether no other arm is as fast and as good, and better in one of them.
    """

    name: str
    kind: str
    rate: float
    time: float
    accuracy: Interval
    over_plain: Interval | None
    shown: bool
    on_front: bool


def points(record: Record) -> list[Point]:
    """Every arm of a sweep, the fastest first."""
    measured = {name: record.measured(name) for name in record.names()}
    seconds = {name: fmean(found.seconds) for name, found in measured.items()}
    whole, least = seconds[record.plain], record.least_spread
    arms = {arm["name"]: arm for arm in record.arms}
    plain = record.front()
    over: dict[str, Interval] = {}
    for name in record.names("method"):
        # Outside of plain's times it is held against the nearest plain run.
        fronts = at_time(plain, seconds[name])
        pairs = zip(measured[name].accuracy, fronts, strict=True)
        over[name] = interval([mine - theirs for mine, theirs in pairs], least)
    chances = holm({name: chance(found, 0.0, "above") for name, found in over.items()})
    means = {name: fmean(found.accuracy) for name, found in measured.items()}
    return [
        Point(
            name,
            _kind(arms[name]),
            arms[name]["settings"].get("drop_rate") or 0.0,
            seconds[name] / whole,
            interval(measured[name].accuracy, least),
            over.get(name),
            # What takes longer than plain training was held against too little of it.
            shown=name in over and chances[name] <= ERROR and seconds[name] <= whole,
            on_front=not any(
                seconds[other] <= seconds[name]
                and means[other] >= means[name]
                and (seconds[other], means[other]) != (seconds[name], means[name])
                for other in arms
            ),
        )
        for name in sorted(arms, key=seconds.__getitem__)
    ]


def plain_curve(plain: Sequence[Point], times: Iterable[float]) -> list[float]:
    """Plain training's mean accuracy at each of these times, which are parts of its own.

    Before its shortest and after its longest run it is theirs.
    """
    runs = [Measured([point.accuracy.mean], [point.time]) for point in plain]
    return [at_time(runs, time)[0] for time in times]


def _kind(arm: Mapping[str, Any]) -> str:
    settings = arm["settings"]
    if not settings.get("strategy"):  # nothing is dropped: LoRA, say, or a way of the user's own
        return str(arm["says"])
    ramp = "" if settings.get("ramp", "constant") == "constant" else f", {settings['ramp']}"
    return f"{settings['strategy']}, every {settings['every']}{ramp}"


COLUMNS: Columns[Point] = {
    "arm": lambda point: point.name,
    "n": lambda point: str(point.accuracy.n),
    "time, of plain's": lambda point: f"{point.time:.3f}",
    "final accuracy, %": lambda point: point.accuracy.as_text(".2f"),
    "over plain's front, points": (
        lambda point: "" if point.over_plain is None else point.over_plain.as_text("+.2f")
    ),
    "Pareto front": lambda point: "yes" if point.on_front else "",
}


def sweep_lines(record: Record) -> list[str]:
    """What the sweep shows, in sentences."""
    found = points(record)
    tried = record.names("method")
    lines = [
        f"{point.name}: above plain training's front by {point.over_plain.as_text('+.2f')} points "
        f"in {point.time:.2f} of plain's time"
        for point in found
        if point.shown and point.over_plain is not None
    ]
    if not lines:
        lines.append(
            f"no gain shown: none of the {len(tried)} settings is shown to lie above plain "
            "training's own front (plain runs of 1, 3/4 and 1/2 of the epochs)"
        )
    lines += [f"{name} is left out: {why}" for name, why in record.left_out.items()]
    seeds = counted(len(record.finished_seeds()), "seed")
    lines.append(
        f"n = {seeds}; 95 % t intervals over seeds, paired, Holm over {len(tried)} settings. "
        f"Accuracies are on {record.data['test']:,} training {record.unit} held out: a sweep "
        "chooses, and ldb compare, with other seeds and the test's, confirms."
    )
    return lines
