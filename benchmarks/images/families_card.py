"""The card of `families`: one table beside the paper's claims, and what explains the difference."""

from collections.abc import Iterable, Mapping, Sequence

from layerdropback.lab.tables import markdown_table

from ..common.card_files import page
from .small_rows import how_to_read, machine_of, network_table, time_and_points, tuned_rates
from .small_runs import Done

# Of training time, in percent: the paper's means (arXiv 2412.18027).
FINE_TUNING, SCRATCH = 16.93, 23.3

HEAD = (
    "family",
    "in drop epochs",
    "n",
    "time, of plain's",
    "points, same time",
    "points, all of plain's time",
    "no-drop control, points",
    "no-drop control, time of plain's",
    "of backward FLOPs saved, %",
    "of all FLOPs saved, %",
    "verdict",
)


def card_of(command: str, done: Mapping[str, Done], wanted: Sequence[str] = ()) -> str:
    """The text, from the families that are finished, and which of those wanted are not."""
    title = "The paper's families from scratch on CIFAR-10, small"
    missing = [name for name in wanted if name not in done]
    note = f"Not finished, and not on this card: {', '.join(missing)}." if missing else ""
    return page(
        title,
        command,
        f"{machine_of(done)} Uniform 0.5 as the authors' scripts have it: each tensor by itself, "
        "drawn anew every step, learning rate x 2 in drop epochs, which are every second one from "
        "the third on. The no-drop control has the same learning rate and batch in the same "
        "epochs, and drops nothing.",
        f"{how_to_read(done)} FLOPs are counted by the library on each network, over masks that "
        "are drawn as in training, and weighed with the epochs that dropped.",
        markdown_table(HEAD, rows(done)),
        f"The paper claims {FINE_TUNING:g} % less training time in fine-tuning and {SCRATCH:g} % "
        f"from scratch, accuracy kept or better. {note}".strip(),
        "## What explains the difference",
        *explained(done),
        "## What was trained",
        network_table(done),
        tuned_rates(done),
    )


def rows(done: Mapping[str, Done]) -> list[list[str]]:
    """A row of `HEAD` for each family and batch factor."""
    found = []
    for name, each in done.items():
        plain = each.record.names("plain")[0]
        for method, verdict in each.record.verdicts().items():
            control = each.between(control_of(each, method), plain)
            found.append(
                [
                    name,
                    method,
                    str(verdict.against_plain.accuracy.n),
                    *time_and_points(verdict),
                    control.accuracy.as_text("+.2f"),
                    control.time.as_text(".3f"),
                    f"{100 * flops_saved(each, method, ('backward',)):.1f}",
                    f"{100 * flops_saved(each, method, ('forward', 'backward')):.1f}",
                    verdict.kind,
                ]
            )
    return found


def control_of(done: Done, method: str) -> str:
    """The no-drop control of a method."""
    arms = done.record.arms
    return next(a["name"] for a in arms if a["role"] == "no-drop" and a["of"] == method)


def flops_saved(done: Done, method: str, passes: Iterable[str]) -> float:
    """Share of a run's FLOPs: every epoch has the same images, so its epochs weigh alike."""
    full, drop = (sum(done.counted[mode][p] for p in passes) for mode in ("full", "drop"))
    return (1 - drop / full) * drop_share(done, method)


def drop_share(done: Done, method: str) -> float:
    """Share of a run's epochs in which layers dropped."""
    modes = [row["mode"] for row in done.record.rows(method)]
    return modes.count("drop") / len(modes)


def explained(done: Mapping[str, Done]) -> list[str]:
    """Paragraphs, with the measured numbers in them."""
    methods = list(dict.fromkeys(m for each in done.values() for m in each.record.names("method")))
    lines = []
    for method in methods:
        having = [each for each in done.values() if method in each.record.names("method")]
        took, alone, beyond = [], [], []
        for each in having:
            plain, control = each.record.names("plain")[0], control_of(each, method)
            took.append(100 * each.between(method, plain).time.mean)
            alone.append(100 * each.between(control, plain).time.mean)
            beyond.append(100 * each.between(method, control).time.mean)
        left = [100 * (1 - flops_saved(each, method, ("forward", "backward"))) for each in having]
        lines.append(
            f"**{method}** takes {span(took)} of plain training's time. The same learning rate and "
            f"batch with nothing dropped take {span(alone)} of it: that difference is not the "
            f"dropping's. Of that control's time the method takes {span(beyond)}, and of a run's "
            f"FLOPs {span(left)} are left."
        )
    weights = [
        100 * each.counted["full"]["weights"] / (c["forward"] + c["backward"])
        for each in done.values()
        for c in [each.counted["full"]]
    ]
    shares = [100 * drop_share(each, m) for each in done.values() for m in methods]
    lines.append(
        f"**Why FLOPs allow no more**: {span(weights)} of a step's FLOPs are for gradients of "
        "weights, which is all that dropping a tensor saves while the gradient flows through it "
        f"to others. About half of them drop, in {span(shares)} of the epochs. In the authors' "
        "202 epochs 100 drop."
    )
    lines.append(
        "**Their timer**: the authors' scripts read `time.process_time`, the CPU seconds of the "
        "process. That is no time to wait: it adds up the seconds of all threads, and has nothing "
        "of what other processes do, such as a loader's, nor of a GPU's work while the process "
        "sleeps. What it would show here is not in the records, which have the wall clock alone; "
        "so there is no column of it."
    )
    return lines


def span(percents: list[float]) -> str:
    """The least and the most.

    Example:
        >>> span([3.0, -1.25]), span([2.0])
        ('-1.2 % to 3.0 %', '2.0 %')
    """
    low, high = f"{min(percents):.1f} %", f"{max(percents):.1f} %"
    return low if low == high else f"{low} to {high}"
