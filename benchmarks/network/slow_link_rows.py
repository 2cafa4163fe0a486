"""The tables of `slow_link`'s card, and its verdicts."""

import statistics
from collections.abc import Mapping
from typing import Any

from layerdropback.lab.front import Measured
from layerdropback.lab.statistics import interval
from layerdropback.lab.verdict import Compared, judge

from ..common.timing import quartiles
from .slow_link_arms import NEIGHBOURS, Arms

# Points below plain training's final accuracy that are to be reached.
BELOW = 0.5


def step_rows(found: Mapping[str, Any], arms: Arms, batch: int) -> list[list[str]]:
    full = statistics.median(found["times"]["plain"]["full"])
    rows = []
    for arm in arms.own:
        for kind, seconds in found["times"].get(arm.name, {}).items():
            if not seconds:
                continue
            kib = statistics.fmean(found["sent"][arm.name][kind]) / 1024
            # By means: a drop step's time depends on its mask.
            per_image = statistics.fmean(seconds) / (batch * arm.batch)
            rows.append(
                [
                    arm.name,
                    kind if arm.dropping else "",
                    f"{round(batch * arm.batch)}",
                    f"{kib:.0f}",
                    f"{quartiles([1000 * value for value in seconds], '.1f')}, n = {len(seconds)}",
                    f"{statistics.median(seconds) / full:.2f}",
                    f"{1000 * statistics.fmean(seconds):.1f}",
                    f"{1000 * per_image:.2f}",
                ]
            )
    return rows


def measured(found: Mapping[str, Any], arms: Arms) -> dict[str, Measured]:
    """Final accuracy and wall time of each arm, by seed."""
    result = {}
    for arm in arms.every:
        runs = sorted(
            (run for run in found["runs"] if run["arm"] == arm.name), key=lambda run: run["seed"]
        )
        last = [run["looks"][-1] for run in runs]
        result[arm.name] = Measured([e["accuracy"] for e in last], [e["seconds"] for e in last])
    return result


def seconds_to(found: Mapping[str, Any], arm: str, target: float) -> list[float]:
    """Of each run that gets there: its time when that was first seen."""
    times = []
    for run in found["runs"]:
        reached = [e["seconds"] for e in run["looks"] if e["accuracy"] >= target]
        if run["arm"] == arm and reached:
            times.append(reached[0])
    return times


def accuracy_rows(
    found: Mapping[str, Any],
    arms: Arms,
    results: Mapping[str, Measured],
    target: float,
    least: float,
) -> list[list[str]]:
    plain = results["plain"]
    rows = []
    for arm in arms.every:
        mine = results[arm.name]
        compared = None if arm.name == "plain" else Compared.between(mine, plain, least)
        got = seconds_to(found, arm.name, target)
        reached = "never"
        if got:
            reached = f"{statistics.median(got):.1f} ({len(got)} of {len(mine.seconds)})"
        rows.append(
            [
                arm.name,
                f"{found['steps'][arm.name]}",
                f"{found['tuned'][arm.name]:g}",
                interval(mine.accuracy, least).as_text(".2f"),
                "" if compared is None else compared.accuracy.as_text("+.2f"),
                f"{statistics.fmean(mine.seconds):.1f}",
                "1" if compared is None else compared.time.as_text(".2f"),
                reached,
            ]
        )
    return rows


def verdicts(arms: Arms, results: Mapping[str, Measured], least: float) -> list[str]:
    """Each method against plain training of the same time; compressed against compressed."""
    lines = []
    for fp16 in (False, True):
        methods = [arm for arm in arms.methods if arm.fp16 == fp16]
        plain = results[methods[0].plain]
        pairs = {m.name: (results[m.name], results[f"{m.plain}@{m.name}"]) for m in methods}
        front = [plain, *(results[arm.name] for arm in arms.given if arm.fp16 == fp16)]
        found = judge(plain, pairs, front, least_spread=least)
        said = " (plain training is plain-fp16 here)" if fp16 else ""
        lines += [f"- {arm}{said}: {verdict.text}" for arm, verdict in found.items()]
    return lines


def neighbour_rows(arms: Arms, results: Mapping[str, Measured], least: float) -> list[list[str]]:
    rows = []
    for method in arms.methods:
        for other in NEIGHBOURS:
            found = Compared.between(results[method.name], results[other.name], least)
            points, time = found.accuracy.as_text("+.2f"), found.time.as_text(".2f")
            rows.append([method.name, other.name, points, time])
    return rows


def run_rows(found: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            run["arm"],
            str(run["seed"]),
            f"{run['looks'][-1]['seconds']:.2f}",
            ", ".join(f"{look['accuracy']:.1f}" for look in run["looks"]),
        ]
        for run in sorted(found["runs"], key=lambda run: (run["arm"], run["seed"]))
    ]


def target_of(found: Mapping[str, Any]) -> float:
    """The accuracy that is to be reached."""
    plain = sorted((r for r in found["runs"] if r["arm"] == "plain"), key=lambda r: r["seed"])
    return statistics.fmean(run["looks"][-1]["accuracy"] for run in plain) - BELOW
