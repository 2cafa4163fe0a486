"""Classifying sentences with a model of transformers, as a task of the lab."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..controller import LayerDropBack
from ..errors import UsageError, explain
from ..lab.task import Run, Steps, Task
from ..runs.machine import find_device
from ..training.dropping import Dropping
from ..training.images.choosing import proportional, stratified
from .sentence_data import Batches, Sentences, labels_of, read_sentences, tokenized
from .sentence_settings import SentenceSettings
from .sentence_ways import SOME_LENGTH, Way, from_pretrained, make_optimizer, network

# Share of the training sentences that is held out, where there are no spare ones; and how many of
# the spare ones at most.
HELD_OUT, MOST = 0.1, 2000


class SentenceTask(Task):
    """Sentence classification; a way is a `Way`.

    Args:
        settings: what all arms share.
        splits: sentences to train on, to test on, and spare ones, on which rates are tuned.
        kinds: how many labels there are.
        pad: token that fills a sentence up.
    """

    unit = "sentences"

    def __init__(
        self,
        settings: SentenceSettings,
        splits: tuple[Sentences, Sentences, Sentences],
        kinds: int,
        pad: int,
    ):
        self.chosen, self.splits, self.kinds, self.pad = settings, splits, kinds, pad
        self.name = f"{Path(settings.model).name} on {Path(settings.data).name}"
        self.train, self.test = len(splits[0]), len(splits[1])
        self.epochs, self.lr = settings.epochs, settings.lr
        self.device = find_device(settings.device)

    @classmethod
    def load(cls, settings: SentenceSettings) -> "SentenceTask":
        """Read data and tokenizer.

        Raises:
            UsageError: they cannot be had.
        """
        training, testing = read_sentences(settings.data)
        names = labels_of(training, settings.data)
        tokenizer = from_pretrained("AutoTokenizer", settings.model)
        if len(tokenizer) <= len(tokenizer.all_special_tokens):
            fact, cause = f"model={settings.model} is not usable", "its tokenizer knows no words"
            raise UsageError(explain(fact, cause, "give the tokenizer's files, too"))
        train, test = (
            tokenized(tokenizer, p, names, settings.longest) for p in (training, testing)
        )
        train, spare = _divided(train, settings.limit_train)
        test, _ = _divided(test, settings.limit_test)
        return cls(settings, (train, test, spare), len(names), tokenizer.pad_token_id or 0)

    def start(self, way: Way | None, seed: int, epochs: float, lr: float | None) -> "SentenceRun":
        """See `Task`."""
        return SentenceRun(self, way or Way(), seed, epochs, self.chosen.lr if lr is None else lr)

    def held_out(self) -> "SentenceTask":
        """See `Task`; spare sentences where there are enough, else a tenth of the training's.

        Of each label its share: even numbers would take all of a rare one.
        """
        train, _, spare = self.splits
        wanted = max(1, round(HELD_OUT * len(train)))
        if len(spare) >= wanted:
            test = spare.subset(proportional(spare.labels, min(MOST, len(spare))))
        else:
            chosen = proportional(train.labels, wanted)
            test = train.subset(chosen)
            train = train.subset(sorted(set(range(len(train))) - set(chosen)))
        none = Sentences([], [])
        return SentenceTask(self.chosen, (train, test, none), self.kinds, self.pad)

    def way(self, values: Mapping[str, Any]) -> Way:
        """See `Task`."""
        return Way.of(values)

    def settings(self, way: Way | None, epochs: float, lr: float | None) -> dict[str, Any]:
        """See `Task`."""
        way = way or Way()
        own = vars(self.chosen) | {"epochs": epochs, "lr": self.chosen.lr if lr is None else lr}
        dropping = {"strategy": None} if way.dropping is None else way.dropping.values()
        listed = {"targets": list(way.targets), "freeze": list(way.freeze)}
        return own | dropping | {"lora": way.lora, "optimizer": way.optimizer} | listed

    def says(self, way: Way | None) -> str:
        """See `Task`."""
        return (way or Way()).says

    def identity(self) -> dict[str, Any]:
        """See `Task`."""
        shared = {
            n: v for n, v in vars(self.chosen).items() if n not in ("device", "model", "data")
        } | {"model": Path(self.chosen.model).name}  # a folder may move
        prints = [split.fingerprint() for split in self.splits[:2]]
        return shared | {"training_sentences": prints[0], "test_sentences": prints[1]}

    def facts(self) -> dict[str, Any]:
        """See `Task`."""
        return super().facts() | {"classes": self.kinds}


class SentenceRun(Run):
    """One fine-tuning.

    Args:
        task: its data and settings.
        way: what the arm does differently.
        seed: of the head, the order and the masks.
        epochs: its length.
        lr: its peak learning rate.
    """

    mid_epoch = True

    def __init__(self, task: SentenceTask, way: Way, seed: int, epochs: float, lr: float):
        self._task, chosen = task, task.chosen
        self._epochs = epochs
        train, test, _ = task.splits
        self._train = Batches(train, chosen.batch_size, task.pad, seed)
        self._test = Batches(test, 2 * chosen.batch_size, task.pad)
        self.model = network(chosen.model, task.kinds, way).to(task.device)
        self.optimizer = make_optimizer(self.model, way, lr, chosen.weight_decay)
        steps = sum(map(self.steps_in, range(math.ceil(epochs))))
        warm = max(1, round(chosen.warmup * steps))
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: min((step + 1) / warm, (steps - step) / (steps - warm + 1))
        )
        if way.dropping is not None:
            self.ldb = self._attached(way.dropping, seed, steps)

    def _attached(self, dropping: Dropping, seed: int, steps: int) -> LayerDropBack:
        by_steps = dropping.settings(SOME_LENGTH).schedule.steps is not None
        chosen = dropping.settings(float(steps) if by_steps else self._epochs, seed)
        return LayerDropBack(
            self.model,
            self.optimizer,
            chosen.strategy,
            chosen.schedule,
            lr_scale=chosen.lr_scale,
            seed=seed,
            verify=chosen.verify,
        )

    def steps_in(self, epoch: int) -> int:
        """See `Run`."""
        return max(1, round(min(1.0, self._epochs - epoch) * len(self._train)))

    def train(self, epoch: int, done: int = 0) -> Steps:
        """See `Run`."""
        self.model.train()
        batches = self._train.epoch(epoch, skip=done)
        for inputs, labels in batches if self.ldb is None else self.ldb.epoch(batches, epoch):
            loss = self._loss(inputs, labels)[0]
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.scheduler.step()
            yield loss

    @torch.no_grad()
    def test(self) -> Mapping[str, Any]:
        """See `Run`."""
        self.model.eval()
        right = loss = 0.0
        for inputs, labels in self._test.epoch(0):
            mean, outputs = self._loss(inputs, labels)
            right += float((outputs.argmax(1).cpu() == labels).sum())
            loss += float(mean) * len(labels)
        count = self._task.test
        return {"test_accuracy": 100 * right / count, "test_loss": loss / count}

    def _loss(self, inputs: dict[str, Tensor], labels: Tensor) -> tuple[Tensor, Tensor]:
        """The batch's mean loss, and the outputs."""
        device = self._task.device
        lower = self._task.chosen.precision == "bf16"
        with torch.autocast(device.type, torch.bfloat16) if lower else nullcontext():
            outputs = self.model(**{n: value.to(device) for n, value in inputs.items()}).logits
        return nn.functional.cross_entropy(outputs.float(), labels.to(device)), outputs


def _divided(split: Sentences, limit: int | None) -> tuple[Sentences, Sentences]:
    """What a limit leaves, evenly over the labels, and the others."""
    if limit is None or limit >= len(split):
        return split, Sentences([], [])
    chosen = stratified(split.labels, limit)
    return split.subset(chosen), split.subset(sorted(set(range(len(split))) - set(chosen)))
