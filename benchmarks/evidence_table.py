"""Write what the records show into docs/evidence.md and README.md, between their markers.

    python benchmarks/evidence_table.py

A new card of a comparison gets a line in `TASKS`, one of another kind a line in `MEASURED`.
(`evidence.py` makes the runs; this one reads what they left.)
"""

import re
from pathlib import Path

from evidence_rows import Row, rows_of

from layerdropback.lab.statistics import Interval
from layerdropback.lab.tables import markdown_table

ROOT = Path(__file__).parents[1]
README, EVIDENCE = ROOT / "README.md", ROOT / "docs" / "evidence.md"
CARDS = "benchmarks/results"

# Each task with its cards, the latest first.
TASKS = {
    "fine-tuning, MiniLM on TREC, 1 epoch": ("2026-11-28-trec-minilm",),
    "fine-tuning, ResNet, 3 epochs": (
        "2026-11-24-evidence-tune-resnet-short-2",
        "2026-11-23-evidence-tune-resnet-short-16",
        "2026-11-23-evidence-tune-resnet-short",
        "2026-11-23-evidence-tune-resnet-short-screen",
    ),
    "fine-tuning, ViT, 3 epochs": (
        "2026-11-24-evidence-tune-vit-short-2",
        "2026-11-23-evidence-tune-vit-short",
        "2026-11-23-evidence-tune-vit-short-screen",
    ),
    "fine-tuning, ResNet, 8 epochs": (
        "2026-11-23-evidence-tune-resnet-screen-2",
        "2026-11-23-evidence-tune-resnet-screen",
    ),
    "fine-tuning, ViT, 8 epochs": ("2026-11-23-evidence-tune-vit-screen-8",),
    "fine-tuning, two ranks, slow link": (
        "2026-11-25-slow-link-tune-cpu",
        "2026-11-25-slow-link-tune-first-cpu",
    ),
    "from scratch, two ranks, slow link": ("2026-11-25-slow-link-cpu",),
    "from scratch, ResNet, 8 epochs": (
        "2026-11-24-evidence-scratch-resnet",
        "2026-11-24-evidence-scratch-resnet-screen",
    ),
    "from scratch, ResNet, 8 epochs, not tuned": ("2026-11-23-scratch-look",),
    "from scratch, ResNet, 12 epochs": ("2026-11-23-compare-cifar10-cpu",),
    "from scratch, ViT, 8 epochs": (
        "2026-11-25-evidence-scratch-vit",
        "2026-11-24-evidence-scratch-vit-screen",
    ),
}

# README's rows: the task, what is left out, and where it stands.
STATUS = (
    (
        "fine-tuning MiniLM (real weights) on TREC, 1 epoch",
        "the lower half, in every step (preset `finetune`)",
        "2026-11-28-trec-minilm",
        "half",
    ),
    (
        "fine-tuning a ResNet, 3 epochs",
        "the same",
        "2026-11-24-evidence-tune-resnet-short-2",
        "truncate.5-fixed",
    ),
    (
        "fine-tuning a ViT, 3 epochs",
        "the same",
        "2026-11-24-evidence-tune-vit-short-2",
        "truncate.5-fixed",
    ),
    (
        "fine-tuning, two ranks, slow link",
        "residual blocks, four of five updates",
        "2026-11-25-slow-link-tune-cpu",
        "blocks.8",
    ),
    (
        "a ResNet from scratch, 8 epochs",
        "as in the paper",
        "2026-11-24-evidence-scratch-resnet",
        "uniform.5-paper",
    ),
    (
        "a ViT from scratch, 8 epochs",
        "the lower part, more and more of it",
        "2026-11-25-evidence-scratch-vit",
        "freeze.2",
    ),
)

# Cards that compare no accuracies at equal time: what was measured, and what came out.
MEASURED = {
    "2026-11-28-blocks-trec": (
        "MiniLM on TREC, 1 epoch, 5 seeds: blocks that take turns, a fixed cut, LISA, LoRA",
        "points to full: two random blocks -1.12, fixed +0.44; `Truncate(0.5)` +0.80; LoRA -2.20",
    ),
    "2026-11-28-finetune-recipe": (
        "`ldb train --recipe finetune` on ants and bees, 5 epochs at 128 pixels, 5 seeds",
        "plain 91.5 %, with the preset 92.0 % and 74 MB held by a step instead of 418",
    ),
    "2026-11-28-finetune-recipe-choice": (
        "how that recipe's values were chosen, on held-out training images",
        "with a small new classifier 88.4 % instead of 53.1 % on held-out images",
    ),
    "2026-11-28-trainer-minilm-cpu": (
        "MiniLM in transformers' Trainer: step and saved bytes",
        "`Truncate(0.5)`: 0.724 of plain's step, 237.9 MB saved instead of 475.1",
    ),
    "2026-11-28-memory-public-table": (
        "peak memory on a GPU, predicted, against somebody else's measurements",
        "they differ by at most 0.31 %",
    ),
    "2026-11-25-wire-bytes-cpu": (
        "gradients on the wire at rate 0.5, DDP and FSDP2",
        "DDP with `Uniform`: a drop step sends 0.502 of a full one's",
    ),
    "2026-11-25-compile-step-cpu": (
        "blocks compiled one by one: gradients, graphs, step times",
        "ViT-Ti, `Truncate` 0.5: a drop step takes 0.63 of a full one, compiled or not",
    ),
    "2026-11-23-step-profile-strategies-cpu": (
        "a drop step's time, six models, three strategies",
        "predicted and measured differ by at most 11.8 %",
    ),
    "2026-11-23-step-profile-cpu": (
        "a drop step's time, six models, `Uniform` at three rates",
        "predicted and measured differ by at most 7.1 %",
    ),
    "2026-11-23-cifar10-cpu": (
        "that `ldb train` trains: all of CIFAR-10, 12 epochs, one seed",
        "plain 86.73 % in 26.7 minutes, dropping 86.01 % in 24.2",
    ),
    "2026-11-22-cifar10-cpu": (
        "the same with settings that were not tuned, 9 epochs, on a busy machine",
        "plain 84.69 % in 28.3 minutes, dropping 83.00 % in 24.8",
    ),
    "2026-11-22-step-time-cpu": (
        "step time of `Uniform(0.5)`, five models; the controller's own cost",
        "0.76 to 0.90 of a full step; 224.40 microseconds for 100 layers",
    ),
}

POINTS = ("points, same time", "points, all of plain's time")
COMPARED = ("task", "dropped", "n", "time", "accuracy, %", *POINTS, "verdict", "card")
SCREENED = ("task", "dropped", "n", "time", "accuracy, %", *POINTS, "card")


def evidence_rows() -> dict[str, list[Row]]:
    """All methods of all comparisons, by task."""
    return {task: [row for card in cards for row in rows_of(card)] for task, cards in TASKS.items()}


def link_of(card: str, where: str) -> str:
    """The link to a card, named by its date."""
    return f"[{card[:10]}]({where}{CARDS}/{card}.md)"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def points(found: Interval | None) -> str:
    return "" if found is None else found.as_text("+.2f")


def method_table(found: dict[str, list[Row]], swept: bool) -> str:
    """The methods that were compared, or those that were screened."""
    rows = [
        [
            task,
            row.method,
            str(row.n),
            number(row.time),
            number(row.accuracy),
            points(row.equal),
            points(row.whole),
            *([] if row.verdict is None else [f"**{row.verdict}**" if row.above else row.verdict]),
            link_of(row.card, "../"),
        ]
        for task, methods in found.items()
        for row in methods
        if (row.verdict is None) == swept
    ]
    return markdown_table(SCREENED if swept else COMPARED, rows)


def measured_table() -> str:
    rows = [[*said, link_of(card, "../")] for card, said in MEASURED.items()]
    return markdown_table(("what was measured", "what came out", "card"), rows)


def status_table() -> str:
    """README's table."""
    lines = [
        "| task | what is left out | n | time, of plain training's | points above plain training "
        "*of the same time* | above *all* of its time | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task, what, card, arm in STATUS:
        (row,) = [row for row in rows_of(card) if row.arm == arm]
        mean, *ends = points(row.equal).split(" ", 1)
        gain = " ".join([f"**{mean}**" if row.above else f"{row.verdict}: {mean}", *ends])
        cells = [task, what, str(row.n), number(row.time), gain, points(row.whole)]
        lines.append(f"| {' | '.join([*cells, f'[card]({CARDS}/{card}.md)'])} |")
    return "\n".join(lines)


def between(text: str, name: str, table: str) -> str:
    """A page's text with a table between its markers.

    Raises:
        ValueError: the page lacks the markers.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    found = re.compile(rf"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(found.findall(text)) != 1:
        raise ValueError(f"the page needs {begin} and {end}, once each")
    before, after = found.split(text)
    return f"{before}{begin}\n\n{table}\n\n{end}{after}"


def pages() -> dict[Path, str]:
    """Each page's text, as the records have it."""
    readme = between(README.read_text(), "status", status_table())
    evidence, found = EVIDENCE.read_text(), evidence_rows()
    evidence = between(evidence, "compared", method_table(found, swept=False))
    evidence = between(evidence, "screened", method_table(found, swept=True))
    evidence = between(evidence, "measured", measured_table())
    return {README: readme, EVIDENCE: evidence}


def main() -> None:
    for path, text in pages().items():
        path.write_text(text)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
