"""The training loop: a plain one, with the two lines of LayerDropBack in it."""

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from ..controller import LayerDropBack
from ..errors import UsageError, explain
from .augment import Augmentation, EpochOrder
from .config import TrainConfig
from .data import ImageData, Split
from .models import ModelSpec, build_model, choose_stem

_EVALUATION_BATCH = 512


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch did.

    Attributes:
        epoch: counted from 1.
        mode: ``"full"`` or ``"drop"``.
        steps: optimizer steps.
        batch_size: images per step.
        lr: the schedule's learning rate; a drop step multiplies it by `lr_factor`.
        lr_factor: see `lr`.
        share_dropped: mean share of the layers that the loss reaches dropped per step.
        train_loss: mean over the epoch, while the weights change.
        train_accuracy: the same, in percent.
        test_loss: after the epoch.
        test_accuracy: after the epoch, in percent.
        seconds: wall clock of the training part, the device synchronised.
    """

    epoch: int
    mode: str
    steps: int
    batch_size: int
    lr: float
    lr_factor: float
    share_dropped: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For a line of ``metrics.jsonl``."""
        return asdict(self)


class Trainer:
    """One run: a model, its optimizer and its data on a device.

    Args:
        config: checked already.
        data: the images.

    Raises:
        UsageError: the model or the device cannot be had.
        AttachError: see `LayerDropBack`.
    """

    def __init__(self, config: TrainConfig, data: ImageData):
        _require_batches(config, len(data.train))
        if config.threads is not None:
            torch.set_num_threads(config.threads)
        self.config = config
        self.device = find_device(config.device)
        torch.manual_seed(config.seed)
        small = choose_stem(config.model, data.size, config.stem)
        self.spec = ModelSpec(config.model, len(data.classes), data.channels, data.size, small)
        model, self.stem = build_model(self.spec)
        self.model = model.to(self.device)
        self.optimizer = _optimizer(config, self.model)
        self.scheduler = CosineAnnealingLR(self.optimizer, T_max=config.epochs)
        dropping = vars(config.dropping)
        self.ldb = LayerDropBack(self.model, self.optimizer, seed=config.seed, **dropping)

        self.mean, self.std = data.statistics()
        self._mean = torch.tensor(self.mean, device=self.device).view(1, -1, 1, 1)
        self._std = torch.tensor(self.std, device=self.device).view(1, -1, 1, 1)
        self._train, self._test = data.train.to(self.device), data.test.to(self.device)
        pad = max(1, data.size // 8) if config.augment else 0
        flips = config.augment and data.flips
        self._augmentation = Augmentation(len(data.train), pad, flips, config.seed, self.device)
        # The loader hands out indices; images are gathered and augmented on their device.
        indices = range(len(data.train))
        self._order = EpochOrder(len(data.train), config.seed)
        self.loader: DataLoader[Tensor] = DataLoader(
            indices,  # type: ignore[arg-type]
            batch_size=config.batch_size,
            sampler=self._order,
            collate_fn=torch.tensor,
            drop_last=True,  # a last batch of one image would stop BatchNorm
        )

    def total_steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.ldb.total_steps(self.loader, self.config.epochs)

    def train_epoch(self, epoch: int, on_step: Any = None) -> EpochMetrics:
        """Train for one epoch, and evaluate.

        Args:
            epoch: counted from 0.
            on_step: called after every step with its number of images.

        Raises:
            UsageError: the loss is no number any more.
        """
        self.model.train()
        self._order.set_epoch(epoch)
        self._augmentation.set_epoch(epoch)
        rate = self.scheduler.get_last_lr()[0]
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)  # loss, correct
        seen = steps = 0
        factor = 1.0
        start = self._clock()
        for samples in self.ldb.epoch(self.loader, epoch):
            chosen = samples.to(self.device)
            images, labels = self._train.pixels[chosen], self._train.labels[chosen]
            outputs = self.model(self._normalized(self._augmentation(images, chosen)))
            loss = functional.cross_entropy(outputs, labels)
            loss.backward()  # type: ignore[no-untyped-call]
            factor = self.ldb.stats()["lr_factor"]
            self.optimizer.step()
            self.optimizer.zero_grad()
            # On the device: asking for a number here would make it wait in every step.
            totals[0] += loss.detach() * len(samples)
            totals[1] += (outputs.detach().argmax(1) == labels).sum()
            seen += len(samples)
            steps += 1
            if on_step is not None:
                on_step(len(samples))
        seconds = self._clock() - start
        self.scheduler.step()
        train_loss, train_correct = (totals / seen).tolist()
        test_loss, test_correct = self.evaluate(self._test)
        if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
            bad = test_loss if math.isfinite(train_loss) else train_loss
            fact = f"the loss is {bad} in epoch {epoch + 1}"
            raise UsageError(explain(fact, "training diverged", "use a smaller --lr"))
        return EpochMetrics(
            epoch=epoch + 1,
            mode="drop"
            if self.config.dropping.settings().schedule.is_drop_epoch(epoch)
            else "full",
            steps=steps,
            batch_size=math.ceil(seen / steps),
            lr=float(rate),
            lr_factor=factor,
            share_dropped=self.ldb.stats()["share_dropped"],
            train_loss=train_loss,
            train_accuracy=100 * train_correct,
            test_loss=test_loss,
            test_accuracy=100 * test_correct,
            seconds=seconds,
        )

    @torch.no_grad()
    def evaluate(self, split: Split) -> tuple[float, float]:
        """Mean loss and share of correct answers on a split."""
        self.model.eval()
        totals = torch.zeros(2, dtype=torch.float64, device=self.device)
        for first in range(0, len(split), _EVALUATION_BATCH):
            part = slice(first, first + _EVALUATION_BATCH)
            outputs = self.model(self._normalized(split.pixels[part]))
            labels = split.labels[part]
            totals[0] += functional.cross_entropy(outputs, labels, reduction="sum")
            totals[1] += (outputs.argmax(1) == labels).sum()
        loss, correct = (totals / len(split)).tolist()
        return loss, correct

    def _normalized(self, pixels: Tensor) -> Tensor:
        return (pixels.float() / 255 - self._mean) / self._std

    def _clock(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _require_batches(config: TrainConfig, images: int) -> None:
    dropping = config.dropping
    scale = dropping.batch_scale if dropping.settings().schedule.ever_drops else 1
    if config.batch_size * max(1, scale) > images:
        times = f" times --batch-scale {scale:g}" if scale > 1 else ""
        fact = f"--batch-size {config.batch_size}{times} is more than the {images} training images"
        raise UsageError(explain(fact, "there would be no batch", "use a smaller one"))


def find_device(name: str) -> torch.device:
    """The device that ``--device`` names.

    Raises:
        UsageError: it is not there.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        fact, cause = "--device cuda is not usable", "torch sees no GPU"
        raise UsageError(explain(fact, cause, "use --device cpu"))
    return torch.device("cuda" if name == "cuda" or (name == "auto" and available) else "cpu")


def _optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    parameters = model.parameters()
    if config.optimizer == "adamw":
        return AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    return SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
    )
