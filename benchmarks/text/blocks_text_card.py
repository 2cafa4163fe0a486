"""The card of `blocks_text`: from its record to a text and a table."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from scipy import stats

from layerdropback.lab.tables import markdown_table

from ..common import card_files
from ..common.facts import listed

HEAD = (
    "arm", "n", "learning rate", "test accuracy, %", "points to full",
    "gradients and states, MB", "seconds of a step, of full's",
)  # fmt: skip
NOT_TIMED = "not measured"


def write_card(out: Path, record: dict[str, Any]) -> None:
    """Write Markdown, CSV and the compressed record.

    Args:
        out: the card's path, without a suffix.
        record: about, rates, runs and times.
    """
    about, table = record["about"], markdown_table(HEAD, rows(record))
    own = {name: about[name] for name in ("data", "train", "test", "held_out", "period", "command")}
    text = CARD.format(
        date=date.today(), table=table, machine=listed(about), times=_times(record), **own
    )
    card_files.write(out, text, record)
    print(table)


def rows(record: dict[str, Any]) -> list[list[str]]:
    """Each arm's mean, its difference to full fine-tuning paired by seed, and what it takes."""
    rates = record["rates"]
    final = {name: _by_seed(record, name, rate) for name, rate in rates.items()}
    full = final["full"]
    made = []
    for name, runs in final.items():
        right = [100 * run["accuracy"] for run in runs.values()]
        gains = [100 * (run["accuracy"] - full[seed]["accuracy"]) for seed, run in runs.items()]
        held = max(run["gradient_and_state_bytes"] for run in runs.values()) / 1e6
        found = [name, str(len(runs)), f"{rates[name]:g}", with_interval(right, ".2f")]
        found += ["" if name == "full" else with_interval(gains, "+.2f"), f"{held:.1f}"]
        made.append([*found, _ratio(record, name)])
    return made


def _by_seed(record: dict[str, Any], name: str, rate: float) -> dict[int, dict[str, Any]]:
    return {
        run["seed"]: run
        for run in record["runs"]
        if run["arm"] == name and run["rate"] == rate and not run["tuning"]
    }


def with_interval(values: Sequence[float], form: str) -> str:
    """The mean and Student's 95 % interval.

    Example:
        >>> with_interval([1.0, 2.0, 3.0], ".1f")
        '2.0 [-0.5, 4.5]'
    """
    mean = sum(values) / len(values)
    if len(set(values)) < 2:
        return f"{mean:{form}}"
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]"


def _ratio(record: dict[str, Any], name: str) -> str:
    """Of the rounds, each of which has its own ratio: what slows the machine slows both."""
    if record["times"] is None:
        return NOT_TIMED
    times = record["times"]["times"]
    if name == "full":
        return "1"
    return with_interval([a / b for a, b in zip(times[name], times["full"], strict=True)], ".3f")


def _times(record: dict[str, Any]) -> str:
    if record["times"] is None:
        return "Seconds were not measured: other work ran beside the runs."
    found = record["times"]
    rounds, full = len(found["times"]["full"]), found["times"]["full"]
    middle = 1000 * sorted(full)[len(full) // 2]
    return (
        f"Seconds of a step: {rounds} rounds of one period of steps of each arm in turns, nothing "
        f"beside them, {found['threads']} threads; means of the ratios with 95 % intervals. "
        f"A step of full fine-tuning took {middle:.0f} ms (median)."
    )


CARD = """# Blocks that take turns: MiniLM on {data} ({date})

MiniLM (6 layers, 22.7 M parameters, real weights), fine-tuned on {data} ({train} training, {test}
test sentences) for one epoch: batch 32 of sentences of similar length, bf16 autocast, AdamW,
warm-up over a tenth, linear decay; blocks change every {period} steps. Each arm's rate was tuned on
{held_out} held-out training sentences (one seed, the grid grew until the best was inside); then all
training sentences, fresh seeds. Intervals are Student's, 95 %, the differences paired by seed, and
not corrected for their number. Gradients and states: the largest sum over all steps, exact bytes.
States that are kept instead of offloaded give the same weights bit for bit (a test), so that their
accuracy is one.

{table}

{times}

Every run, the tuning's too, is in the record beside this card.

- {machine}
- `{command}`
"""
