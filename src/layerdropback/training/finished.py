"""What an epoch did, once it is done and tested."""

import math
import warnings

from ..errors import Diverged, explain
from .evaluate import Score
from .metrics import EpochMetrics
from .tally import SoFar


def metrics_of(
    so_far: SoFar,
    loss: float,
    correct: float,
    tested: Score,
    *,
    mode: str,
    parts: int,
    peak_memory_mib: float | None,
) -> EpochMetrics:
    """The metrics of an epoch that is done.

    Args:
        so_far: what was counted, by this process.
        loss: the sum over the images, of all workers together.
        correct: right answers, of all workers.
        tested: what the test found.
        mode: see `EpochMetrics`, as are the others.
        parts: of each batch.
        peak_memory_mib: of the device.

    Raises:
        Diverged: the loss is no number any more.
    """
    train_loss = loss / so_far.samples
    _look_at(so_far, train_loss, tested.loss)
    return EpochMetrics(
        epoch=so_far.epoch + 1,
        mode=mode,
        steps=so_far.steps,
        batch_size=math.ceil(so_far.samples / so_far.steps),
        parts=parts,
        lr=so_far.lr,
        lr_last=so_far.lr_last,
        lr_factor=so_far.lr_factor,
        share_dropped=so_far.share_dropped,
        backward_saved=so_far.backward_saved,
        skipped=so_far.skipped,
        train_loss=train_loss,
        train_accuracy=100 * correct / so_far.samples,
        test_loss=tested.loss,
        test_accuracy=tested.accuracy,
        seconds=so_far.seconds,
        images_per_second=so_far.samples / so_far.seconds,
        phases=so_far.phases,
        peak_memory_mib=peak_memory_mib,
        sent_mib=None if so_far.sent is None else so_far.sent / so_far.steps / 2**20,
    )


def _look_at(so_far: SoFar, train_loss: float, test_loss: float) -> None:
    epoch = so_far.epoch + 1
    if not (math.isfinite(train_loss) and math.isfinite(test_loss)):
        bad = test_loss if math.isfinite(train_loss) else train_loss
        fact = f"the loss is {bad} in epoch {epoch}"
        raise Diverged(explain(fact, "training diverged", "use a smaller --lr"))
    if so_far.skipped == so_far.steps:
        fact = f"no step of epoch {epoch} was made"
        cause = "all gradients overflowed, and the loss scaling skipped them"
        cure = "use --precision bf16 or a smaller --lr"
        warnings.warn(explain(fact, cause, cure), stacklevel=3)
