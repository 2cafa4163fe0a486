"""Runs that are killed again and again, and what they and an unbroken one must have in common."""

import itertools
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from outcome import MEASURED, digest, rows

DIGITS = ("--model", "test_resnet", "--limit-test", "60", "--threads", "1")

# Everything that a resumed run has to find again: masks, a scaled batch, augmentation,
# accumulation, an average of the weights, clipping, warm-up.
UNIFORM = (
    *("train", *DIGITS, "--limit-train", "200", "--batch-size", "10", "--batch-scale", "2"),
    *("--accumulate", "2", "--ema", "0.9", "--mixup", "0.2", "--rotate", "10"),
    *("--clip-grad", "1", "--warmup-epochs", "0.5", "--checkpoint-every", "3"),
)

# Blocks that take turns, their states offloaded: killed in the midst of a period.
BLOCKS = (
    *("train", *DIGITS, "--limit-train", "200", "--batch-size", "10", "--optimizer", "adamw"),
    *("--lr", "0.001", "--ema", "0.9", "--strategy", "blocks", "--active-blocks", "1"),
    *("--period-steps", "4", "--checkpoint-every", "3"),
)

# Two replicas, started by torchrun's agent, which starts both anew where one is lost.
RANKS = (
    *("train", "--model", "vit_tiny_patch16_224", "--model-args", "embed_dim=32"),
    *("--model-args", "depth=3", "--model-args", "num_heads=2", "--limit-train", "100"),
    *("--limit-test", "60", "--batch-size", "10", "--batch-scale", "2", "--clip-grad", "1"),
    *("--checkpoint-every", "2", "--parallel", "ddp", "--threads", "1"),
)

STUDY = (*DIGITS, "--limit-train", "32", "--batch-size", "8", "--seeds", "2")


@dataclass(frozen=True)
class Way:
    """A command that is killed.

    Attributes:
        command: without ``--out``.
        again: the flags that it is started with each time.
        result: of its folder, what has to be equal in the end.
        places: where it kills itself, see forker.py.
        ranks: that train together; 0: it is one process.
    """

    command: tuple[str, ...]
    again: tuple[str, ...]
    result: Callable[[Path], object]
    places: tuple[str, ...] = ("write", "text", "sync", "name", "prune", "step")
    ranks: int = 0


def of_a_run(folder):
    """Weights, metrics, and that no checkpoint is there that nobody needs."""
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert len(names) == 2, names
    assert all(name.startswith("step-") and name.endswith(".pt") for name in names), names
    return digest(folder), rows(folder)


def of_a_comparison(folder):
    """The record, but for the clock's part: all seeds, and what each epoch came to."""
    record = json.loads((folder / "comparison.json").read_text())
    for name in ("command", "facts"):
        del record[name]
    for row in record["epochs"]:
        for name in MEASURED:
            row.pop(name, None)
    for arm in record["arms"]:
        arm["settings"].pop("threads", None)
    # A resumed seed's are in another order.
    record["epochs"].sort(key=lambda row: (row["seed"], row["arm"], row["epoch"]))
    done = {(row["arm"], row["seed"]) for row in record["epochs"]}
    assert done == {(arm["name"], seed) for arm in record["arms"] for seed in record["seeds"]}
    names = sorted(path.name for path in folder.iterdir())
    assert not [name for name in names if name.endswith(".partial")], names
    assert not list((folder / "checkpoints").iterdir()), "it needs none any more"
    return record, names


def of_a_page(folder):
    """What was predicted; the page and its text are whole."""
    record = json.loads((folder / "memory.json").read_text())
    del record["command"]
    whole_page(folder)
    return record, sorted(path.name for path in folder.iterdir())


def whole_page(folder):
    """Nothing half written has a page's name."""
    for path in folder.glob("memory.*"):
        text = path.read_text()
        if path.suffix == ".html":
            assert text.rstrip().endswith("</html>"), path
        elif path.suffix == ".json":
            json.loads(text)
        elif path.suffix == ".md":
            assert "Predicted" in text.rstrip().splitlines()[-1], path


WAYS = {
    "train": Way((*UNIFORM, "--epochs", "4"), ("--resume",), of_a_run),
    "compare": Way(("compare", *STUDY, "--epochs", "2"), ("--resume",), of_a_comparison),
    "ranks": Way((*RANKS, "--epochs", "2"), ("--resume",), of_a_run, ranks=2),
    "blocks": Way((*BLOCKS, "--epochs", "4"), ("--resume",), of_a_run),
    "sweep": Way(
        (
            *("sweep", *STUDY, "--epochs", "4", "--rates", "0.5"),
            *("--strategies", "truncate", "--every", "1"),
        ),
        ("--resume",),
        of_a_comparison,
    ),
    "memory": Way(
        (
            *("memory", "--model", "test_resnet", "--batch-size", "2", "--image-size", "32"),
            *("--arms", "full"),
        ),
        ("--overwrite",),
        of_a_page,
        ("text", "sync", "name"),
    ),
}


@dataclass
class Unbroken:
    """What a command comes to by itself, and in how many seconds."""

    result: object
    seconds: float

    @classmethod
    def of(cls, way, forker, folder):
        start = time.monotonic()
        code = forker.run(*way.command, "--out", folder, *way.again, ranks=way.ranks)
        assert code == 0, forker.log.read_text()[-2000:]
        return cls(way.result(folder), time.monotonic() - start)


@dataclass
class Attempt:
    """One start of a command that is to be killed: in itself, or after some seconds."""

    kills: list[tuple[str, int, int]]
    after: float | None

    @classmethod
    def drawn(cls, generator, way, seconds):
        """Half of them kill themselves, the others are killed while they take so many seconds."""

        def itself():
            place = generator.choice(way.places)
            return place, generator.randint(1, 20 if place == "step" else 6), rank_of(place)

        def rank_of(place):
            # Only the first rank writes.
            return generator.randrange(way.ranks) if way.ranks and place == "step" else 0

        if generator.random() < 0.5:
            return cls([], generator.uniform(0.0, 0.2 + 0.5 * seconds))
        return cls([itself() for _ in range(2 if way.ranks else 1)], None)


def kill_and_resume(forker, way, folder, unbroken, kills, seed):
    """Start a command again and again until it was killed so often, and then let it end.

    Returns:
        How often it was killed, by where.

    Raises:
        AssertionError: it does not end as the unbroken one did, or ends with an error.
    """
    generator, found, place = random.Random(seed), Counter(), folder / "killed"

    def start(attempt):
        arguments = (*way.command, "--out", place, *way.again)
        before = forker.killed_themselves
        code = forker.run(*arguments, kills=attempt.kills, after=attempt.after, ranks=way.ranks)
        assert code in (-signal.SIGKILL, 0), (code, forker.log.read_text()[-2000:])
        themselves = forker.killed_themselves - before
        for where, *_ in attempt.kills[:themselves]:
            found[where] += 1
        found["time"] += code == -signal.SIGKILL and attempt.after is not None
        if way.result is of_a_page:
            whole_page(place)
        return code

    code = -signal.SIGKILL
    while code and found.total() < kills:
        code = start(Attempt.drawn(generator, way, unbroken.seconds))
    if code:
        assert start(Attempt([], None)) == 0
    other = difference(way.result(place), unbroken.result)
    assert not other, f"it ends as no unbroken one does: {other}"
    return +found


def difference(one, other, where="it"):
    """The first place in which plain values differ; empty where there is none."""
    if isinstance(one, dict) and isinstance(other, dict):
        one, other = ({str(key): value for key, value in each.items()} for each in (one, other))
        pairs = [(key, one.get(key), other.get(key)) for key in {**one, **other}]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        pairs = [("length", len(one), len(other)), *zip(itertools.count(), one, other)]
    else:
        return "" if one == other else f"{where} is {one!r} and not {other!r}"
    found = (difference(mine, theirs, f"{where}.{key}") for key, mine, theirs in pairs)
    return next(filter(None, found), "")
