"""``ldb memory``: what a training step takes, before anyone rents a GPU."""

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from ...errors import AttachError, LayerDropBackError, UsageError, explain
from ...runs.folder import writable
from ...runs.machine import command_line
from ...runs.reasons import reason, require
from ..report.page import say
from .arms import ARMS, PRECISIONS, Training, predict_arm
from .fakes import on_meta
from .fitting import budget_of, largest_batch
from .optimizers import OPTIMIZERS
from .predict import Prediction
from .report import Found, as_text, write_files
from .subjects import Subject, config_subject, timm_subject


@dataclass(frozen=True)
class Asked:
    """What is to be predicted.

    Attributes:
        model: name of a timm model, where there is no config.
        hf_config: a Hugging Face config, or its folder.
        batch_size: samples of a step; by default 32 images, or one row.
        image_size: side in pixels.
        tokens: of a row.
        classes: of a classifier.
        arms: ways to train; empty: all that the model can be trained in.
        budget: memory that there is.
        out: folder for a page.
        overwrite: whether it may have something in it.
    """

    model: str | None = None
    hf_config: Path | None = None
    batch_size: int | None = None
    image_size: int | None = None
    tokens: int = 1024
    classes: int = 1000
    arms: tuple[str, ...] = ()
    budget: str | None = None
    out: Path | None = None
    overwrite: bool = False

    def subject(self) -> Subject:
        """What is trained.

        Raises:
            UsageError: there is no such model.
        """
        if (self.model is None) == (self.hf_config is None):
            cause = "one model is predicted"
            cure = "give --model, or --hf-config"
            fact = "a model is missing" if self.model is None else "two models are given"
            raise UsageError(explain(fact, cause, cure))
        if self.hf_config is not None:
            return config_subject(self.hf_config, self.tokens, self.image_size, self.classes)
        return timm_subject(str(self.model), self.image_size, self.classes)


def check(asked: Asked, how: Training) -> None:
    """Look at every value.

    Raises:
        UsageError: one makes no sense.

    Example:
        >>> check(Asked(tokens=0), Training())
        Traceback (most recent call last):
        ...
        layerdropback.errors.UsageError: --tokens 0 is not usable. Cause: \
a whole number from 1 on is needed. Cure: give one.
    """
    counts = {"batch-size": asked.batch_size, "image-size": asked.image_size}
    counts |= {"tokens": asked.tokens, "classes": asked.classes}
    counts |= {"active-blocks": how.active, "rank": how.rank}
    for name, value in counts.items():
        cause = "a whole number from 1 on is needed"
        require(value is None or value >= 1, f"--{name} {value}", cause)
    require(0 < how.share < 1, f"--drop-rate {how.share:g}", "a number in (0, 1) is needed")
    words: list[tuple[str, str, Collection[str]]] = [("arms", arm, ARMS) for arm in asked.arms]
    words += [("optimizer", how.optimizer, OPTIMIZERS), ("precision", how.precision, PRECISIONS)]
    for name, word, known in words:
        require(word in known, f"--{name} {word}", f"it is one of {', '.join(known)}")


def predict(asked: Asked, how: Training, console: Console | None = None) -> Found:
    """Predict every arm, print a table, and write the page that is asked for.

    Raises:
        UsageError: something cannot be followed.
    """
    check(asked, how)
    budget = None if asked.budget is None else budget_of(asked.budget)
    folder = None if asked.out is None else writable(asked.out, asked.overwrite)
    subject = asked.subject()
    console = console or Console()
    rows = asked.batch_size or (32 if "images" in subject.sample else 1)
    with _in_words(f"cannot build {subject.name}", "choose another model"):
        model = sum(p.numel() for p in on_meta(subject.make_model).parameters())
    about = {"batch": f"{rows} {subject.sample}", "precision": how.precision}
    about |= {"optimizer": how.optimizer, "checkpointing": "on" if how.checkpointing else "off"}
    found = Found(subject.name, model, about, budget=budget)
    say(console, f"{found.name} ({model / 1e6:,.1f} M parameters), {found.about_text}")
    with console.status("predicting") as status:
        for arm in asked.arms or tuple(ARMS):
            status.update(f"predicting {arm}")
            _fill(found, arm, subject, how, rows, explicit=bool(asked.arms))
    say(console, as_text(found))
    if folder is not None:
        say(console, f"the page is {write_files(found, command_line(), folder)}")
    return found


@contextmanager
def _in_words(fact: str, cure: str) -> Iterator[None]:
    """While a model is run: it may fail in many ways on what it was not made for."""
    try:
        yield
    except LayerDropBackError:
        raise
    except Exception as error:
        raise UsageError(explain(fact, reason(error), cure)) from error


def _fill(
    found: Found, arm: str, subject: Subject, how: Training, rows: int, explicit: bool
) -> None:
    """Predict one arm; one that nobody has asked for by name may be left out."""

    def predicted(count: int) -> Prediction:
        fact = f"{found.name} cannot be trained on {count} {subject.sample}"
        with _in_words(fact, "choose another size or model"):
            return predict_arm(arm, subject, how, count)

    def needed(count: int) -> int:
        try:
            return first.run if count == rows else predicted(count).run
        except UsageError:  # some models cannot be trained on a single sample
            return sys.maxsize

    try:
        found.arms[arm] = first = predicted(rows)
        if found.budget is not None:
            found.largest[arm] = _largest(needed, found.budget, rows, first)
    except LayerDropBackError as error:
        text = error.problems[0] if isinstance(error, AttachError) else str(error)
        if explicit or arm == "full":
            raise UsageError(text) from None
        found.refused[arm] = text


def _largest(needed: Callable[[int], int], budget: int, rows: int, known: Prediction) -> int:
    """The largest batch; a first guess is that all grows that a forward pass has made."""
    lasting = sum(known.kinds.get(kind, 0) for kind in ("parameters", "buffers", "states"))
    if lasting > budget:
        return 0
    growing = max(1, known.phases["forward"] - lasting)
    return largest_batch(needed, budget, rows, max(1, rows * (budget - lasting) // growing))
