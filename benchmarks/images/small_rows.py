"""What the cards of `families` and `stem` say alike."""

from collections.abc import Mapping

from layerdropback.lab.tables import markdown_table
from layerdropback.lab.verdict import Verdict

from ..common.facts import sentence
from .small_runs import Done


def how_to_read(done: Mapping[str, Done]) -> str:
    """What the main table's numbers are, and which of the planned seeds have not run."""
    counts = (
        (name, len(each.record.finished_seeds()), len(each.record.seeds))
        for name, each in done.items()
    )
    fewer = "; ".join(
        f"{name} has {made} of {planned}" for name, made, planned in counts if made < planned
    )
    text = (
        "Points are percentage points of final test accuracy, means with 95 % intervals, paired by "
        "seed. Times are of training steps alone, on the wall clock. *Same time*: plain training "
        "of so many epochs as take the method's time, its own learning rate tuned; where it took "
        "another time, by more than 2 %, plain training's front at the method's time. The verdict "
        "is the lab's, corrected for the methods of one network (Holm)."
    )
    return f"{text} Not all planned seeds have run yet: {fewer}." if fewer else text


def time_and_points(verdict: Verdict) -> list[str]:
    """Of plain's time, the points at the same time, and the points in all of plain's time."""
    equal = verdict.against_equal
    return [
        verdict.against_plain.time.as_text(".3f"),
        "" if equal is None else equal.accuracy.as_text("+.2f"),
        verdict.against_plain.accuracy.as_text("+.2f"),
    ]


def network_table(done: Mapping[str, Done]) -> str:
    """What was trained, and how."""
    head = ("network", "timm model", "plain accuracy, %", "parts", "epochs", "images", "optimizer")
    rows = []
    for name, each in done.items():
        record = each.record
        own = record.settings
        accuracy = record.measured(record.names("plain")[0]).accuracy
        parts = ", ".join([*own["model_args"], f"stem {own['stem']}"])
        sizes = f"{record.data['train']:,} ({record.data['test']:,} to test)"
        how = f"{own['optimizer']}, batch {own['batch_size']}"
        mean = f"{sum(accuracy) / len(accuracy):.2f}"
        rows.append([name, own["model"], mean, parts, str(own["epochs"]), sizes, how])
    return markdown_table(head, rows)


def machine_of(done: Mapping[str, Done]) -> str:
    """Where it was measured: of each machine and its versions one sentence, with all commits."""
    commits: dict[str, list[str]] = {}
    for each in done.values():
        machine, _, commit = sentence(each.record.facts).rpartition("commit ")
        commits.setdefault(machine, []).append(commit.removesuffix("."))
    return " ".join(f"{at}commit {', '.join(dict.fromkeys(of))}." for at, of in commits.items())


def tuned_rates(done: Mapping[str, Done]) -> str:
    """Every arm's learning rate on each network, and how many runs chose it."""
    runs = sorted({len({trial["seed"] for trial in each.record.trials}) for each in done.values()})
    tuned = {name: each.record.tuned for name, each in done.items()}
    arms = dict.fromkeys(arm for rates in tuned.values() for arm in rates)
    rows = [
        [arm, *(f"{rates[arm]:g}" if arm in rates else "" for rates in tuned.values())]
        for arm in arms
    ]
    return (
        "Learning rates, each tuned on training images held out, which no run trains on (runs of "
        f"each rate: {', '.join(map(str, runs))}):\n\n{markdown_table(('arm', *tuned), rows)}"
    )
